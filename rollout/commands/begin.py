"""init: a first fleet file."""

from __future__ import annotations

import typer

commands = typer.Typer()

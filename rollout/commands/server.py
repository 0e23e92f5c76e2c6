"""serve: drive everything that is open, until told to stop."""

from __future__ import annotations

import typer

commands = typer.Typer()

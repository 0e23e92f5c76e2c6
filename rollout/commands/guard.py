"""pause · hold · adopt: a person's hand on what is open."""

from __future__ import annotations

import typer

commands = typer.Typer()

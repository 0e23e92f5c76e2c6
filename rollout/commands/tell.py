"""history · report · explain: what happened, to people and files."""

from __future__ import annotations

import typer

commands = typer.Typer()

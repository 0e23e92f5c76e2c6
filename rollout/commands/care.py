"""doctor · repair · store: keeping the installation well."""

from __future__ import annotations

import typer

commands = typer.Typer()

"""serve: drive everything that is open, until told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from rollout import exits
from rollout.commands.options import Config, Json, Quiet, find_installation
from rollout.render import Screen

commands = typer.Typer()


@commands.command()
def serve(
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=64, help="Rollouts that act at once; else the fleet file's.")
    ] = None,
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive every open rollout, watch what is warm and retire it in time; stops gracefully on SIGTERM or Ctrl-C."""
    from rollout.serving import Serving

    screen = Screen(as_json=json_out, quiet=quiet)
    left = Serving(find_installation(config), screen.say, screen.event, jobs).until_stopped()
    if left:
        screen.problem(f"stopped; nobody drives these now: {', '.join(left)}. Go on with: rollout serve")
    raise typer.Exit(exits.DONE)

"""worker: drive what is due, beside others on one store, until told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from rollout import exits
from rollout.commands.options import Config, Json, Metrics, Quiet, Usage, find_installation, say_who_is_left
from rollout.render import Screen

commands = typer.Typer()


@commands.command()
def worker(
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=64, help="Rollouts that act at once here; else serve.jobs.")
    ] = None,
    metrics: Metrics = None,
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive rollouts beside other workers on one PostgreSQL store; stops gracefully on SIGTERM or Ctrl-C."""
    from rollout.sharing import NotShared
    from rollout.working import Working

    screen = Screen(as_json=json_out, quiet=quiet)
    try:
        working = Working(find_installation(config), screen.say, screen.event, jobs, metrics)
    except NotShared as error:
        raise Usage(str(error)) from None
    say_who_is_left(working.until_stopped(), screen, "rollout worker")
    raise typer.Exit(exits.DONE)

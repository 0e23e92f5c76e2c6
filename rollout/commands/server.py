"""serve: drive everything that is open, until told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollout import exits
from rollout.commands.options import Config, Json, Metrics, Quiet, Usage, find_installation, say_who_is_left
from rollout.render import Screen

if TYPE_CHECKING:
    from rollout.hotline.web import Listen

commands = typer.Typer()


@commands.command()
def serve(
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=0, max=64, help="Rollouts that act at once; else the fleet file's.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Answer rollout rollback --server here, too.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="Who may ask there: a token, or NAME TOKEN.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")] = None,
    metrics: Metrics = None,
    config: Config = None,
    json_out: Json = False,
    quiet: Quiet = False,
) -> None:
    """Drive every open rollout, watch what is warm and retire it in time; stops gracefully on SIGTERM or Ctrl-C."""
    from rollout.serving import Serving

    screen, installation = Screen(as_json=json_out, quiet=quiet), find_installation(config)
    if jobs == 0 and not installation.is_shared:
        raise Usage("--jobs 0 leaves the work to rollout worker, which needs a store on PostgreSQL; nothing would move")
    where = _where(listen, token_file, tls_cert, tls_key)
    try:
        serving = Serving(installation, screen.say, screen.event, jobs, where, metrics)
    except (ValueError, OSError) as error:
        if where is None:
            raise
        raise Usage(str(error) if isinstance(error, ValueError) else f"--listen {listen}: {error}") from error
    say_who_is_left(serving.until_stopped(), screen, "rollout serve")
    raise typer.Exit(exits.DONE)


def _where(listen: str | None, token_file: Path | None, cert: Path | None, key: Path | None) -> Listen | None:
    """Where to listen on the net; None: nowhere."""
    if listen is None:
        if token_file or cert or key:
            raise Usage("--token-file, --tls-cert and --tls-key belong to --listen HOST:PORT")
        return None
    from rollout.hotline.web import Listen

    return Listen(listen, token_file, cert, key)

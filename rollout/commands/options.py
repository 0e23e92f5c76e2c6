"""What the commands share: options, completion, and how they find their fleet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.state_dir import find_fleet_file
from rollout.wiring import Installation, thin_rollback

if TYPE_CHECKING:
    from rollout.render import Screen
    from rollout.rows import Row


ROUTES_S = 5.0
"""How long `status` waits for platforms to say where traffic is."""


class Usage(Exception):
    """The command line asks for what cannot be; exit 2."""


def find_installation(config: Path | None) -> Installation:
    found = find_fleet_file(str(config) if config else None, os.environ, Path.cwd())
    if found is None:
        raise Usage("no fleet file: name one with --config FILE or ROLLOUT_CONFIG, or make ./fleet.yaml")
    if not found.is_file():
        raise Usage(f"there is no fleet file {found}")
    return Installation(found)


class Stranded(Exception):
    """The command cannot go on, and nobody else does: it says where traffic is, and what to type."""

    def __init__(self, installation: Installation, row: Row, cause: Exception) -> None:
        from rollout.telling import shares

        route = live_route(installation, row)
        where = f"traffic is now {shares(route)}" if route else "where traffic is could not be read"
        super().__init__(
            f"{cause}. {row.id} stays as it is; {where}. To put it back, which needs no store: rollout rollback "
            f"{row.service}. To go on once the store works: rollout resume {row.id}"
        )


def live_route(installation: Installation, row: Row) -> Mapping[str, int] | None:
    """Where traffic is now, as `live_reading` saw it."""
    seen = live_reading(installation, row)
    return seen["weights"] if seen else None


def live_reading(installation: Installation, row: Row) -> Mapping[str, Any] | None:
    """Weights and health now, read through the card; None where the card is another rollout's, or nothing answers."""
    try:
        card = installation.cards.read(row.service)
        if card is None or card.rollout != row.id:
            return None
        seen: Mapping[str, Any] = thin_rollback(card.provider).read(card.target)
        return seen
    except Exception:
        return None  # then it is told as last journalled, and said so


def live_readings(installation: Installation, rows: Sequence[Row]) -> dict[str, Mapping[str, Any]]:
    """The same for many at once, by id; whatever has not answered within ROUTES_S is left out."""
    import threading

    found: dict[str, Mapping[str, Any]] = {}

    def read(row: Row) -> None:
        if seen := live_reading(installation, row):
            found[row.id] = seen

    reading = [threading.Thread(target=read, args=[row], daemon=True) for row in rows]
    for each in reading:
        each.start()
    ends_at = installation.clock.now() + ROUTES_S
    for each in reading:
        each.join(max(0.0, ends_at - installation.clock.now()))
    return dict(found)


def live_routes(installation: Installation, rows: Sequence[Row]) -> dict[str, Mapping[str, int]]:
    """Where traffic is, for many at once."""
    return {rollout: seen["weights"] for rollout, seen in live_readings(installation, rows).items()}


def live_summary(installation: Installation, row: Row) -> dict[str, Any]:
    """How it stands, with traffic read live through the card where that is possible."""
    from rollout.drills import FOLDER, last_drills, with_drill
    from rollout.summary import stand

    seen = live_reading(installation, row)
    summary = stand(installation.store, row, installation.clock.now(), seen["weights"] if seen else None)
    told = {**summary, "not_serving": not_serving(summary, seen), "journal": installation.store_name}
    tried = last_drills(installation.store.db, installation.state_dir / FOLDER)
    return with_drill(told, tried, installation.clock.now())


def not_serving(summary: Mapping[str, Any], seen: Mapping[str, Any] | None) -> str | None:
    """What is wrong where a side has all traffic and no healthy host; None where it serves, or nothing can be said."""
    active = summary["active_slot"]
    if seen is None or active is None or seen["weights"].get(active) != 100 or seen["healthy"].get(active, 1):
        return None
    if seen.get("unknown", {}).get(active):
        return None  # not judged yet
    back = summary["way_back"] or "rollout doctor"
    return f"{active} has all traffic and no healthy host; next: {back}"


def server_of(installation: Installation) -> str:
    """The living `rollout serve` of this fleet in words, or else a worker; empty where there is none."""
    from rollout.presence import present_server, present_workers

    if not installation.has_store:
        return ""
    db, now = installation.store.db, installation.clock.now()
    if server := present_server(db, now):
        return f"rollout serve ({server.holder})"
    workers = present_workers(db, now)
    return f"rollout worker ({workers[0].holder})" if workers else ""


def raise_if_nobody_serves(installation: Installation, otherwise: str = ", or leave --no-wait out") -> None:
    if not server_of(installation):
        raise Usage(f"nothing would drive it: no `rollout serve` is running here. Start one{otherwise}")


def say_who_is_left(left: Sequence[str], screen: Screen, command: str) -> None:
    """What was driven here, and by nobody any more."""
    if left:
        screen.problem(f"stopped; nobody drives these now: {', '.join(left)}. Go on with: {command}")


def complete_service(ctx: typer.Context, incomplete: str) -> list[str]:
    """Service names for the shell; none, without a word, where they cannot be read."""
    return _begun(incomplete, lambda: _named_before(ctx).fleet.services)


def complete_campaign(ctx: typer.Context, incomplete: str) -> list[str]:
    """The same for campaigns."""
    return _begun(incomplete, lambda: _named_before(ctx).fleet.campaigns)


def complete_rollout(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids and names of services with rollouts for the shell, newest first; no store is made for it."""

    def names() -> Iterable[str]:
        installation = _named_before(ctx)
        rows = installation.store.rollouts(limit=50) if installation.has_store else []
        return dict.fromkeys(name for row in rows for name in (row.id, row.service))

    return _begun(incomplete, names)


def _begun(incomplete: str, names: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [name for name in names() if name.startswith(incomplete)]
    except Exception:
        return []


def _named_before(ctx: typer.Context) -> Installation:
    """The fleet of the --config that stands on the unfinished line, after the command or before it, else the usual."""
    at: Any = ctx
    while at is not None:
        if config := at.params.get("config"):
            return find_installation(Path(config).expanduser())  # the shell has not expanded it yet
        at = at.parent
    return find_installation(None)


Config = Annotated[Path | None, typer.Option("--config", help="Fleet file; else ROLLOUT_CONFIG, ./fleet.yaml, yours.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout; while something runs, a line an event.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
Name = Annotated[str, typer.Argument(metavar="SERVICE", autocompletion=complete_service)]
Which = Annotated[str, typer.Argument(metavar="ID|SERVICE", autocompletion=complete_rollout)]
Image = Annotated[str | None, typer.Option("--image", metavar="REF", help="What to patch to; else the fleet file's.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Goes into the journal.")]
Ref = Annotated[str, typer.Option("--ref", metavar="TICKET", help="What this belongs to; a policy may want one.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it is done, or leave it to rollout serve.")]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Leave with 7 if it still runs.")]
DetailedExitcode = Annotated[bool, typer.Option("--detailed-exitcode", help="10 when something would change.")]
Metrics = Annotated[
    str | None, typer.Option("--metrics", metavar="HOST:PORT", help="Show figures to Prometheus there.")
]

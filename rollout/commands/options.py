"""What the commands share: options, completion, and how they find their fleet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollout.state_dir import find_fleet_file
from rollout.wiring import Installation, thin_rollback

if TYPE_CHECKING:
    from rollout.rows import Row


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
    """Where traffic is now, read through the card; None where the card is another rollout's, or nothing answers."""
    try:
        card = installation.cards.read(row.service)
        if card is None or card.rollout != row.id:
            return None
        weights: Mapping[str, int] = thin_rollback(card.provider).read(card.target)["weights"]
        return weights
    except Exception:
        return None  # then it is told as last journalled, and said so


def live_summary(installation: Installation, row: Row) -> dict[str, Any]:
    """How it stands, with traffic read live through the card where that is possible."""
    from rollout.summary import summarise
    from rollout.telling import waiting

    store, now = installation.store, installation.clock.now()
    summary = summarise(row, store.entries(row.id), now=now, route=live_route(installation, row))
    wait, driver = store.wait(row.id), store.driver(row.id, now)
    summary["waits_for"] = waiting(wait, now) if wait and row.closed_at is None else None
    summary["driven_by"] = str(driver) if driver and row.closed_at is None else None
    summary["journal"] = str(installation.store_path)
    return summary


def complete_service(incomplete: str) -> list[str]:
    """Service names for the shell."""
    try:
        installation = find_installation(None)
        return [name for name in installation.fleet.services if name.startswith(incomplete)]
    except Exception:
        return []


def complete_rollout(incomplete: str) -> list[str]:
    """Ids and service names for the shell."""
    try:
        rows = find_installation(None).store.rollouts(limit=50)
        return [name for row in rows for name in (row.id, row.service) if name.startswith(incomplete)]
    except Exception:
        return []


Config = Annotated[Path | None, typer.Option("--config", help="Fleet file; else ROLLOUT_CONFIG, ./fleet.yaml, yours.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout; while something runs, a line an event.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what went wrong.")]
Name = Annotated[str, typer.Argument(metavar="SERVICE", autocompletion=complete_service)]
Which = Annotated[str, typer.Argument(metavar="ID|SERVICE", autocompletion=complete_rollout)]
Image = Annotated[str | None, typer.Option("--image", metavar="REF", help="What to patch to; else the fleet file's.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Goes into the journal.")]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Leave with 7 if it still runs.")]

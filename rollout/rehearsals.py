"""Rehearse ways back on a schedule: those that the fleet file asks for, one service at a time, and only open ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rollout import drills, emergency
from rollout.drills import Drill
from rollout.rescue.told import Told

if TYPE_CHECKING:
    from rollout.card import Card
    from rollout.wiring import Installation

BY_ITSELF = "rollout"
AGAIN_S = 86_400.0
"""After one that failed: whoever was told of it has had a day."""

Run = Callable[[list[str], Told], int]


def _run(arguments: list[str], told: Told) -> int:
    return emergency.run(arguments, told, actor=BY_ITSELF)


def due(installation: Installation) -> list[Card]:
    """The cards whose way back is to be tried now, the one that waited longest first."""
    from rollout.fleetfile.drills import every_s_of

    fleet, now = installation.fleet, installation.clock.now()
    last = drills.last_drills(installation.store.db, installation.state_dir / drills.FOLDER)
    found: list[tuple[float, Card]] = []
    for card in installation.cards.all()[0]:
        settings = fleet.services.get(card.service)
        is_open = not card.closed and (card.valid_until is None or now < card.valid_until)
        every_s = every_s_of(fleet.drills, settings.drills) if settings else None
        tried = last.get(card.service)
        if is_open and every_s is not None and drills.is_due(card.rollout, tried, every_s, now, AGAIN_S):
            found.append((tried.at if tried else 0.0, card))
    return [card for _, card in sorted(found, key=lambda each: (each[0], each[1].service))]


def rehearse(installation: Installation, run: Run = _run) -> list[tuple[Card, int, dict[str, Any]]]:
    """Try what is due; each card with the exit code and the facts of its drill. The result is on record by itself."""
    done = []
    for card in due(installation):
        told = Told()
        code = run(["rollback", card.service, "--drill", f"--config={installation.fleet_file.absolute()}"], told)
        done.append((card, code, told.facts))
    return done


def journal_kept(installation: Installation) -> list[Drill]:
    """Drills that were made while the store could not be used, into the journal."""
    return drills.merge(installation.store.db, installation.state_dir / drills.FOLDER)

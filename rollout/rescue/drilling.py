"""A rollback that is only rehearsed goes on record: in the fleet's journal, or else beside the cards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout import exits
from rollout.actor import this_actor
from rollout.card import Card
from rollout.drills import FOLDER, Drill, keep, record
from rollout.rescue.asked import Asked
from rollout.rescue.clock import NightClock
from rollout.rescue.deciding import STORE_S, open_store, within
from rollout.rescue.told import Refusal, Told, WayBackClosed
from rollout.state_dir import state_dir_of

DIRECT, DAEMON = "direct", "daemon"


@contextmanager
def on_record(card: Card, fleet_file: Path | None, told: Told, asked: Asked, clock: NightClock) -> Iterator[None]:
    """Note how the drill inside ended, whatever it raises. A way back that is over is none to be tried."""
    began = clock.monotonic()
    try:
        yield
    except Refusal as refusal:
        if not isinstance(refusal, WayBackClosed) and refusal.code != exits.DONE:
            _note(card, fleet_file, told, asked, clock, began, str(refusal))
        raise
    except Exception as error:
        _note(card, fleet_file, told, asked, clock, began, f"{type(error).__name__}: {error}")
        raise
    _note(card, fleet_file, told, asked, clock, began, "")


def _note(
    card: Card, fleet_file: Path | None, told: Told, asked: Asked, clock: NightClock, began: float, why: str
) -> None:
    """A drill does not fail because it could not be written down."""
    if fleet_file is None:
        return
    drill = Drill(
        service=card.service,
        rollout=card.rollout,
        at=clock.time(),
        ok=not why,
        seconds=round(clock.monotonic() - began, 3),
        via=DAEMON if asked.actor else DIRECT,
        actor=asked.actor or this_actor(),
        readiness=str(told.facts.get("readiness", "")),
        why=why[:2000],
    )
    told.facts["drilled"] = drill.to_json()
    try:
        within(STORE_S, lambda: _journal(fleet_file, drill))
    except Exception as error:
        told.say(f"  the store cannot be used ({error}); the drill is noted beside the cards")
        try:
            keep(state_dir_of(fleet_file) / FOLDER, drill)
        except (OSError, ValueError) as problem:
            told.say(f"  nor can it be noted there: {problem}")


def _journal(fleet_file: Path, drill: Drill) -> None:
    store = open_store(fleet_file)
    try:
        record(store.db, drill)
    finally:
        store.close()

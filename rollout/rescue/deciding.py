"""Journal the decision, which fences whoever drives; without a store, spool it beside the cards.

A store that hangs keeps nobody waiting for long: traffic is what counts.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rollout import exits
from rollout.actor import this_actor
from rollout.card import Card
from rollout.phases import can_turn_back
from rollout.rescue.asked import Asked
from rollout.rescue.clock import NightClock
from rollout.rescue.told import Refusal, Told, WayBackClosed
from rollout.state_dir import make_folder, share, state_dir_of

if TYPE_CHECKING:
    from rollout.journal import Entry, Journal
    from rollout.store import Store

R = TypeVar("R")
STORE_BUSY_S = 1.0
STORE_S = 2.5
"""So long in all, whatever the store's disk or network does; what is late may still be journalled."""

CLOCKS_APART_S = 60.0
"""Whoever drove wrote down his own machine's time."""
TRIES = 20
ROUTE_STEPS = ("attach", "detach", "cut")
"""Some platforms write the route for these, too: their intents name a slot, not weights."""


@dataclass(frozen=True, slots=True)
class Decided:
    """`epoch` 0: it is on no record. `doubt`: why a write of ours may still land; empty where none can."""

    epoch: int
    doubt: str


def decide(
    card: Card,
    fleet_file: Path | None,
    told: Told,
    seen: Mapping[str, Any],
    asked: Asked,
    ready: str,
    clock: NightClock,
) -> Decided:
    """Refusal or WayBackClosed where the journal knows that it is over; nothing else stops it."""
    data = _said(asked, seen, ready)
    if fleet_file is None:
        told.say("  without a fleet file there is no store: nothing is journalled")
        return Decided(0, "there is no store that fences whoever drives")
    try:
        journal, entry = within(STORE_S, lambda: _journal(card, fleet_file, data, clock.time()))
    except Refusal:
        raise
    except Exception as error:  # whatever ails a store, it is no reason to leave traffic where it is
        why = f"the store cannot be used ({error})"
        told.say(f"  {why}; the decision is kept beside the cards", store=False)
        _spool(card, fleet_file, data, told, clock.time())
        return Decided(0, why)
    _tell_strangers_weights(card, journal, seen, told)
    if entry.epoch <= card.epoch:
        return Decided(entry.epoch, f"the store is older than the card (epoch {entry.epoch}, card {card.epoch})")
    meant = unanswered(journal.entries, clock.time() - card.write_timeout_s - CLOCKS_APART_S)
    return Decided(entry.epoch, f"{meant} was begun and has no result" if meant else "")


def _said(asked: Asked, seen: Mapping[str, Any], ready: str) -> dict[str, Any]:
    return {
        "kind": "rollback",
        "reason": asked.reason or "on-call rollback",
        "ref": asked.ref,
        "actor": asked.actor or this_actor(),
        "deny": False,
        "forced": asked.force,
        "by_person": True,
        "readiness": ready,
        "route": dict(seen["weights"]),
        "evidence": {},
    }


def _journal(card: Card, fleet_file: Path, data: Mapping[str, Any], now: float) -> tuple[Journal, Entry]:
    """The journal as it was, and the entry under whose epoch everybody else is fenced."""
    from rollout.journal import Journal  # not before the first line was said, like all that is not needed for it
    from rollout.store import HeadMoved, StoreError

    store = open_store(fleet_file)
    try:
        for _ in range(TRIES):
            journal = Journal(store.entries(card.rollout))
            _raise_if_over(card, journal)
            if journal.decision and not journal.halt and not data["forced"]:
                return journal, journal.entries[-1]
            if not journal.entries:
                raise StoreError(f"it does not know {card.rollout}")
            kind = "resumed" if journal.decision else "roll_back_decided"  # a way back that stood still goes on
            try:
                return journal, store.decide(card.rollout, journal.head, kind, data, now, outcome="running")
            except HeadMoved:
                continue
    finally:
        store.close()
    raise StoreError(f"{card.rollout} moves too fast to decide over it")


def look_at_store(card: Card, fleet_file: Path | None, told: Told) -> None:
    """What a drill can say of the decision, without taking it; a way back that is over is refused as in earnest."""

    from rollout.journal import Journal

    def look() -> str:
        store = open_store(fleet_file) if fleet_file else None
        if store is None:
            return "there is no fleet file"
        try:
            journal = Journal(store.entries(card.rollout))
        finally:
            store.close()
        _raise_if_over(card, journal)
        return "" if journal.entries else f"it does not know {card.rollout}"

    try:
        trouble = within(STORE_S, look)
    except Refusal:
        raise
    except Exception as error:
        trouble = str(error)
    if trouble:
        told.say(
            f"  the store cannot be used ({trouble}): it would be held for {card.write_timeout_s:.0f} s", store=False
        )


def open_store(fleet_file: Path) -> Store:
    """The fleet's store as it is; none is made. Raises StoreError, OSError, StateUnreadable."""
    from rollout.stores.opening import open_store as opened

    return opened(fleet_file, busy_s=STORE_BUSY_S, create=False)


def within(limit_s: float, act: Callable[[], R]) -> R:
    """What `act` returns or raises; TimeoutError when it takes longer, and then nobody waits for it any more."""
    answers = list[R]()
    errors = list[Exception]()

    def run() -> None:
        try:
            answers.append(act())
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError(f"no answer within {limit_s:.1f} s")
    return answers[0]


def unanswered(entries: Sequence[Entry], since: float) -> str:
    """The last write to the route that may still land: meant, and its result is not written down. Empty for none.

    What was tried several times has one answer at most; the tries without one may land for so long as a write may
    take: if they were meant after `since`. So may one that was given up, or was found to be done already.
    """
    open_now: dict[str, list[Entry]] = {}
    lost = ""
    for entry in entries:
        if entry.kind == "intended" and _is_of_the_route(entry):
            open_now[entry.step] = [*open_now.pop(entry.step, ()), entry]
        elif entry.kind in ("done", "failed"):
            tries = open_now.pop(entry.step, [])
            value = entry.data.get("value")
            answered = entry.kind == "done" and not (isinstance(value, Mapping) and value.get("already"))
            lost = entry.step if any(each.at > since for each in tries[: len(tries) - answered]) else lost
    return next(reversed(open_now), lost)


def _is_of_the_route(entry: Entry) -> bool:
    words = entry.step.removeprefix("back:").removeprefix("adopt:").partition(":")
    return "weights" in entry.data.get("args", {}) or words[0] in ROUTE_STEPS or words[0].endswith("detach")


def _tell_strangers_weights(card: Card, journal: Journal, seen: Mapping[str, Any], told: Told) -> None:
    known = [*journal.routes_on_the_way_back(), card.way_back]
    if journal.value("capture") is not None and dict(seen["weights"]) not in known:
        told.say("  somebody else set these weights, not this rollout; they are replaced", foreign=True)


def _raise_if_over(card: Card, journal: Journal) -> None:
    """The card was read a moment ago; the journal is newer."""
    if not journal.entries:
        return
    if journal.closed and journal.phase == "rolled_back":
        raise Refusal(f"{card.rollout} was rolled back meanwhile: traffic is on {card.original}", exits.DONE)
    if journal.closed or journal.adoption or not (journal.decision or can_turn_back(journal.phase)):
        raise way_back_closed(card, adopted=journal.adoption is not None)


def raise_if_closed(card: Card, now: float) -> None:
    """As the card says, before anything is asked of anybody."""
    if card.closed == "rolled_back":
        raise Refusal(f"{card.rollout} was rolled back already: traffic is on {card.original}", exits.DONE)
    if card.closed or (card.valid_until is not None and now >= card.valid_until):
        raise way_back_closed(card)


def way_back_closed(card: Card, *, adopted: bool = False) -> Refusal:
    """The words for it; WayBackClosed where a cold rollback is what is left."""
    taken = adopted or card.closed == "adopted"
    why = "a person took what serves as it is" if taken else f"{card.original} was kept warm until its window ended"
    stays = "Traffic stays where it is" if card.closed == "adopted" else f"Traffic stays on {card.replacement}"
    said = (
        f"the way back of {card.rollout} closed: {why}. {stays}. "
        f"To go back now: rollout start {card.service} --image <earlier image> --cold"
    )
    return Refusal(said) if taken else WayBackClosed(card, said)


def _spool(card: Card, fleet_file: Path, data: Mapping[str, Any], told: Told, now: float) -> None:
    """Best effort: the mark with the traffic is what engines obey."""
    try:
        folder = state_dir_of(fleet_file) / "spool"
        make_folder(folder)
        line = json.dumps({"rollout": card.rollout, "at": now, **data})
        name = f"{card.service}-{uuid.uuid4().hex[:8]}"
        aside = folder / f".{name}"
        aside.write_text(line + "\n")
        share(aside)
        aside.replace(folder / f"{name}.json")
    except (OSError, ValueError) as error:
        told.say(f"  nor can it be kept beside the cards ({error}): only the mark with the traffic says so")

"""Put the traffic of one service back: look, decide, move, mark, read back; success is said after all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rollout.card import Card, CardFolder
from rollout.rescue.asked import Asked
from rollout.rescue.clock import REAL, NightClock
from rollout.rescue.deciding import decide, look_at_store, raise_if_closed
from rollout.rescue.judging import judged, look_judged, readiness, shares, the_choice
from rollout.rescue.kept import heed_what_is_kept
from rollout.rescue.moving import Move, now_of
from rollout.rescue.thin import thin_of
from rollout.rescue.told import Told, Unfinished


def put_back(
    card: Card,
    cards: CardFolder | None,
    fleet_file: Path | None,
    told: Told,
    asked: Asked,
    clock: NightClock = REAL,
) -> None:
    """Traffic back on the card's original, marked, and read back. Safe in threads; doing it twice is harmless.

    Raises Refusal where all stays as it was (`code` 0: it was done already), WayBackClosed (a Refusal) where only a
    cold rollback is left, Unfinished where something was changed and a person is needed. `cards` and `fleet_file`
    None: a card that was made from what the platform says, without any file of ours.
    """
    move = begin(card, cards, fleet_file, told, asked, clock)
    if move is not None:
        finish(move, cards)


def begin(
    card: Card,
    cards: CardFolder | None,
    fleet_file: Path | None,
    told: Told,
    asked: Asked,
    clock: NightClock,
    thin: Any = None,
) -> Move | None:
    """Look, decide, move and mark; None after a drill, which goes on record. Raises as `put_back`. `thin`: the
    provider's module, where it is not to be the one that the card names."""
    began = clock.monotonic()
    doing = "trying, without a change, to put" if asked.drill else "putting"
    told.say(f"{card.service}: {doing} traffic back on {card.original} ({card.rollout})", **_names(card))
    if not asked.drill:
        return _begin(card, cards, fleet_file, told, asked, clock, began, thin)
    from rollout.rescue.drilling import on_record  # a rollback in earnest does not wait for it

    with on_record(card, fleet_file, told, asked, clock):
        return _begin(card, cards, fleet_file, told, asked, clock, began, thin)


def _begin(
    card: Card,
    cards: CardFolder | None,
    fleet_file: Path | None,
    told: Told,
    asked: Asked,
    clock: NightClock,
    began: float,
    thin: Any,
) -> Move | None:
    raise_if_closed(card, clock.time())
    thin = thin or thin_of(card)
    before = look_judged(thin, card, clock)
    go, ready = readiness(card, before)
    told.say(f"  now {shares(before['weights'])}; {ready}", before=dict(before["weights"]), readiness=ready)
    heed_what_is_kept(card, before, told, clock.time(), force=asked.force)
    if not go and not asked.force:
        raise the_choice(thin, card, before, ready)
    if asked.drill:
        look_at_store(card, fleet_file, told)
        seconds = clock.monotonic() - began
        told.say(
            f"{card.service}: drill: all but the change itself worked in {seconds:.2f} s", drill=True, seconds=seconds
        )
        return None
    decided = decide(card, fleet_file, told, before, asked, ready, clock)
    if not decided.epoch:
        raise_if_closed(now_of(card, cards), clock.time())  # nothing fences whoever gives the other side up
    move = Move(thin, card, decided, asked, told, clock, began)
    told.facts["moving"] = True
    try:
        move.put_back()
    except KeyboardInterrupt:
        move.mark()  # traffic may have moved, and whoever drives must hear of it
        raise
    move.mark()
    move.clear_if_over(cards)
    return move


def finish(move: Move, cards: CardFolder | None) -> None:
    """Read back for as long as it takes, count what is left on the other side, and say success. Raises Unfinished."""
    after = move.see_marked(move.hold(), cards)
    _say_done(move, after, _cut_and_count(move, after))


def _names(card: Card) -> dict[str, Any]:
    return {"id": card.rollout, "service": card.service, "active_slot": card.original}


def _cut_and_count(move: Move, seen: Mapping[str, Any]) -> str:
    """What is still on the side that traffic was taken from, in words; some platforms tell it much later."""
    slot = move.card.replacement
    count = seen["in_flight"].get(slot, 0)
    still = f"what is still on {slot} is not told at once" if count is None else f"{count} requests still on {slot}"
    if not move.asked.cut:
        return f"{still} (--cut ends them)" if count and hasattr(move.thin, "cut") else still
    move.cut()
    if move.closed is None:
        return f"{still}, which cannot be cut from here (on_rollback: cut has the engine do it)"
    return f"{move.closed} requests on {slot} were cut"


def _say_done(move: Move, seen: Mapping[str, Any], left: str) -> None:
    """Success, or what is missing of it."""
    card, seconds = move.card, move.clock.monotonic() - move.began
    facts: dict[str, Any] = {
        "traffic": dict(seen["weights"]),
        "in_flight": dict(seen["in_flight"]),
        "seconds": round(seconds, 3),
        **({} if move.closed is None else {"cut": move.closed}),
        "journalled": bool(move.decided.epoch),
        "next": f"rollout resume {card.rollout}",
    }
    where = f"all new traffic is on {card.original}"
    if unproven := seen.get("unproven"):
        raise Unfinished(
            f"all traffic is declared to go to {card.original}, but nobody serves by that: {unproven}. "
            f"Look: rollout doctor; then run this command again, which is harmless: rollout rollback {card.service}",
            **facts,
        )
    if not seen["healthy"].get(card.original):
        raise Unfinished(
            f"{where}, but {card.original} does not serve: {judged(card, seen)[1]}. {card.replacement} is kept. "
            f"Look: rollout status {card.service}",
            **facts,
        )
    if move.mark_trouble:
        raise Unfinished(
            f"{where}, read back, but the hold mark with it was not confirmed: {move.mark_trouble}. Whoever drives "
            f"{card.rollout} may move traffic again: run this command again, which is harmless",
            unmarked=True,
            **facts,
        )
    held = f"marked and read back for {card.write_timeout_s:.0f} s" if move.decided.doubt else "marked and read back"
    move.told.facts.pop("moving", None)
    move.told.say(f"{card.service}: {where}, {held}; {left} ({seconds:.1f} s)", **facts)

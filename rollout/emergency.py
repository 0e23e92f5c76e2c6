"""`rollout rollback`: put traffic back on the warm side, whatever else is broken.

Standard library, the card file and one thin provider module; the store is used if it can be. Traffic first, then the
hold mark, then read back until no write that was in flight can land any more; success is said after all three.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rollout import exits
from rollout.actor import this_actor
from rollout.card import Card, CardFolder, CardUnreadable
from rollout.journal import Journal
from rollout.phases import can_turn_back
from rollout.readiness import Side, may_serve
from rollout.state_dir import StateUnreadable, find_fleet_file, make_folder, share, state_dir_of, store_file_of

STORE_BUSY_S = 1.0
LOOK_S = 0.25
JUDGED_S = 2.0  # how long a balancer that was started a moment ago may take to judge its targets


class Refusal(Exception):
    """The emergency path will not act; the message says why, and the next command."""

    def __init__(self, message: str, code: int = exits.PERSON_NEEDED) -> None:
        super().__init__(message)
        self.code = code

    @property
    def how(self) -> str:
        return "nothing to do" if self.code == exits.DONE else "rollback refused"


class Unfinished(Refusal):
    """Something was changed already, and a person is needed for the rest."""

    how = "rollback not finished"


@dataclass
class Told:
    """What this command says: lines for people at once on stderr, or one JSON document at the end on stdout."""

    as_json: bool
    facts: dict[str, Any] = field(default_factory=dict)

    def say(self, line: str, **facts: Any) -> None:
        self.facts.update(facts)
        if not self.as_json:
            print(line, file=sys.stderr, flush=True)

    def end(self, code: int) -> int:
        if self.as_json:
            print(json.dumps({**self.facts, "exit_code": code}, sort_keys=True), flush=True)
        return code


def main(arguments: list[str]) -> tuple[int, list[str]]:
    """The exit code, and the command line that finishes the story (empty: nothing is left to do here)."""
    asked, unknown = _parser().parse_known_intermixed_args(arguments)
    told = Told(asked.json)
    if unknown:
        told.say(f"  ignored: {' '.join(unknown)}")
    try:
        fleet_file = find_fleet_file(asked.config, os.environ, Path.cwd())
        if fleet_file is None:
            raise Refusal("no fleet file was found: name it with --config FILE", exits.USAGE)
        if not fleet_file.is_file():
            raise Refusal(f"there is no fleet file {fleet_file}", exits.USAGE)
        cards = CardFolder(state_dir_of(fleet_file) / "cards")
        card = choose(cards, asked.service, told)
        put_back(card, cards, fleet_file, told, asked)
    except Refusal as refusal:
        told.say(f"{refusal.how}: {refusal}", error=str(refusal))
        return told.end(refusal.code), []
    except (OSError, StateUnreadable, CardUnreadable) as error:
        told.say(f"rollback failed: {error}", error=str(error))
        return told.end(exits.PERSON_NEEDED), []
    code = told.end(exits.DONE)
    if asked.drill or asked.json or not asked.wait:
        return code, []
    return code, ["resume", card.rollout, "--config", str(fleet_file), "--after-rollback"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollout rollback", add_help=False)
    parser.add_argument("command")
    parser.add_argument("service", nargs="?")
    parser.add_argument("--config")
    parser.add_argument("--reason", default="")
    parser.add_argument("--ref", default="")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--drill", action="store_true")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--quiet", "-q", "--no-input", action="store_true")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True)
    return parser


def choose(cards: CardFolder, service: str | None, told: Told) -> Card:
    """The card of the named service, or the only one whose way back is open."""
    if service is not None:
        card = cards.read(service)
        if card is None:
            from rollout.fleetfile.problems import nearest  # only here: a name that is right waits for nothing

            known = [each.service for each in cards.all()[0]]
            hint = f" (did you mean {near}?)" if (near := nearest(service, known)) else ""
            there = f"services with one: {', '.join(known) or 'none'}{hint}"
            raise Refusal(f"{service} has no rollback card in {cards.folder}; {there}", exits.USAGE)
        return card
    readable, problems = cards.all()
    for problem in problems:
        told.say(f"  {problem}")
    found = [card for card in readable if not card.closed]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refusal(f"no service has a way back open now (no open card in {cards.folder})", exits.USAGE)
    commands = "".join(f"\n  rollout rollback {card.service}" for card in found)
    raise Refusal(f"which one? these have a way back:{commands}", exits.USAGE)


def put_back(card: Card, cards: CardFolder, fleet_file: Path, told: Told, asked: argparse.Namespace) -> None:
    """Traffic back on the card's original, marked, and read back; Refusal leaves everything as it was."""
    began = time.monotonic()
    doing = "trying, without a change, to put" if asked.drill else "putting"
    told.say(f"{card.service}: {doing} traffic back on {card.original} ({card.rollout})", **_names(card))
    _raise_if_closed(card)
    thin = _thin(card)
    before = _read_judged(thin, card)
    go, ready = _readiness(card, before)
    told.say(f"  now {_shares(before['weights'])}; {ready}", before=before["weights"], readiness=ready)
    if not go and not asked.force:
        raise Refusal(
            f"{ready}. Traffic stays as it is: {_shares(before['weights'])}. To put it back nevertheless: "
            f"rollout rollback {card.service} --force"
        )
    if asked.drill:
        seconds = time.monotonic() - began
        told.say(f"drill: all but the change itself worked in {seconds:.2f} s", drill=True, seconds=seconds)
        return
    epoch = _decide(card, fleet_file, told, before, asked=asked, ready=ready)
    _move(thin, card, epoch, asked.reason)
    _clear_if_closed(thin, card, cards)
    after = _hold(thin, card)
    seconds = time.monotonic() - began
    told.say(
        f"{card.service}: all new traffic is on {card.original}, read back for {card.write_timeout_s:.0f} s; "
        f"{_left(after, card.replacement)} ({seconds:.1f} s)",
        traffic=after["weights"],
        in_flight=after["in_flight"],
        seconds=round(seconds, 3),
        next=f"rollout resume {card.rollout}",
    )
    if not after["healthy"].get(card.original):
        raise Unfinished(
            f"but {card.original} does not serve: {_judged(card, after)[1]}. {card.replacement} is kept. "
            f"Look: rollout status {card.service}"
        )


def _names(card: Card) -> dict[str, Any]:
    return {"id": card.rollout, "service": card.service, "active_slot": card.original}


def _raise_if_closed(card: Card) -> None:
    if card.closed == "rolled_back":
        raise Refusal(f"{card.rollout} was rolled back already: traffic is on {card.original}", exits.DONE)
    if card.closed or (card.valid_until is not None and time.time() >= card.valid_until):
        raise _closed(card)


def _closed(card: Card, *, adopted: bool = False) -> Refusal:
    why = (
        "a person took what serves as it is"
        if adopted or card.closed == "adopted"
        else f"{card.original} was kept warm until its window ended"
    )
    stays = "Traffic stays where it is" if card.closed == "adopted" else f"Traffic stays on {card.replacement}"
    return Refusal(
        f"the way back of {card.rollout} closed: {why}. {stays}. "
        f"To go back now: rollout start {card.service} --image <earlier image>"
    )


def _thin(card: Card) -> Any:
    try:
        return importlib.import_module(f"providers.{card.provider}.rollback")
    except ImportError as error:
        raise Refusal(
            f"{card.provider} cannot be reached without the engine ({error}), so nothing was changed. "
            f"Next: rollout abort {card.rollout} --reason TEXT"
        ) from error


def _read(thin: Any, card: Card) -> Mapping[str, Any]:
    try:
        seen: Mapping[str, Any] = thin.read(card.target)
        return seen
    except Exception as error:
        told = f"the balancer of {card.service} cannot be read, so nothing was changed: {error}"
        raise Refusal(told + _by_hand(thin, card)) from error


def _by_hand(thin: Any, card: Card) -> str:
    """What the platform's own tools would be told, where they may still get through; empty where there are none."""
    try:
        lines = thin.by_hand(card.target, card.way_back)
    except Exception:
        return ""
    return f"\nWithout this program, all traffic goes to {card.original} by:" + "".join(f"\n  {line}" for line in lines)


def _read_judged(thin: Any, card: Card) -> Mapping[str, Any]:
    """What is seen once the balancer has judged the original's targets, or after `JUDGED_S`."""
    until = time.monotonic() + JUDGED_S
    while True:
        seen = _read(thin, card)
        if not seen.get("unknown", {}).get(card.original) or time.monotonic() >= until:
            return seen
        time.sleep(LOOK_S)


def _readiness(card: Card, seen: Mapping[str, Any]) -> tuple[bool, str]:
    if seen["weights"].get(card.original) == 100:
        return True, f"all traffic is on {card.original}"
    return _judged(card, seen)


def _judged(card: Card, seen: Mapping[str, Any]) -> tuple[bool, str]:
    original, replacement = (_side(seen, slot) for slot in (card.original, card.replacement))
    go, why = may_serve(original, replacement, card.capacity, was_healthy=card.was_healthy)
    return go, f"{card.original}: {why}"


def _side(seen: Mapping[str, Any], slot: str) -> Side:
    return Side(*(seen.get(judged, {}).get(slot, 0) for judged in ("healthy", "unhealthy", "unknown")))


def _decide(
    card: Card,
    fleet_file: Path,
    told: Told,
    seen: Mapping[str, Any],
    *,
    asked: argparse.Namespace,
    ready: str,
) -> int:
    """Journal the decision, which fences whoever drives; without a store, spool it beside the cards."""
    data = {
        "kind": "rollback",
        "reason": asked.reason or "on-call rollback",
        "ref": asked.ref,
        "actor": this_actor(),
        "deny": False,
        "forced": asked.force,
        "by_person": True,
        "readiness": ready,
        "route": dict(seen["weights"]),
        "evidence": {},
    }
    from rollout.store import HeadMoved, Store, StoreError

    try:
        store = Store(store_file_of(fleet_file), busy_s=STORE_BUSY_S, create=False)
        while True:
            journal = Journal(store.entries(card.rollout))
            _raise_if_over(card, journal)
            if journal.decision:
                return journal.entries[-1].epoch
            try:
                entry = store.decide(
                    card.rollout, journal.head, "roll_back_decided", data, time.time(), outcome="running"
                )
                return entry.epoch
            except HeadMoved:
                continue
    except (StoreError, OSError, ValueError, TypeError) as error:
        told.say(f"  the store cannot be used ({error}); the decision is kept beside the cards")
        _spool(card, fleet_file, data)
        return 0


def _raise_if_over(card: Card, journal: Journal) -> None:
    """The card was read a moment ago; the journal is newer."""
    if journal.closed and journal.phase == "rolled_back":
        raise Refusal(f"{card.rollout} was rolled back meanwhile: traffic is on {card.original}", exits.DONE)
    if journal.closed or journal.adoption or not (journal.decision or can_turn_back(journal.phase)):
        raise _closed(card, adopted=journal.adoption is not None)


def _clear_if_closed(thin: Any, card: Card, cards: CardFolder) -> None:
    """A rollout that ended while its mark was being written needs none, and the next one must not find it."""
    try:
        now = cards.read(card.service)
        if now and (now.closed or now.rollout != card.rollout):
            thin.set_mark(card.target, None, f"{_token()}-clear")
    except Exception:
        return  # traffic is back, which is what counts; `rollout resume` clears a mark that was left over


def _spool(card: Card, fleet_file: Path, data: Mapping[str, Any]) -> None:
    """Best effort: the mark with the traffic is what engines obey."""
    folder = state_dir_of(fleet_file) / "spool"
    try:
        make_folder(folder)
        line = json.dumps({"rollout": card.rollout, "at": time.time(), **data})
        name = f"{card.service}-{uuid.uuid4().hex[:8]}"
        aside = folder / f".{name}"
        aside.write_text(line + "\n")
        share(aside)
        aside.replace(folder / f"{name}.json")
    except OSError:
        return


def _move(thin: Any, card: Card, epoch: int, reason: str) -> None:
    token = _token()
    mark = {
        "rollout": card.rollout,
        "epoch": epoch,
        "active": card.original,
        "by": this_actor(),
        "at": time.time(),
        "reason": reason,
    }
    try:
        thin.put_back(card.target, card.way_back, token)
        thin.set_mark(card.target, mark, f"{token}-mark")
    except Exception as error:
        raise Unfinished(
            f"the change was not confirmed: {error}. Where traffic is now: rollout status {card.service}; "
            f"then run this command again, which is harmless"
        ) from error


def _hold(thin: Any, card: Card) -> Mapping[str, Any]:
    """Read back until T has passed; what a late write undid is put right, but nobody is fought for ever."""
    until = time.monotonic() + card.write_timeout_s
    while True:
        seen = _put_right(thin, card)
        if dict(seen["weights"]) == card.way_back:
            if time.monotonic() >= until:
                return seen
        elif time.monotonic() >= until + card.write_timeout_s:
            raise Unfinished(
                f"traffic does not stay on {card.original}: it is {_shares(seen['weights'])}, though it was put back "
                f"again and again. Find who moves it, then run this command again, which is harmless"
            )
        time.sleep(LOOK_S)


def _put_right(thin: Any, card: Card) -> Mapping[str, Any]:
    """What is seen now; put back once more if that is not the way back."""
    try:
        seen: Mapping[str, Any] = thin.read(card.target)
        if dict(seen["weights"]) != card.way_back:
            thin.put_back(card.target, card.way_back, _token())
        return seen
    except Exception as error:
        raise Unfinished(
            f"traffic was put back on {card.original}, but reading it back failed: {error}. "
            f"Look with: rollout status {card.service}"
        ) from error


def _left(seen: Mapping[str, Any], slot: str) -> str:
    """What is still on the side that traffic was taken from; some platforms tell it much later."""
    count = seen["in_flight"].get(slot, 0)
    return f"what is still on {slot} is not told at once" if count is None else f"{count} requests still on {slot}"


def _token() -> str:
    return f"emergency-{uuid.uuid4().hex[:16]}"


def _shares(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{slot} {share} %" for slot, share in sorted(weights.items()))

"""Which service is meant: by its name, its rollout, one of its hosts, its address, balancer or target group."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rollout import exits
from rollout.card import Card, CardFolder, CardUnreadable
from rollout.rescue import thin
from rollout.rescue.deciding import within
from rollout.rescue.journalled import cards_of_store
from rollout.rescue.told import Refusal, Told

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")  # never a path
LISTED = 5
MATCH_S = 5.0
"""So long a platform may take to say whether an address is of a service."""


def choose(cards: CardFolder, named: str | None, told: Told, now: float, fleet_file: Path | None = None) -> Card:
    """The card that is meant, or the only one whose way back is open; by the store, where a file of it cannot be read.

    Raises Refusal, CardUnreadable.
    """
    if named is None:
        return _only_one(cards, told, now, fleet_file)
    damaged: CardUnreadable | None = None
    try:
        card = cards.read(named) if _may_be_a_name(named) else None
    except CardUnreadable as error:
        card, damaged = None, error
    if card is not None:
        return card
    readable, problems = ([], []) if damaged else cards.all()
    found = [card for card in readable if card.rollout == named] or _matching(readable, named, told, now)
    if not found:
        stored = [card for card in cards_of_store(fleet_file) if named in (card.service, card.rollout)]
        for card in stored:
            told.say(f"  {damaged or f'the card of {card.service} is gone'}; the journal's is used")
            return card
    if damaged:
        raise damaged
    if len(found) == 1:
        told.say(f"  {named} is of {found[0].service}", named=named)
        return found[0]
    if found:
        raise _which(f"{named} is of several services", found, now)
    for problem in problems:
        told.say(f"  {problem}")
    raise _unknown(cards, named, readable)


def open_cards(
    cards: CardFolder, told: Told, now: float, fleet_file: Path | None = None
) -> tuple[list[Card], list[str]]:
    """Those whose way back is open, the newest change first; and what cannot be read, nor is in the store, in words.

    What the files lack is told.
    """
    readable, problems = cards.all()
    for problem in problems:
        told.say(f"  {problem}")
    if problems or not readable:
        known = {card.service for card in readable}
        stored = [card for card in cards_of_store(fleet_file) if card.service not in known]
        for card in stored:
            told.say(f"  the journal's card of {card.service} is used")
        problems = [each for each in problems if not any(str(cards.path(card.service)) in each for card in stored)]
        readable = [*readable, *stored]
    return _newest_first(card for card in readable if is_open(card, now)), problems


def is_open(card: Card, now: float) -> bool:
    return not card.closed and (card.valid_until is None or now < card.valid_until)


def find_without_card(provider: str, named: str | None, place: Mapping[str, str]) -> Card:
    """A card made of what the platform itself says, where there is no file of ours at all.

    `find(named, place)` of the thin module gives mappings with what a card has: service, rollout, original,
    replacement, target, capacity and write_timeout_s. Raises Refusal.
    """
    if named is None:
        raise Refusal("say whose traffic: an instance id, an address, a balancer or a target group", exits.USAGE)
    try:
        module = thin.load(provider)
        find: Callable[[str, Mapping[str, str]], Sequence[Mapping[str, Any]]] = module.find
    except (ImportError, AttributeError) as error:
        raise Refusal(f"{provider} cannot find a service without its rollback card ({error})", exits.USAGE) from error
    try:
        found = [Card.from_json({**_UNTOLD, **each, "provider": provider}) for each in find(named, place)]
    except Exception as error:
        raise Refusal(f"{provider} could not be asked for {named}: {error}. Nothing was changed") from error
    if len(found) != 1:
        told = ", ".join(card.service for card in found) or "nothing"
        raise Refusal(f"{provider}: {named} leads to {told}; say it more exactly. Nothing was changed", exits.USAGE)
    return found[0]


_UNTOLD: Mapping[str, Any] = {"rollout": "without a card", "app_version": None, "written_at": 0.0}


def _may_be_a_name(named: str) -> bool:
    return _NAME.fullmatch(named) is not None


def _only_one(cards: CardFolder, told: Told, now: float, fleet_file: Path | None) -> Card:
    found, unreadable = open_cards(cards, told, now, fleet_file)
    if len(found) == 1 and not unreadable:
        return found[0]
    if not found:
        closed = _newest_first(cards.all()[0])[:LISTED]
        lines = "".join(f"\n  rollout rollback {card.service}   # {_what_became_of(card)}" for card in closed)
        said = f"no service has a way back open now (no open card in {cards.folder})"
        raise Refusal(f"{said}{'; the last were:' if lines else ''}{lines}", exits.USAGE)
    why = "which one? these have a way back, the newest change first"
    if unreadable:
        why = "which one? a card cannot be read (above), so more may be meant than these, the newest change first"
    raise _which(why, found, now)


def _what_became_of(card: Card) -> str:
    return f"rolled back: traffic is on {card.original}" if card.closed == "rolled_back" else "goes cold"


def _which(why: str, found: Sequence[Card], now: float) -> Refusal:
    lines = "".join(f"\n  rollout rollback {card.service}   # {_ago(now - card.written_at)}" for card in found)
    commands = [f"rollout rollback {card.service}" for card in found]
    return Refusal(f"{why}:{lines}", exits.USAGE, candidates=commands)


def _newest_first(cards: Any) -> list[Card]:
    return sorted(cards, key=lambda card: (-card.written_at, card.service))


def _ago(seconds: float) -> str:
    for unit, length in (("days", 172_800.0), ("h", 7200.0), ("min", 120.0)):
        if seconds >= length:
            return f"{seconds / {'days': 86_400.0, 'h': 3600.0, 'min': 60.0}[unit]:.0f} {unit} ago"
    return f"{max(0.0, seconds):.0f} s ago"


def _matching(readable: Sequence[Card], named: str, told: Told, now: float) -> list[Card]:
    """Open cards whose platform says that this is theirs; one that cannot say is told and left out."""
    found = list[Card]()
    for card in _newest_first(card for card in readable if is_open(card, now)):
        try:
            if _is_of(card, named):
                found.append(card)
        except Exception as error:
            told.say(f"  whether {named} is of {card.service} cannot be told: {error}")
    return found


def _is_of(card: Card, named: str) -> bool:
    module = thin.load(card.provider)
    return hasattr(module, "matches") and within(MATCH_S, lambda: bool(module.matches(card.target, named)))


def _unknown(cards: CardFolder, named: str, readable: Sequence[Card]) -> Refusal:
    from rollout.fleetfile.problems import nearest  # only here: a name that is right waits for nothing

    known = [card.service for card in readable]
    hint = f" (did you mean {near}?)" if (near := nearest(named, known)) else ""
    there = f"services with one: {', '.join(known) or 'none'}{hint}"
    return Refusal(f"{named} has no rollback card in {cards.folder}; {there}", exits.USAGE)

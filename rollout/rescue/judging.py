"""Look at both sides and say whether traffic may go back. Decided from what is live; the card says what is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.card import Card
from rollout.readiness import Side, may_serve
from rollout.rescue.clock import NightClock
from rollout.rescue.thin import commands_by_hand, commands_to_resize
from rollout.rescue.told import Refusal

LOOK_S = 0.25
JUDGED_S = 2.0
"""How long a balancer that was started a moment ago may take to judge its targets."""

FAR_TOO_SMALL = 0.5
"""Less than this share of the hosts that serve now would be an outage of its own, whatever the card says."""


def look(thin: Any, card: Card) -> Mapping[str, Any]:
    try:
        seen: Mapping[str, Any] = thin.read(card.target)
        return seen
    except Exception as error:
        told = f"the balancer of {card.service} cannot be read, so nothing was changed: {error}"
        raise Refusal(told + commands_by_hand(thin, card)) from error


def look_judged(thin: Any, card: Card, clock: NightClock) -> Mapping[str, Any]:
    """What is seen once the balancer has judged the original's targets, or after `JUDGED_S`."""
    until = clock.monotonic() + JUDGED_S
    while True:
        seen = look(thin, card)
        if not seen.get("unknown", {}).get(card.original) or clock.monotonic() >= until:
            return seen
        clock.sleep(LOOK_S)


def readiness(card: Card, seen: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether to go, and why in words."""
    if seen["weights"].get(card.original) == 100:
        return True, f"all traffic is on {card.original}"
    go, why = judged(card, seen)
    return (go and not is_far_too_small(card, seen)), why + older_card(card, seen)


def judged(card: Card, seen: Mapping[str, Any]) -> tuple[bool, str]:
    original, replacement = (_side(seen, slot) for slot in (card.original, card.replacement))
    go, why = may_serve(original, replacement, card.capacity, was_healthy=card.was_healthy)
    return go, f"{card.original}: {why}"


def is_far_too_small(card: Card, seen: Mapping[str, Any]) -> bool:
    """Has what serves grown so much since the card was written that the original could not take it over?"""
    original, serving = _side(seen, card.original), _side(seen, card.replacement)
    return original.healthy >= card.capacity and original.healthy < FAR_TOO_SMALL * serving.healthy


def older_card(card: Card, seen: Mapping[str, Any]) -> str:
    """What is live and the card does not know; empty where it is as the card says."""
    original, serving = _side(seen, card.original), _side(seen, card.replacement)
    if serving.healthy <= max(card.capacity, original.healthy):
        return ""
    return f"; {card.replacement} has grown to {serving.healthy} since the card was written"


def the_choice(thin: Any, card: Card, seen: Mapping[str, Any], why: str) -> Refusal:
    """A sick or too small original, put plainly: what is, and both commands."""
    needed = max(card.capacity, _side(seen, card.replacement).healthy if is_far_too_small(card, seen) else 0)
    lines = [f"rollout rollback {card.service} --force"]
    resize = commands_to_resize(thin, card, needed)
    first = f"\n  To have {needed} of {card.original} first: {'; '.join(resize)}" if resize else ""
    return Refusal(
        f"{why}. Traffic stays as it is: {shares(seen['weights'])}.{first}\n  To put it back nevertheless: {lines[0]}",
        choices={"force": lines[0], "resize": resize},
    )


def _side(seen: Mapping[str, Any], slot: str) -> Side:
    return Side(*(seen.get(judged, {}).get(slot, 0) for judged in ("healthy", "unhealthy", "unknown")))


def is_back(card: Card, seen: Mapping[str, Any]) -> bool:
    return dict(seen["weights"]) == card.way_back


def shares(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{slot} {share} %" for slot, share in sorted(weights.items()))

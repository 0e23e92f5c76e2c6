"""The break-glass sheet: a rollback card in plain words, for a person who has nothing of ours but this file.

It is written with the card and never read by a program. Standard library only. It holds no secret: what it is made
from, the card and the platform's commands, holds none.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollout.rescue.thin import load

if TYPE_CHECKING:
    from rollout.card import Card

CLOSED = {
    "rolled_back": "It was used: traffic is back on {original}.",
    "retired": "{original} was given up. To go back, an earlier image has to be rolled out.",
    "adopted": "A person took what serves as it is.",
}


def sheet_of(card: Card, begun: str = "") -> str:
    """The whole text. `begun`: who began the rollout, and why."""
    head = [
        f"BREAK GLASS: {card.service}",
        "",
        f"written   {_utc(card.written_at) if not card.closed else 'when the way back was closed'}",
        f"rollout   {card.rollout}{f', begun by {_line(begun)}' if begun else ''}",
    ]
    if card.closed:
        said = CLOSED.get(card.closed, "The way back is closed.").format(original=card.original)
        return "\n".join([*head, "", f"THERE IS NO WAY BACK ANY MORE. {said}", ""])
    return "\n".join([*head, "", *_now(card), "", *_go_back(card), "", *_by_hand(card), "", *_after(card, begun), ""])


def commands_of(card: Card) -> list[str]:
    """What the platform's own tools are told, as the provider's thin module says; empty where it cannot say."""
    try:
        return [str(line) for line in load(card.provider).by_hand(card.target, card.way_back)]
    except Exception:  # a sheet without commands is better than a rollout that cannot write its card
        return []


def _now(card: Card) -> list[str]:
    version = f", application version {_line(card.app_version)}" if card.app_version else ""
    return [
        "WHAT IS",
        f"  {card.original} is the side from before{version}. It is kept as it was: that is the way back.",
        f"  {card.replacement} is the patched side, to which traffic goes, in part or all of it.",
        f"  When this was written, all that {card.original} needs was "
        f"{'healthy' if card.was_healthy else 'NOT all healthy'}. It needs {card.capacity} healthy hosts,",
        "  or units where hosts count for more than one.",
    ]


def _go_back(card: Card) -> list[str]:
    until = f"until {_utc(card.valid_until)}" if card.valid_until else "until it is promoted, and then for a while yet"
    return [f"TO GO BACK ({until})", f"  rollout rollback {card.service} --reason TEXT"]


def _by_hand(card: Card) -> list[str]:
    wanted = ", ".join(f"{slot} {share} %" for slot, share in sorted(card.way_back.items()))
    lines = commands_of(card)
    head = [f"WITHOUT THIS PROGRAM ({card.provider}): {wanted}"]
    if lines:
        return [*head, "  In this order; the last ones only look, and may be run first:", "", *lines]
    told = json.dumps(dict(card.target), indent=2, sort_keys=True).splitlines()
    return [*head, "  Declare that at:", "", *told]


def _after(card: Card, begun: str) -> list[str]:
    tell: Sequence[str] = (f"begun by {_line(begun)}",) if begun else ()
    return [
        "THEN",
        f"  See the weights stay for {card.write_timeout_s:.0f} s: a write that was under way may still land.",
        f"  Delete nothing of {card.replacement}. Leave {card.original} as large as it is.",
        f"  Tell whoever runs `rollout serve`, for it may move traffic again: rollout rollback {card.service}, as soon",
        "  as that works, makes it stand back. Note when you did what, and why.",
        *(f"  Tell also who is responsible for {card.service}: {each}." for each in tell),
    ]


def _utc(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _line(text: str) -> str:
    """On one line, and harmless to a terminal."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())[:300]

"""The one provider module that the way back loads: providers/<name>/rollback.py, without the composition root.

It has `read`, `put_back`, `set_mark`, and may have more: `by_hand`, `matches(target, named) -> bool`, `cut(target,
slot, token) -> int`, `resize_by_hand(target, slot, capacity) -> list[str]`, `find(named, place) -> list[mapping]`,
`one_of_many(original, capacity)`: the same, for one of many services at once where calls are limited.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from rollout.card import Card
from rollout.rescue.told import Refusal


def load(provider: str) -> Any:
    """Raises ImportError where the provider has none."""
    return importlib.import_module(f"providers.{provider}.rollback")


def thin_of(card: Card) -> Any:
    try:
        return load(card.provider)
    except ImportError as error:
        raise Refusal(
            f"{card.provider} cannot be reached without the engine ({error}), so nothing was changed. "
            f"Next: rollout abort {card.rollout} --reason TEXT"
        ) from error


def one_of_many(card: Card) -> Any:
    """What a service among many is put back with."""
    module = thin_of(card)
    made = getattr(module, "one_of_many", None)
    return made(card.original, card.capacity) if made else module


def commands_by_hand(thin: Any, card: Card) -> str:
    """What the platform's own tools would be told, where they may still get through; empty where there are none."""
    try:
        lines: Sequence[str] = thin.by_hand(card.target, card.way_back)
    except Exception:
        return ""
    return f"\nWithout this program, all traffic goes to {card.original} by:" + "".join(f"\n  {line}" for line in lines)


def commands_to_resize(thin: Any, card: Card, capacity: int) -> list[str]:
    """What makes the original as large as that; empty where nobody knows."""
    try:
        return list(thin.resize_by_hand(card.target, card.original, capacity))
    except Exception:
        # While it is warm, whoever drives it launches what the way back lacks.
        return [f"rollout resume {card.rollout}"] if card.valid_until is not None else []

"""The card as the journal has it, where its file is gone or damaged: it is kept in the store, too."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.card import Card
from rollout.rescue.deciding import STORE_S, open_store, within

if TYPE_CHECKING:
    from rollout.journal import Entry


def cards_of_store(fleet_file: Path | None) -> list[Card]:
    """Of every open rollout that has one, as it was last written; none where the store cannot say it in time."""
    if fleet_file is None:
        return []
    try:
        return within(STORE_S, lambda: _look_up(fleet_file))
    except Exception:  # whatever ails the store, the files are what counts
        return []


def _look_up(fleet_file: Path) -> list[Card]:
    store = open_store(fleet_file)
    try:
        found = [_last(store.entries(row.id)) for row in store.rollouts(open_only=True)]
        return [card for card in found if card is not None]
    finally:
        store.close()


def _last(entries: list[Entry]) -> Card | None:
    for entry in reversed(entries):
        value = entry.data.get("value") if entry.kind == "done" else None
        if isinstance(value, Mapping) and "written_at" in value:
            try:
                return Card.from_json(value)
            except TypeError:
                return None
    return None

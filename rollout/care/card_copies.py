"""Where several machines share a store, each has the rollback card of every open rollout, whoever drives it.

Whoever drives writes the card where it runs; the others copy it from the journal, in which it stands, too. So that
`rollout rollback` on any of them knows the same, without the store.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rollout.card import Card, CardFolder, CardSuperseded, CardUnreadable
from rollout.database import Reads

COPIED_S = 5.0
"""How often it is looked."""
SETTLED_S = 10.0
"""A file that was written more lately may be ahead of the journal: who drives writes the card first."""
OPEN = "SELECT id, head_seq FROM rollouts WHERE closed_at IS NULL"
LAST = (
    "SELECT data, actor, reason FROM journal JOIN rollouts ON id = rollout WHERE rollout = ? AND seq > ?"
    " AND kind = 'done' AND data LIKE '%\"written_at\"%' ORDER BY seq DESC LIMIT 1"
)


class CardCopies:
    """`look` now and then, from one thread. `time_of` is this machine's clock, as its files have it."""

    def __init__(self, db: Reads, cards: CardFolder, time_of: Callable[[], float] = time.time) -> None:
        self._db, self._cards, self._time_of = db, cards, time_of
        self._seen: dict[str, int] = {}
        self._known: set[str] | None = None  # what was open before; None: this process has not looked yet

    def look(self) -> None:
        """Raises StoreError, and OSError where a card cannot be written; what is left is copied by the next look."""
        heads = dict(self._db.all(OPEN))
        known = self._left_open() if self._known is None else self._known
        too_early = {rollout for rollout in known - heads.keys() if not self._copy(rollout)}
        for rollout, head in heads.items():
            if self._seen.get(rollout) != head and self._copy(rollout):
                self._seen[rollout] = head
        self._known = too_early | heads.keys()
        self._seen = {rollout: self._seen[rollout] for rollout in self._seen.keys() & self._known}

    def _left_open(self) -> set[str]:
        """Of which rollouts there are open cards: they may have ended while nobody was here."""
        return {card.rollout for card in self._cards.all()[0] if not card.closed}

    def _copy(self, rollout: str) -> bool:
        """False where it is too early to tell which is newer, the file or the journal."""
        found: list[Any] = self._db.all(LAST, rollout, self._seen.get(rollout, 0))
        if not found:
            return True
        data, actor, reason = found[0]
        try:
            card = Card.from_json(json.loads(data)["value"])
        except (KeyError, TypeError, ValueError):
            return True  # another release's, which copies it itself
        try:
            present = self._cards.read(card.service)
        except CardUnreadable:
            present = None
        if present is not None and present.rollout == rollout:
            if present == card or present.epoch > card.epoch:
                return True
            if abs(self._time_of() - self._cards.path(card.service).stat().st_mtime) < SETTLED_S:
                return False
        with suppress(CardSuperseded):
            self._cards.write(card, f"{actor}{f' ({reason})' if reason else ''}")
        return True

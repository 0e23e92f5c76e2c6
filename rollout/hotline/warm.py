"""Keep warm what a rollback needs: the thin module of every open card, and its connections, used once now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rollout.card import Card, CardFolder
from rollout.rescue import thin

EVERY_S = 300.0
"""One read of each open way back: what a platform allows in so long is a thousand times as much."""


@dataclass
class Warmth:
    """`said(service, problem)` is told when a way back cannot be read any more, and (empty) when it can be again."""

    cards: CardFolder
    said: Callable[[str, str], None]
    load: Callable[[str], Any] = thin.load
    _cold: dict[str, str] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, now: float) -> None:
        """Read the traffic of every open card, one after the other; what fails is told, and stops no other."""
        for card in self.cards.all()[0]:
            if not card.closed and (card.valid_until is None or now < card.valid_until):
                self._tell(card.service, self._read(card))

    def _read(self, card: Card) -> str:
        try:
            self.load(card.provider).read(card.target)
        except Exception as error:  # whatever a platform's module raises: it is told, and looked at again
            return f"{type(error).__name__}: {error}"
        return ""

    def _tell(self, service: str, problem: str) -> None:
        with self._guard:
            before = self._cold.get(service, "")
            self._cold[service] = problem
        if bool(problem) != bool(before):
            self.said(service, problem)

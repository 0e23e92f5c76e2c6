"""Keep warm what a rollback needs: the thin module of every open card, and its connections, used once now and then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rollout.card import Card, CardFolder
from rollout.rescue import thin
from rollout.rescue.choosing import is_open

EVERY_S = 300.0
MOST = 50
"""Open ways back that are read each time, the others in turn: five hundred would take all that a platform such as AWS
allows in so long, and whoever has to roll back would wait for it."""


@dataclass
class Warmth:
    """`said(service, problem)` is told when a way back cannot be read any more, and (empty) when it can be again."""

    cards: CardFolder
    said: Callable[[str, str], None]
    load: Callable[[str], Any] = thin.load
    _cold: dict[str, str] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    _turn: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, now: float) -> None:
        """Read the traffic of open cards, one after the other, those first that were longest not read; what fails is
        told, and stops no other."""
        found = [card for card in self.cards.all()[0] if is_open(card, now)]
        for card in sorted(found, key=lambda card: self._turns.get(card.service, 0))[:MOST]:
            self._turn += 1
            self._turns[card.service] = self._turn
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

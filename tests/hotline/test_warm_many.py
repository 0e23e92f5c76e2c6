"""Hundreds of ways back are kept warm in turn: what a platform allows is for whoever has to roll back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rollout.card import CardFolder
from rollout.hotline.warm import MOST, Warmth
from tests.rescue.kit import CARD


def test_hundreds_are_read_in_turn(tmp_path: Path) -> None:
    """A server of five hundred services spends all reads that AWS grants on its own looks, and a rollback waits."""
    reads, cards = Counter[str](), CardFolder(tmp_path / "cards")
    names = [f"s-{number}" for number in range(MOST + 30)]
    for name in names:
        cards.write(replace(CARD, service=name, target={"balancer": name}))

    def read(target: Any) -> None:
        reads[target["balancer"]] += 1

    warmth = Warmth(cards, lambda *said: None, lambda provider: SimpleNamespace(read=read))
    warmth.keep(1.0)
    assert reads.total() == MOST
    cards.write(replace(CARD, service="new", target={"balancer": "new"}))
    warmth.keep(2.0)
    assert reads.total() == 2 * MOST and {*names, "new"} == set(reads), "those first that were longest not read"
    assert max(reads.values()) == 2

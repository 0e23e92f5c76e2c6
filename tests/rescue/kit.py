"""A night: a fleet of one service with a card, a balancer in memory, a time that is told to move, and the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rollout import emergency
from rollout.card import Card, CardFolder
from rollout.store import Store
from tests.core.scene import a_plan

CARD = Card(
    rollout="shop-1",
    service="shop",
    provider="toy",
    original="blue",
    replacement="green",
    target={"balancer": "lb-1"},
    capacity=2,
    write_timeout_s=5.0,
    app_version=None,
    written_at=100.0,
)
BACK = {"blue": 100, "green": 0}


class Toy(ModuleType):
    """providers/toy/rollback.py: a balancer in memory.

    `late` are weights that land at a later look, `turns` what the balancer judges from that look on; `meanwhile`
    happens while traffic is put back.
    """

    def __init__(self) -> None:
        super().__init__("providers.toy.rollback")
        self.weights, self.healthy = {"blue": 0, "green": 100}, {"blue": 2, "green": 2}
        self.unhealthy, self.unknown = {"blue": 0, "green": 0}, {"blue": 0, "green": 0}
        self.turns = dict[int, dict[str, dict[str, int]]]()
        self.meanwhile: Callable[[], Any] = lambda: None
        self.calls, self.late = list[tuple[str, Any]](), dict[int, dict[str, int]]()
        self.fails, self.looks, self.marks = dict[str, Exception](), 0, list[Any]()
        self.stubborn, self.mark = False, None
        self.left: int | None = 37

    def _maybe_fail(self, call: str) -> None:
        if call in self.fails:
            raise self.fails[call]

    def read(self, target: Any) -> dict[str, Any]:
        """What the balancer says now."""
        self.looks += 1
        self._maybe_fail("read" if self.looks == 1 else "read again")
        self.weights = self.late.pop(self.looks, self.weights)
        vars(self).update(self.turns.pop(self.looks, {}))
        judged = {"healthy": self.healthy, "unhealthy": self.unhealthy, "unknown": self.unknown}
        return {"weights": dict(self.weights), **judged, "in_flight": {"green": self.left}, "mark": self.mark}

    def put_back(self, target: Any, weights: dict[str, int], token: str) -> None:
        """Move the weights, unless they are stubborn."""
        self._maybe_fail("put_back" if not self.calls else "put_back again")
        self.calls.append(("put_back", token))
        self.meanwhile()
        if not self.stubborn:
            self.weights = dict(weights)

    def set_mark(self, target: Any, mark: Any, token: str) -> None:
        """Remember the mark."""
        self._maybe_fail("set_mark" if mark else "clear mark")
        self.calls.append(("set_mark", token))
        self.marks.append(mark)
        self.mark = mark


class FakeTime:
    """Time that passes when the command sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        """Seconds of this night."""
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        """Let time pass, but not for ever."""
        self.now += seconds
        assert self.now < 2000, "the command never ends"


class Night:
    """A fleet of one service with a card, and the command that puts it back."""

    def __init__(self, folder: Path, toy: Toy, clock: FakeTime, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.toy, self.clock, self._capsys = folder, toy, clock, capsys
        self.fleet = folder / "fleet.yaml"
        self.fleet.write_text("version: 1\nstate: state\n: this is: not even yaml [\n")
        self.cards = CardFolder(folder / "state" / "cards")
        self.cards.write(CARD)
        self.path = folder / "state" / "rollout.db"
        self.out, self.err, self.unfinished = "", "", list[str]()

    def store(self) -> Store:
        """The fleet's store, with an open rollout."""
        made = Store(self.path)
        if not made.rollouts():
            plan = a_plan()
            made.open_rollout("shop-1", "shop", plan.to_json(), plan.hash, at=1.0, actor="me")
        return made

    def rollback(self, *arguments: str) -> int:
        """The exit code of the command; what it said is kept."""
        code, self.unfinished = emergency.main(["rollback", *arguments], self.clock)
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        return code

    def document(self) -> dict[str, Any]:
        """What was said on stdout, as JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def spooled(self) -> list[dict[str, Any]]:
        """The decisions that were kept beside the cards."""
        return [json.loads(path.read_text()) for path in (self.folder / "state" / "spool").glob("*.json")]


def a_night(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Night:
    """A night with a provider called `toy`."""
    toy = Toy()
    package = ModuleType("providers.toy")
    package.__path__ = []
    monkeypatch.setitem(sys.modules, "providers.toy", package)
    monkeypatch.setitem(sys.modules, "providers.toy.rollback", toy)
    monkeypatch.delenv("ROLLOUT_SERVER", raising=False)
    night = Night(folder, toy, FakeTime(), capsys)
    monkeypatch.setenv("ROLLOUT_CONFIG", str(night.fleet))
    return night

"""The local provider without a balancer in the contract suite: real queue workers, and a queue's own commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from providers.base import SLOTS, Service, Slot, TestRoute, Weights
from tests.local.instance_kit import Fleet, open_fleet
from tests.local.switch_kit import WORKER, Queue, commands, worker_command
from tests.providers.harness import Harness
from tests.providers.harness_local import LocalHarness


class SwitchedHarness(LocalHarness):
    steps, part = (100,), 100
    by_hand: ClassVar[Weights] = {"blue": 0, "green": 100}
    has_test_route = False

    def __init__(self, fleet: Fleet, folder: Path) -> None:
        self.folder = folder
        super().__init__(fleet)

    def image(self, name: str) -> Path:
        return self.fleet.image(name, WORKER, "", worker_command(self.folder))

    def edit_route(self, service: Service, weights: Weights) -> None:
        queue = Queue(self.folder, service.name)
        for slot in sorted(SLOTS, key=lambda slot: weights[slot]):
            queue.ask("enable" if weights[slot] else "disable", slot)

    def reached(self, route: TestRoute) -> Slot | None:
        raise AssertionError("there is no test route")


@contextmanager
def open_harness(tmp_path: Path) -> Iterator[Harness]:
    with open_fleet(tmp_path, switch=commands(tmp_path)) as fleet:
        yield SwitchedHarness(fleet, tmp_path)

"""The simulated cloud in the contract suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from providers.base import SLOTS, Instance, Service, Slot, TestRoute, Weights
from providers.memory import rollback
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from tests.providers.harness import Harness


class MemoryHarness(Harness):
    base_image, patched_image, reference, has_cas = "base-1", "base-2", "base-latest", True
    rollback = rollback

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.cloud = SimCloud(self.clock, seed=7)
        self.cloud.add_image("base-1", ("pkg:pypi/werkzeug@2.2.2",), app_version="1.0")
        self.cloud.add_image("base-2", ("pkg:pypi/werkzeug@2.2.3",), alias="base-latest")
        self.provider = provider_for(self.cloud)

    def service(self, name: str = "shop", capacity: int = 2) -> Service:
        return self.cloud.add_service(name, image=self.base_image, capacity=capacity)

    def unknown_service(self) -> Service:
        return Service("nobody")

    def settle(self, fact: Callable[[], bool], why: str) -> None:
        until = self.clock.now() + 600
        while not fact():
            assert self.clock.now() < until, why
            self.clock.sleep(1)

    def kill(self, service: Service, instance: Instance) -> None:
        self.cloud.kill(service, instance.slot, instance=instance.id)

    def edit_route(self, service: Service, weights: Weights) -> None:
        self.cloud.edit_by_hand(service, weights=weights)

    def existing(self, service: Service) -> set[Slot]:
        slots = self.cloud.snapshot(service)["slots"]
        return {slot for slot in SLOTS if slots[slot] is not None}

    def reached(self, route: TestRoute) -> Slot | None:
        answered = self.cloud.reach(route.url, route.headers)
        slots = self.cloud.services["shop"].slots.items()
        return next((slot for slot, side in slots for i in side.instances if i.id == answered), None)


@contextmanager
def open_harness(tmp_path: Path) -> Iterator[Harness]:
    yield MemoryHarness()

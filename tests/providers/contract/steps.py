"""The steps of a rollout as the contract tests take them: do it, then wait until it can be seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from providers.base import Environment, Instance, Reading, Route, Service, Slot, weights_for
from tests.providers.harness import Harness


class Drive:
    """One service, its provider, and a fresh token for each new write."""

    def __init__(self, harness: Harness, service: Service) -> None:
        self.harness, self.service = harness, service
        self.compute, self.traffic = harness.provider.compute, harness.provider.traffic
        self.patcher, self.inventory = harness.provider.patcher, harness.provider.inventory
        self._tokens = 0

    def token(self) -> str:
        self._tokens += 1
        return f"{self.service.name}-{self._tokens}"

    # ---- looking ----------------------------------------------------------------------------------------------

    def slots(self) -> Mapping[Slot, Environment]:
        return self.compute.describe(self.service)

    def instances(self, slot: Slot) -> Sequence[Instance]:
        found = self.compute.observe([self.service])[self.service.name]
        return [instance for instance in found if instance.slot == slot]

    def running(self, slot: Slot) -> Sequence[Instance]:
        return [instance for instance in self.instances(slot) if instance.state == "running"]

    def reading(self) -> Reading:
        return self.traffic.observe([self.service])[self.service.name]

    def healthy(self, slot: Slot) -> int:
        return self.reading().targets[slot].healthy

    def route(self) -> Route:
        return self.traffic.route(self.service)

    def state(self) -> dict[str, Any]:
        """All that a write could change by itself."""
        route, slots = self.route(), self.slots()
        return {
            "slots": dict(slots),
            "weights": dict(route.weights),
            "mark": route.mark,
            "instances": sorted(i.id for slot in slots for i in self.instances(slot)),
            "targets": {slot: health.total for slot, health in self.reading().targets.items()},
            "existing": self.harness.existing(self.service),
        }

    def settle(self, fact: Callable[[], bool], why: str) -> None:
        self.harness.settle(fact, why)

    # ---- acting -----------------------------------------------------------------------------------------------

    def mirror(self, source: Slot, into: Slot, image: str, owner: str, capacity: int = 2) -> None:
        """A mirror with running instances, in no route yet."""
        self.compute.mirror(self.service, source, into, image, owner, self.token())
        self.compute.scale(self.service, into, capacity, self.token())
        self.settle(lambda: len(self.running(into)) == capacity, f"{into} never had {capacity} running instances")

    def attach(self, slot: Slot) -> None:
        running = self.running(slot)
        self.traffic.attach(self.service, slot, running, self.token())
        self.settle(lambda: self.healthy(slot) == len(running), f"{slot}'s targets never became healthy")

    def stand_beside(self, source: Slot, into: Slot, image: str, owner: str) -> None:
        self.mirror(source, into, image, owner)
        self.attach(into)

    def move(self, slot: Slot, percent: int) -> Route:
        """Give a slot this share, and wait until clients follow."""
        wanted = weights_for(slot, percent)
        moved = self.traffic.set_weights(self.service, wanted, self.route(), self.token())
        self.settle(lambda: self.reading().route.weights == wanted, f"{percent} % on {slot} was never observed")
        return moved

    def retire(self, slot: Slot, owner: str) -> bool:
        """Give a slot up: deleted (True) when it is ours, parked when it is the user's."""
        self.traffic.detach(self.service, slot, self.token())
        deleted = self.compute.delete_if_owned(self.service, slot, owner, self.token())
        if not deleted:
            self.compute.park(self.service, slot, self.token())
        self.settle(lambda: not self.instances(slot), f"{slot} still has instances after it was given up")
        return deleted

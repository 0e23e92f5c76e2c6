"""The simulated hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from providers.base import SLOTS, Environment, Instance, Invalid, Service, Size, Slot

from . import balancer, machines, views
from .cloud import SimCloud
from .model import SimService, SimSlot, nothing


class MemoryCompute:
    def __init__(self, cloud: SimCloud) -> None:
        self._cloud = cloud

    def describe(self, service: Service) -> Mapping[Slot, Environment]:
        def answer(svc: SimService) -> dict[Slot, Environment]:
            return {slot: views.environment(svc, slot) for slot in SLOTS}

        return self._cloud.read("compute.describe", service, answer)

    def sizes(self, service: Service) -> Mapping[Slot, Size]:
        def answer(svc: SimService) -> dict[Slot, Size]:
            return {slot: views.size(svc, slot) for slot in SLOTS}

        return self._cloud.read("compute.sizes", service, answer)

    def observe(self, services: Sequence[Service]) -> Mapping[str, Sequence[Instance]]:
        def answer(svc: SimService) -> tuple[Instance, ...]:
            return tuple(machines.public(i) for slot in svc.slots.values() for i in slot.instances)

        return self._cloud.read_all("compute.observe", services, answer)

    def stand_up(self, service: Service, slot: Slot, image: str, capacity: int, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            standing = [name for name in SLOTS if svc.slots[name].image is not None]
            if standing:
                raise Invalid(f"{svc.name}: {' and '.join(standing)} stands already; mirror it instead")
            _create(svc.slots[slot], self._cloud, image, {}, None)
            machines.resize(self._cloud, svc, svc.slots[slot], capacity)
            return None, f"{slot} created with {capacity} of {image}"

        self._cloud.write("compute.stand_up", service, slot, token, (image, capacity), act, nothing)

    def mirror(self, service: Service, source: Slot, into: Slot, image: str, owner: str, token: str) -> None:
        cloud = self._cloud

        def act(svc: SimService) -> tuple[None, str]:
            original, copy = cloud.slot(svc, source), svc.slots[into]
            template = cloud.image(image)
            if source == into or svc.weights[into] > 0:
                raise Invalid(f"{svc.name}: {into} has traffic; only a side without any can become a mirror")
            existed = copy.image is not None
            machines.resize(cloud, svc, copy, 0)
            _create(copy, cloud, image, original.fingerprint, copy.owner if existed else owner)
            copy.fingerprint = {**original.fingerprint, **cloud.switches.mirror_drift}
            copy.app_version = template.app_version or original.app_version
            return None, f"{into} {'changed' if existed else 'created'} as a copy of {source} with {image}"

        cloud.write("compute.mirror", service, into, token, (source, image, owner), act, nothing)

    def set_floor(self, service: Service, slot: Slot, floor: int, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            side = self._cloud.slot(svc, slot)
            if floor < 0:
                raise Invalid(f"{svc.name}: a floor cannot be {floor}")
            before, side.floor = side.floor, floor
            if side.capacity < floor:
                machines.resize(self._cloud, svc, side, floor)
            return None, f"{slot} floor {before} → {floor}"

        self._cloud.write("compute.set_floor", service, slot, token, (floor,), act, nothing)

    def scale(self, service: Service, slot: Slot, capacity: int, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            side = self._cloud.slot(svc, slot)
            if capacity < side.floor:
                raise Invalid(f"{svc.name}: {slot} cannot have {capacity}: its floor is {side.floor}")
            before = side.capacity
            machines.resize(self._cloud, svc, side, max(capacity, 0))
            return None, f"{slot} capacity {before} → {side.capacity}"

        self._cloud.write("compute.scale", service, slot, token, (capacity,), act, nothing)

    def park(self, service: Service, slot: Slot, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            side = self._cloud.slot(svc, slot)
            before, side.floor = side.capacity, 0
            balancer.drop(svc, slot, self._cloud.timeline.now)
            machines.resize(self._cloud, svc, side, 0)
            return None, f"{slot} parked, capacity {before} → 0"

        self._cloud.write("compute.park", service, slot, token, (), act, nothing)

    def delete_if_owned(self, service: Service, slot: Slot, owner: str, token: str) -> bool:
        def act(svc: SimService) -> tuple[bool, str]:
            side = svc.slots[slot]
            if side.image is None or side.owner is None or side.owner != owner:
                return False, ""
            if svc.weights[slot] > 0:
                raise Invalid(f"{svc.name}: {slot} has {svc.weights[slot]} % of the traffic and cannot be deleted")
            balancer.drop(svc, slot, self._cloud.timeline.now)
            machines.resize(self._cloud, svc, side, 0)
            svc.slots[slot] = SimSlot(slot)
            return True, f"{slot} deleted"

        return self._cloud.write("compute.delete_if_owned", service, slot, token, (owner,), act, lambda _: True)


def _create(slot: SimSlot, cloud: SimCloud, image: str, fingerprint: Mapping[str, str], owner: str | None) -> None:
    slot.image, slot.owner = cloud.image(image), owner
    slot.fingerprint = fingerprint
    slot.app_version, slot.floor = slot.image.app_version, 0

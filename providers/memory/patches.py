"""Simulated patches, and what simulated hosts say that they run."""

from __future__ import annotations

from collections.abc import Sequence

from providers.base import Applied, HostInventory, Invalid, NotFound, Patch, Service, Slot

from . import machines, views
from .cloud import SimCloud
from .model import SimService, nothing

MEMBER = "memory"


class MemoryPatcher:
    def __init__(self, cloud: SimCloud) -> None:
        self._cloud = cloud

    def resolve(self, service: Service, reference: str) -> Patch:
        def answer(_: SimService) -> Patch:
            image = self._cloud.image(reference)
            return Patch(reference, {MEMBER: image.id}, {"source": "simulated cloud", "image": image.id})

        return self._cloud.read("patcher.resolve", service, answer, reference)

    def apply(self, service: Service, slot: Slot, patch: Patch, token: str) -> Applied:
        """New instances launch from the image; those that run are patched in place."""
        image = self._cloud.images.get(patch.image)

        def act(svc: SimService) -> tuple[Applied, str]:
            side = self._cloud.slot(svc, slot)
            _only_standby(svc, slot)
            if image is None:
                raise NotFound(f"image {patch.image!r} does not exist any more")
            side.image = image
            for instance in side.instances:
                instance.image = image
            return Applied(image.reboot_needed, {"image": image.id}), f"{slot} patched with {image.id}"

        pretend = Applied(image.reboot_needed if image else None)
        return self._cloud.write("patcher.apply", service, slot, token, (patch.image,), act, lambda _: pretend)

    def reboot(self, service: Service, slot: Slot, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            side = self._cloud.slot(svc, slot)
            _only_standby(svc, slot)
            machines.reboot(self._cloud, svc, side)
            return None, f"{slot} rebooted"

        self._cloud.write("patcher.reboot", service, slot, token, (), act, nothing)


class MemoryInventory:
    def __init__(self, cloud: SimCloud) -> None:
        self._cloud = cloud

    def read(self, service: Service, slot: Slot) -> Sequence[HostInventory]:
        def answer(svc: SimService) -> tuple[HostInventory, ...]:
            return tuple(views.host(instance) for instance in svc.slots[slot].instances)

        return self._cloud.read("inventory.read", service, answer, slot)


def _only_standby(svc: SimService, slot: Slot) -> None:
    if svc.weights[slot] > 0:
        raise Invalid(f"{svc.name}: {slot} serves {svc.weights[slot]} % of the traffic; only a standby is patched")

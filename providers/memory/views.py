"""What the simulated cloud looks like from outside, and how a service begins; nothing here needs the cloud."""

from __future__ import annotations

from typing import Any

from providers.base import (
    EVERYTHING,
    SLOTS,
    UNREAD,
    Counters,
    Environment,
    HostInventory,
    Parts,
    Reading,
    Route,
    Size,
    Slot,
    TargetHealth,
    plain,
    weights_for,
)

from . import balancer
from .model import Settings, Side, SimInstance, SimService, SimSlot

TEST_HEADER = "x-rollout-slot"


def new_service(name: str, active: Slot, settings: Settings, now: float) -> SimService:
    slots: dict[Slot, SimSlot] = {slot: SimSlot(slot) for slot in SLOTS}
    weights = {slot: weights_for(active, 100)[slot] for slot in SLOTS}
    return SimService(name, settings, slots, weights, dict(weights), now)


def environment(svc: SimService, slot: Slot) -> Environment:
    side = svc.slots[slot]
    if side.image is None:
        return Environment(slot)
    return Environment(
        slot, side.image.id, side.capacity, side.floor, side.owner, dict(side.fingerprint), side.app_version
    )


def size(svc: SimService, slot: Slot) -> Size:
    side, seen = svc.slots[slot], environment(svc, slot)
    alive = sum(instance.state != "failed" for instance in side.instances)
    return Size(seen.exists, seen.capacity, seen.floor, alive, seen.owner)


def revision(number: int) -> str:
    return f"r{number}"


def route(svc: SimService) -> Route:
    """What is declared."""
    return Route(dict(svc.weights), revision(svc.revision), svc.mark)


def observed_route(svc: SimService) -> Route:
    """What clients follow; the same as the declared one when the balancer has caught up."""
    caught_up = svc.observed == svc.weights
    return Route(dict(svc.observed), revision(svc.revision if caught_up else svc.observed_revision), svc.mark)


def reading(svc: SimService, targets: dict[Slot, TargetHealth], now: float, parts: Parts = EVERYTHING) -> Reading:
    balancer.accrue(svc, now)
    counted: dict[Slot, Counters] = {slot: balancer.counters(svc, slot, now) for slot in parts.counters}
    return Reading(observed_route(svc) if parts.route else UNREAD, targets, counted, f"{svc.name}-{svc.counters}", now)


def reset_counters(svc: SimService, now: float) -> None:
    balancer.accrue(svc, now)
    svc.sides = {slot: Side() for slot in SLOTS}
    svc.counters += 1


def host(instance: SimInstance) -> HostInventory:
    if instance.state != "running":
        return HostInventory(instance.id, None, problem=f"is {instance.state}: {instance.reason or 'no answer yet'}")
    problem = "its agent does not answer" if instance.image.packages is None else ""
    image = instance.image
    return HostInventory(instance.id, image.packages, image.id, problem, listening=image.listening)


def answering(svc: SimService, slot: str) -> str | None:
    """The first instance of a slot that answers a request made to it, with a target's registration or without."""
    return next((i.id for name in SLOTS if name == slot for i in svc.slots[name].instances if i.serves(0)), None)


def answering_count(svc: SimService, slot: Slot) -> int:
    share = svc.observed[slot]
    return sum(i.registered and i.judged == "healthy" and i.serves(share) for i in svc.slots[slot].instances)


def serving_capacity(svc: SimService) -> dict[Slot, int]:
    return {slot: answering_count(svc, slot) for slot in SLOTS if svc.observed[slot] > 0}


def snapshot(svc: SimService) -> dict[str, Any]:
    return {
        "weights": dict(svc.weights),
        "mark": plain(svc.mark),
        "slots": {slot: _slot_snapshot(svc.slots[slot]) for slot in SLOTS},
    }


def _slot_snapshot(slot: SimSlot) -> dict[str, Any] | None:
    if slot.image is None:
        return None
    return {
        "image": slot.image.id,
        "capacity": slot.capacity,
        "floor": slot.floor,
        "attached": slot.attached,
        "fingerprint": dict(slot.fingerprint),
    }

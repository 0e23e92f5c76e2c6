"""The emergency path of the simulated cloud: no engine, no settings, standard library only.

`target` is what `Traffic.card_target` wrote into the rollback card.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.base import SLOTS, HoldMark, Service, Slot, plain

from . import balancer
from .cloud import SimCloud, find
from .model import SimService, nothing

SERVICES_AT_ONCE = 16


def read(target: Mapping[str, Any]) -> dict[str, Any]:
    """Declared weights, revision and mark; for each slot healthy, unhealthy and unknown targets, and connections."""
    cloud, service = _reached(target)
    return cloud.read("emergency.read", service, lambda svc: _state(cloud, svc))


def put_back(target: Mapping[str, Any], weights: Mapping[Slot, int], token: str) -> dict[str, Any]:
    """Declare these weights whatever is declared now, and say what is there then."""
    cloud, service = _reached(target)

    def act(svc: SimService) -> tuple[dict[str, Any], str]:
        effect = balancer.declare(cloud, svc, balancer.check_weights(svc, weights))
        return _state(cloud, svc), effect

    def pretend(svc: SimService) -> dict[str, Any]:
        return {**_state(cloud, svc), "weights": dict(weights)}

    asked = tuple(sorted(weights.items()))
    return cloud.write("emergency.put_back", service, None, token, (asked,), act, pretend)


def set_mark(target: Mapping[str, Any], mark: Mapping[str, Any] | None, token: str) -> None:
    """Leave a hold mark with the traffic, or clear it."""
    cloud, service = _reached(target)
    wanted = None if mark is None else HoldMark.from_json(mark)

    def act(svc: SimService) -> tuple[None, str]:
        return None, balancer.set_mark(svc, wanted)

    cloud.write("emergency.set_mark", service, None, token, (wanted,), act, nothing)


def cut(target: Mapping[str, Any], slot: Slot, token: str) -> int:
    """Close what is open on a slot, and say how much that was."""
    cloud, service = _reached(target)

    def act(svc: SimService) -> tuple[int, str]:
        closed = balancer.cut(svc, slot, cloud.timeline.now)
        return closed, f"{closed} closed on {slot}"

    return cloud.write("emergency.cut", service, slot, token, (), act, lambda _: 0)


def matches(target: Mapping[str, Any], named: str) -> bool:
    """Is this an instance of the service, or its address?"""
    cloud, service = _reached(target)

    def answer(svc: SimService) -> bool:
        hosts = [host for slot in svc.slots.values() for host in slot.instances]
        return any(named in (host.id, host.address) for host in hosts)

    return cloud.read("emergency.matches", service, answer, named)


def _reached(target: Mapping[str, Any]) -> tuple[SimCloud, Service]:
    return find(target["cloud"]), Service(target["service"])


def _state(cloud: SimCloud, svc: SimService) -> dict[str, Any]:
    now = cloud.timeline.now
    targets = {slot: balancer.target_health(cloud, svc, slot) for slot in SLOTS}
    return {
        "weights": dict(svc.weights),
        "revision": f"r{svc.revision}",
        "mark": plain(svc.mark),
        "healthy": {slot: health.healthy for slot, health in targets.items()},
        "unhealthy": {slot: health.unhealthy for slot, health in targets.items()},
        "unknown": {slot: health.unknown for slot, health in targets.items()},
        "in_flight": {slot: balancer.in_flight(svc, slot, now) for slot in SLOTS},
    }

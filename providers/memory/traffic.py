"""The simulated balancer's interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.base import (
    EVERYTHING,
    Conflict,
    HoldMark,
    Instance,
    Invalid,
    NotFound,
    Parts,
    Reading,
    Route,
    Service,
    Slot,
    TestRoute,
    Weights,
)

from . import balancer, views
from .cloud import SimCloud
from .model import SimService, nothing


class MemoryTraffic:
    def __init__(self, cloud: SimCloud) -> None:
        self._cloud = cloud

    def route(self, service: Service) -> Route:
        return self._cloud.read("traffic.route", service, views.route)

    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> Mapping[str, Reading]:
        cloud = self._cloud

        def answer(svc: SimService) -> Reading:
            health = {slot: balancer.target_health(cloud, svc, slot) for slot in parts.targets}
            return views.reading(svc, health, cloud.timeline.now, parts)

        return cloud.read_all("traffic.observe", services, answer, parts)

    def attach(self, service: Service, slot: Slot, instances: Sequence[Instance], token: str) -> None:
        cloud, wanted = self._cloud, tuple(sorted(instance.id for instance in instances))

        def act(svc: SimService) -> tuple[None, str]:
            side = cloud.slot(svc, slot)
            if strange := set(wanted) - {instance.id for instance in side.instances}:
                raise NotFound(f"{svc.name}: {slot} has no instance {', '.join(sorted(strange))}")
            side.attached = True
            for instance in side.instances:
                if instance.registered and instance.id not in wanted:
                    instance.registered, instance.judged = False, "unknown"
                elif not instance.registered and instance.id in wanted:
                    instance.registered, instance.judged = True, "unknown"
                    balancer.judge_later(cloud, svc, instance)
            return None, f"{slot} attached with {len(wanted)} targets"

        cloud.write("traffic.attach", service, slot, token, (wanted,), act, nothing)

    def set_weights(self, service: Service, weights: Weights, expected: Route, token: str) -> Route:
        cloud, asked = self._cloud, tuple(weights.items())
        compare = expected.revision if cloud.cas else None

        def act(svc: SimService) -> tuple[Route, str]:
            accepted = balancer.check_weights(svc, weights)
            if compare is not None and compare != views.revision(svc.revision):
                raise Conflict(
                    f"{svc.name}: the route changed since {compare}: it is {views.revision(svc.revision)}, "
                    f"blue={svc.weights['blue']}, green={svc.weights['green']}"
                )
            effect = balancer.declare(cloud, svc, accepted)
            return views.route(svc), effect

        pretend = Route(dict(weights), f"{expected.revision}+", expected.mark)
        return cloud.write("traffic.set_weights", service, None, token, (asked, compare), act, lambda _: pretend)

    def cut(self, service: Service, slot: Slot, token: str) -> int:
        def act(svc: SimService) -> tuple[int, str]:
            closed = balancer.cut(svc, slot, self._cloud.timeline.now)
            return closed, f"{closed} closed on {slot}"

        return self._cloud.write("traffic.cut", service, slot, token, (), act, lambda _: 0)

    def detach(self, service: Service, slot: Slot, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            if svc.weights[slot] > 0:
                raise Invalid(f"{svc.name}: {slot} has {svc.weights[slot]} % of the traffic; move that first")
            side = svc.slots[slot]
            balancer.drop(svc, slot, self._cloud.timeline.now)
            side.attached = False
            for instance in side.instances:
                instance.registered, instance.judged = False, "unknown"
            return None, f"{slot} detached"

        self._cloud.write("traffic.detach", service, slot, token, (), act, nothing)

    def mark(self, service: Service, mark: HoldMark | None, token: str) -> None:
        def act(svc: SimService) -> tuple[None, str]:
            return None, balancer.set_mark(svc, mark)

        self._cloud.write("traffic.mark", service, None, token, (mark,), act, nothing)

    def test_route(self, service: Service, slot: Slot) -> TestRoute:
        def answer(svc: SimService) -> TestRoute:
            self._cloud.slot(svc, slot)
            return TestRoute(f"memory://{svc.name}/{slot}", {views.TEST_HEADER: slot})

        return self._cloud.read("traffic.test_route", service, answer, slot)

    def card_target(self, service: Service) -> Mapping[str, Any]:
        def answer(svc: SimService) -> dict[str, Any]:
            return {"provider": "memory", "cloud": self._cloud.key, "service": svc.name}

        return self._cloud.read("traffic.card_target", service, answer)

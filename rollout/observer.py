"""Awaited facts, and the batched reads that answer them for all rollouts of a provider at once.

A fact is plain data, so it can be stored, shown and evaluated by whoever looks; nothing polls on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.base import Instance, Provider, ProviderError, Reading, Service, Slot, Weights, plain

State = Literal["met", "not_yet", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class Fact:
    """What has to become true of a service.

    running   at least `count` instances of `slot` run `image`
    healthy   the balancer calls at least `count` targets of `slot` healthy, and none unhealthy or unjudged
    serving   the balancer calls at least `count` targets of `slot` healthy, whatever the others are
    routed    observed weights equal `weights`
    drained   nothing is in flight on `slot`
    left      the balancer lets no target of `slot` end what it began any more
    gone      `slot` has no instances
    """

    kind: str
    slot: Slot = "blue"
    count: int = 0
    image: str = ""
    weights: Weights = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = plain(self)
        return data

    def __str__(self) -> str:
        return {
            "running": f"{self.count} instances of {self.slot} running",
            "healthy": f"{self.count} targets of {self.slot} healthy in the balancer",
            "serving": f"{self.count} targets of {self.slot} serving",
            "routed": f"observed weights {dict(self.weights)}",
            "drained": f"no requests left on {self.slot}",
            "left": f"no target of {self.slot} still ending what it began",
            "gone": f"no instances left on {self.slot}",
        }[self.kind]


@dataclass(frozen=True, slots=True)
class Answer:
    """`own_fault`: what failed failed by its own code, so that its image is to blame."""

    state: State
    seen: str
    own_fault: bool = False


class Sights:
    """What is seen in one tick: each kind of read is made once for all `services`, and only when it is needed."""

    def __init__(self, provider: Provider, services: Sequence[Service]) -> None:
        self._provider, self._services = provider, services
        self._instances: Mapping[str, Sequence[Instance]] | None = None
        self._traffic: Mapping[str, Reading] | None = None

    def instances(self, service: str, slot: Slot) -> Sequence[Instance]:
        if self._instances is None:
            self._instances = self._provider.compute.observe(self._services)
        return [instance for instance in self._instances[service] if instance.slot == slot]

    def traffic(self, service: str) -> Reading:
        if self._traffic is None:
            self._traffic = self._provider.traffic.observe(self._services)
        return self._traffic[service]

    def answer(self, service: str, fact: Fact) -> Answer:
        """Whether the fact holds; reads that fail are unknown, never met."""
        try:
            return _ANSWERS[fact.kind](self, service, fact)
        except (ProviderError, KeyError) as error:
            return Answer("unknown", f"{type(error).__name__}: {error}")


def _running(sights: Sights, service: str, fact: Fact) -> Answer:
    instances = sights.instances(service, fact.slot)
    running = [each for each in instances if each.state == "running"]
    strangers = [each.id for each in running if each.image != fact.image]
    failed = [each for each in instances if each.state == "failed"]
    seen = f"{len(running)} of {fact.count} running"
    if strangers:
        return Answer("failed", f"{seen}; not the planned image: {', '.join(strangers)}")
    if failed and not any(each.state == "starting" for each in instances) and len(running) < fact.count:
        to_blame = next((each for each in failed if each.own_fault), failed[0])
        return Answer("failed", f"{seen}; {to_blame.id} failed: {to_blame.reason}", to_blame.own_fault)
    return Answer("met" if len(running) >= fact.count else "not_yet", seen)


def _healthy(sights: Sights, service: str, fact: Fact) -> Answer:
    targets = sights.traffic(service).targets[fact.slot]
    seen = f"{targets.healthy} of {fact.count} healthy"
    if targets.unhealthy:
        seen += f", {targets.unhealthy} unhealthy ({'; '.join(targets.reasons[:3])})"
    whole = targets.healthy >= fact.count and not targets.unhealthy and not targets.unknown
    return Answer("met" if whole else "not_yet", seen)


def _serving(sights: Sights, service: str, fact: Fact) -> Answer:
    healthy = sights.traffic(service).targets[fact.slot].healthy
    return Answer("met" if healthy >= fact.count else "not_yet", f"{healthy} of {fact.count} healthy")


def _routed(sights: Sights, service: str, fact: Fact) -> Answer:
    weights = dict(sights.traffic(service).route.weights)
    return Answer("met" if weights == dict(fact.weights) else "not_yet", f"observed {weights}")


def _drained(sights: Sights, service: str, fact: Fact) -> Answer:
    counted = sights.traffic(service).counters.get(fact.slot)
    if counted is None:
        return Answer("unknown", f"nobody tells what is in flight on {fact.slot}")
    left = counted.in_flight
    return Answer("not_yet" if left else "met", f"{left} in flight")


def _left(sights: Sights, service: str, fact: Fact) -> Answer:
    draining = sights.traffic(service).targets[fact.slot].draining
    return Answer("not_yet" if draining else "met", f"{draining} targets end what they began")


def _gone(sights: Sights, service: str, fact: Fact) -> Answer:
    left = [each for each in sights.instances(service, fact.slot) if each.state != "failed"]
    return Answer("not_yet" if left else "met", f"{len(left)} left")


_ANSWERS: Mapping[str, Callable[[Sights, str, Fact], Answer]] = {
    "running": _running,
    "healthy": _healthy,
    "serving": _serving,
    "routed": _routed,
    "drained": _drained,
    "left": _left,
    "gone": _gone,
}

"""What the simulated cloud knows beyond hosts and traffic: whatever a test says it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from providers.base import SLOTS, Alarm, Concern, HostStatus, Metric, Patch, Service, Slot

from .cloud import SimCloud
from .model import SimInstance, SimService


@dataclass(slots=True)
class Knowledge:
    """Plain fields that may change at any moment. Without them all is well.

    impaired: instance → why; figures: metric's name → its value for each slot; lacking: what any way back lacks.
    """

    concerns: list[Concern] = field(default_factory=list)
    impaired: dict[str, str] = field(default_factory=dict)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    figures: dict[str, Mapping[Slot, float]] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)


class MemoryInsight:
    def __init__(self, cloud: SimCloud, knowledge: Knowledge) -> None:
        self._cloud, self.knowledge = cloud, knowledge

    def foresee(self, service: Service, original: Slot, patch: Patch, capacity: int, until: float) -> Sequence[Concern]:
        return self._cloud.read("insight.foresee", service, lambda svc: tuple(self.knowledge.concerns), until)

    def examine(self, service: Service, slot: Slot) -> Sequence[HostStatus]:
        def status(instance: SimInstance) -> HostStatus:
            if why := self.knowledge.impaired.get(instance.id, ""):
                return HostStatus(instance.id, "impaired", why, f"{instance.id}: {why}")
            return HostStatus(instance.id, "ok" if instance.state == "running" else "unknown", instance.reason)

        def answer(svc: SimService) -> tuple[HostStatus, ...]:
            return tuple(status(instance) for instance in svc.slots[slot].instances)

        return self._cloud.read("insight.examine", service, answer, slot)

    def alarms(self, service: Service, names: Sequence[str]) -> Mapping[str, Alarm]:
        def answer(svc: SimService) -> dict[str, Alarm]:
            return {name: self.knowledge.alarms[name] for name in names if name in self.knowledge.alarms}

        return self._cloud.read("insight.alarms", service, answer, tuple(names))

    def measure(self, service: Service, metric: Metric, start: float, end: float) -> Mapping[Slot, float | None]:
        def answer(svc: SimService) -> dict[Slot, float | None]:
            found = self.knowledge.figures.get(metric.name, {})
            return {slot: found.get(slot) for slot in SLOTS}

        return self._cloud.read("insight.measure", service, answer, metric.name)

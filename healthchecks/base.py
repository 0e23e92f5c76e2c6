"""What a check is: a question about one side of a rollout, answered pass, fail or unknown, with evidence.

A check is one module `healthchecks/<name>.py` with

- `Options`: a frozen standard dataclass, the check's part of the configuration (flat; plain types; defaults
  where an operator would expect one; `__pydantic_config__ = {"extra": "forbid"}`), and
- `ask(options, subject) -> Verdict`: reads through `subject` only, changes nothing, never raises for what it
  finds: trouble while asking is an unknown verdict.

Nothing else has to be touched for a new check to be known under its module's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.base import (
    Alarm,
    Concern,
    Environment,
    HostInventory,
    HostStatus,
    Insight,
    Instance,
    Invalid,
    Metric,
    Parts,
    Patch,
    Provider,
    Reading,
    Service,
    Slot,
    TargetHealth,
)

SHARED = Parts(targets=())
"""What is read of traffic once for all checks, and by pages for many gates. Targets are a call for each side."""

Answer = Literal["pass", "fail", "unknown"]
Role = Literal["original", "replacement"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer with its reason. `evidence` is plain data that goes into the journal: no secrets, bounded size.

    `severity` is for failing verdicts: how much of what was asked failed, from 0 to 1. By it a gate tells a bad
    day of both sides from a replacement that is far worse. A check that cannot measure it leaves it at 1.
    """

    answer: Answer
    summary: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    severity: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.severity <= 1:
            raise ValueError(f"a severity is a share from 0 to 1, not {self.severity}")

    @classmethod
    def passed(cls, summary: str, **evidence: Any) -> Verdict:
        return cls("pass", summary, evidence)

    @classmethod
    def failed(cls, summary: str, *, severity: float = 1.0, **evidence: Any) -> Verdict:
        return cls("fail", summary, evidence, severity)

    @classmethod
    def unknown(cls, summary: str, **evidence: Any) -> Verdict:
        return cls("unknown", summary, evidence)


class Readings:
    """What one tick of a gate sees of a service: each thing is read at most once, and only if a check asks.

    `since` is the traffic reading when the gate began (None before that): checks count from there. `traffic` is the
    one of this tick where somebody has made it already.
    """

    def __init__(
        self, provider: Provider, service: Service, since: Reading | None = None, traffic: Reading | None = None
    ) -> None:
        self.service, self.since = service, since
        self._provider, self._read = provider, dict[str, Any]()
        if traffic is not None:
            self._read["traffic"] = traffic

    def _once(self, key: str, read: Callable[[], Any]) -> Any:
        if key not in self._read:
            self._read[key] = read()
        return self._read[key]

    def environments(self) -> Mapping[Slot, Environment]:
        read: Mapping[Slot, Environment] = self._once(
            "environments", lambda: self._provider.compute.describe(self.service)
        )
        return read

    def instances(self, slot: Slot) -> Sequence[Instance]:
        found = self._once("instances", lambda: self._provider.compute.observe([self.service])[self.service.name])
        return [instance for instance in found if instance.slot == slot]

    def traffic(self) -> Reading:
        """Route and counters; for targets see `targets`."""
        reading: Reading = self._once("traffic", lambda: self._observed(SHARED))
        return reading

    def targets(self, slot: Slot) -> TargetHealth | None:
        """Those of one side, as they are now; None where the balancer says nothing about them."""
        made: Reading | None = self._read.get("traffic")
        if made is not None and slot in made.targets:
            return made.targets[slot]
        alone = Parts(route=False, targets=(slot,), counters=())
        found: TargetHealth | None = self._once(f"targets:{slot}", lambda: self._observed(alone).targets.get(slot))
        return found

    def _observed(self, parts: Parts) -> Reading:
        return self._provider.traffic.observe([self.service], parts)[self.service.name]

    def inventory(self, slot: Slot) -> Sequence[HostInventory]:
        hosts: Sequence[HostInventory] = self._once(
            f"inventory:{slot}", lambda: self._provider.inventory.read(self.service, slot)
        )
        return hosts

    def test_route(self, slot: Slot) -> Any:
        return self._provider.traffic.test_route(self.service, slot)

    # What the platform knows beyond: Invalid where it knows nothing

    def concerns(self, original: Slot, patch: Patch, capacity: int, until: float) -> Sequence[Concern]:
        found: Sequence[Concern] = self._once(
            f"concerns:{original}:{patch.reference}:{capacity}:{until}",
            lambda: self._insight.foresee(self.service, original, patch, capacity, until),
        )
        return found

    def statuses(self, slot: Slot) -> Sequence[HostStatus]:
        found: Sequence[HostStatus] = self._once(f"statuses:{slot}", lambda: self._insight.examine(self.service, slot))
        return found

    def alarms(self, names: Sequence[str]) -> Mapping[str, Alarm]:
        """Ask for those of both slots at once: one read serves both."""
        found: Mapping[str, Alarm] = self._once(
            f"alarms:{tuple(names)}", lambda: self._insight.alarms(self.service, names)
        )
        return found

    def measured(self, metric: Metric, start: float, end: float) -> Mapping[Slot, float | None]:
        found: Mapping[Slot, float | None] = self._once(
            f"measured:{metric}:{start}:{end}", lambda: self._insight.measure(self.service, metric, start, end)
        )
        return found

    @property
    def _insight(self) -> Insight:
        if self._provider.insight is None:
            raise Invalid(
                f"provider {self._provider.name} knows nothing beyond hosts and traffic; leave this check out"
            )
        return self._provider.insight


@dataclass(frozen=True, slots=True)
class Subject:
    """The side that a check is asked about, the side beside it, and what the rollout knows of both.

    `patch` and `capacity` are what the plan and the rollback card say: the image that must run, and the units
    that must be there. `timeout_s` bounds one ask.
    """

    role: Role
    slot: Slot
    beside: Slot
    readings: Readings
    patch: Patch | None
    capacity: int
    now: float
    timeout_s: float = 5.0


Ask = Callable[[Any, Subject], Verdict]

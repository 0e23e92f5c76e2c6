"""One look at a gate: its checks, asked about a side and, where they fail, about the side beside it as well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from healthchecks.base import Readings, Subject
from providers.base import ProviderError, Reading, Route, Service, Slot, other, plain
from rollout.gate import Asked
from rollout.means import Means
from rollout.plan import Gate, Plan


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `route` is as the balancer showed it, None where it could not be read.

    `since` is the reading that the next look counts from.
    """

    asked: tuple[Asked, ...]
    route: Route | None
    since: Reading | None

    @property
    def evidence(self) -> list[dict[str, Any]]:
        """The verdicts as the journal keeps them."""
        return [_evidence(each) for each in self.asked]

    def told(self, finding_is_not: str) -> str:
        """What the checks said, but for those with that finding."""
        wanted = [each for each in self.asked if each.finding != finding_is_not]
        return "; ".join(f"{each.check}: {each.verdict.summary}" for each in wanted)


def traffic_now(means: Means, service: Service) -> Reading | None:
    try:
        return means.provider.traffic.observe([service])[service.name]
    except (ProviderError, KeyError):
        return None


def look_at(means: Means, plan: Plan, gate: Gate, on: Slot, since: Reading | None, capacity: int) -> Look:
    """Ask every check of the gate; all see the same readings. `capacity` is what each side must have."""
    readings = Readings(means.provider, plan.service, since)
    about = _subject(means, plan, on, readings, capacity, gate.rule.timeout_s)
    beside = replace(_subject(means, plan, other(on), readings, capacity, gate.rule.timeout_s), now=about.now)
    asked = []
    for check in gate.checks:
        verdict = means.ask(check, about)
        compare = verdict.answer == "fail" and about.role == "replacement"
        asked.append(Asked(check.label, verdict, means.ask(check, beside) if compare else None))
    try:
        reading = readings.traffic()
    except (ProviderError, KeyError):
        return Look(tuple(asked), None, since)
    # A balancer that counts anew cannot be compared with what it counted before: begin again from here.
    # One without any counters can be no beginning while there is another.
    comparable = since is not None and (since.counters_id == reading.counters_id or not reading.counters)
    return Look(tuple(asked), reading.route, since if comparable else reading)


def _subject(means: Means, plan: Plan, slot: Slot, readings: Readings, capacity: int, timeout_s: float) -> Subject:
    replacement = slot == plan.replacement
    return Subject(
        role="replacement" if replacement else "original",
        slot=slot,
        beside=other(slot),
        readings=readings,
        patch=plan.patch if replacement else None,
        capacity=capacity,
        now=means.clock.now(),
        timeout_s=timeout_s,
    )


def _evidence(asked: Asked) -> dict[str, Any]:
    data = {"check": asked.check, "finding": asked.finding, **plain(asked.verdict)}
    return {**data, "beside": plain(asked.beside)} if asked.beside else data

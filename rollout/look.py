"""One look at a gate: its checks, asked about a side and, where they fail, about the side beside it as well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from healthchecks.base import Readings, Subject
from providers.base import ProviderError, Reading, Route, Service, Slot, other, plain
from rollout.flow import NotYet
from rollout.gate import Asked
from rollout.means import Means
from rollout.observer import AHEAD_S, HELD_S
from rollout.plan import Gate, Plan
from rollout.rows import Wait

if TYPE_CHECKING:
    from rollout.run import Run


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `route` is as the balancer showed it, None where it could not be read.

    `reading` is all of it; `since` is the one that the next look counts from.
    """

    asked: tuple[Asked, ...]
    route: Route | None
    since: Reading | None
    reading: Reading | None = None

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


def look_for(run: Run, wait: Wait, gate: str, on: Slot) -> Look:
    """One look of a wait. What was read for many at a time serves where it is newer than the look before; where
    somebody reads for many, a gate's first look waits for that."""
    since = Reading.from_json(wait.state["since"]) if wait.state.get("since") else None
    asked, traffic = run.plan.gates[gate], None
    if run.shared:
        after = wait.due_at - min(AHEAD_S, asked.rule.interval_s) if since else wait.started_at
        traffic = run.shared.reading(run.service.name, after)
        waits = since is None and "gate" in wait.state and abs(run.clock.now() - wait.started_at) < HELD_S
        if traffic is None and waits:
            raise NotYet(f"{wait.step}: about to be looked at", run.clock.now() + AHEAD_S)
    return look_at(run.means, run.plan, asked, on, since, run.need, traffic)


def look_at(
    means: Means, plan: Plan, gate: Gate, on: Slot, since: Reading | None, capacity: int, traffic: Reading | None = None
) -> Look:
    """Ask every check of the gate; all see the same readings. `capacity` is what each side must have.

    `traffic` is a reading that somebody has made already. Without `since` checks count from what is read now.
    """
    began = since or traffic or traffic_now(means, plan.service)
    readings = Readings(means.provider, plan.service, began, traffic if since else began)
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
        return Look(tuple(asked), None, began, None)
    # A balancer that counts anew cannot be compared with what it counted before: begin again from here.
    # One without any counters can be no beginning while there is another.
    comparable = began is not None and (began.counters_id == reading.counters_id or not reading.counters)
    return Look(tuple(asked), reading.route, began if comparable else reading, reading)


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

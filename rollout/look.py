"""One look at a gate: its checks, asked about a side and, where they fail, about the side beside it as well."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from healthchecks.base import SHARED, Readings, Subject
from providers.base import ProviderError, Reading, Route, Service, Slot, other, plain
from rollout.flow import NotYet
from rollout.gate import Asked, finding_of
from rollout.means import Means
from rollout.observer import AHEAD_S, HELD_S, ahead_s
from rollout.plan import Gate, Plan
from rollout.rows import Wait

if TYPE_CHECKING:
    from rollout.run import Run


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen. `route` is as the balancer showed it, None where it could not be read.

    `reading` is all of it; `since` is the one that the next look counts from. `storm` is the reading of the last look
    that found both sides in trouble, as long as that hold goes on.
    """

    asked: tuple[Asked, ...]
    route: Route | None
    since: Reading | None
    reading: Reading | None = None
    storm: Reading | None = None

    @property
    def kept(self) -> dict[str, Any]:
        """What the next look at a gate needs of this one; `read_at` tells a reading that was judged from another."""
        read_at = self.reading.at if self.reading else None
        return {"since": plain(self.since), "storm": plain(self.storm), "read_at": read_at}

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
        return means.provider.traffic.observe([service], SHARED)[service.name]
    except (ProviderError, KeyError):
        return None


def look_for(run: Run, wait: Wait, gate: str, on: Slot) -> Look:
    """One look of a wait. What was read for many at a time serves where it is newer than the look before, and was not
    judged yet (the clock may have been set); where somebody reads for many, a gate's first look waits for that."""
    since, asked, traffic = _stored(wait, "since"), run.plan.gates[gate], None
    if run.shared:
        after = wait.due_at - ahead_s(asked.rule.interval_s) if since else wait.started_at
        traffic = run.shared.reading(run.service.name, after)
        if traffic is not None and traffic.at == wait.state.get("read_at"):
            traffic = None
        waited_s = abs(run.clock.now() - wait.started_at)
        waits = since is None and "gate" in wait.state and waited_s < min(HELD_S, asked.rule.interval_s)
        if traffic is None and waits and run.shared.reads_here:
            raise NotYet(f"{wait.step}: about to be looked at", run.clock.now() + AHEAD_S)
    return look_at(run.means, run.plan, asked, on, since, run.need, traffic)


def look_past_storms(run: Run, wait: Wait, gate: str, on: Slot) -> Look:
    """One look of a gate, which counts from its beginning.

    What failed on both sides stays in what is counted from the beginning, long after it is over: once all that came
    since a hold was last seen passes, the next look counts from there. Nothing else follows from so short a time: it
    is too little to blame one side, and this look stays what it was, for no check has two tries at it."""
    look = look_for(run, wait, gate, on)
    if look.reading is None or finding_of(look.asked) != "ambient":
        return replace(look, storm=None if look.reading else _stored(wait, "storm"))
    seen = _stored(wait, "storm")
    if seen is None or seen.counters_id != look.reading.counters_id:
        return replace(look, storm=look.reading)
    found = finding_of(look_at(run.means, run.plan, run.plan.gates[gate], on, seen, run.need, look.reading).asked)
    if found == "pass":
        return replace(look, since=seen)
    return replace(look, storm=seen if found == "unknown" else look.reading)  # too few requests as yet to tell


def _stored(wait: Wait, name: str) -> Reading | None:
    return Reading.from_json(wait.state[name]) if wait.state.get(name) else None


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

"""Watching a side that has traffic while nothing else happens: warm, or paused.

A gate ends; a vigil does not. Its checks count from a reading that is never old, so that an hour of good service
does not hide a bad minute, and only what fails loses it: at night there may be too few requests to tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from providers.base import Reading, Slot, plain
from rollout.flow import NotYet, TurnBack
from rollout.gate import GateState, finding_of, judge
from rollout.look import Look, look_at, traffic_now
from rollout.rows import Wait

if TYPE_CHECKING:
    from rollout.run import Run

LOOK_S = 30.0
"""How often what rests is looked at."""

WINDOW_S = 300.0
"""Checks that compare two readings see between one and two of these."""


def watch(
    run: Run,
    step: str,
    until_at: float,
    gate: str,
    *,
    on: Slot,
    unless: Callable[[], bool] = lambda: False,
    lacking: Callable[[], bool] = lambda: False,
    tend: Callable[[int], None] = lambda number: None,
) -> None:
    """Rest until a time; what fails meanwhile is told (and turned back, where the plan says so).

    Whenever the way back is `lacking`, `tend(1)`, `tend(2)` … put it right; each ends with the step `card:warm:N`.
    """
    number = run.visit_numbered("grow:warm:")
    if run.recall(step):
        return
    if number and not run.journal.record(f"card:warm:{number}"):
        tend(number)
    elif not unless() and run.clock.now() < until_at and lacking():
        tend(number + 1)
    wait = run.wait(step, None, {"for": "time", "until": until_at})
    run.guard()
    if unless() or run.clock.now() >= until_at:
        run.end(step, "over")
        return
    _remind(run, until_at)
    look = _look(run, wait, gate, on, LOOK_S)
    if look.failed and run.plan.rollback_while_warm:
        raise TurnBack(look.failed, {"verdicts": look.evidence}, deny=True)
    _warn(run, look)
    raise NotYet(f"{step} until {until_at:.0f}", min(until_at, run.clock.now() + LOOK_S))


def stand_still_if_told(run: Run) -> None:
    """A paused rollout, and one whose service is held, takes no further step; what has traffic is watched."""
    said = run.journal.paused
    hold = run.means.store.hold(run.service.name, run.clock.now())
    if said is None and hold is None:
        return
    by, reason = (said.data["by"], said.data["reason"]) if said else (hold.actor, hold.reason) if hold else ("", "")
    told = {"for": "a person", "by": by, "reason": reason, "seen": f"paused by {by}: {reason}"}
    wait = run.wait(f"paused:{said.seq}" if said else "held", None, told)
    run.guard()
    due_at = run.clock.now() + LOOK_S
    if run.journal.phase in ("shifting", "baking"):
        gate, replacement = "live", run.plan.replacement
        interval_s = run.plan.gates[gate].rule.interval_s
        look = _look(run, wait, gate, replacement, interval_s)
        if look.failed:
            raise TurnBack(f"while paused: {look.failed}", {"verdicts": look.evidence}, deny=True)
        due_at = run.clock.now() + interval_s
    raise NotYet(f"paused by {by}", due_at)


@dataclass(frozen=True, slots=True)
class Watched:
    """`failed` says why the vigil is lost; `well`: every check passes."""

    failed: str
    well: bool
    evidence: Any


def _look(run: Run, wait: Wait, gate: str, on: Slot, interval_s: float) -> Watched:
    """Ask the gate's checks once, keep what the next look needs, and journal what began or ceased to fail."""
    state = wait.state
    rule = replace(run.plan.gates[gate].rule, interval_s=interval_s, soak_s=math.inf, deadline_s=math.inf)
    since = Reading.from_json(state["since"]) if state.get("since") else traffic_now(run.means, run.service)
    asked_at = run.clock.now()
    look = look_at(run.means, run.plan, run.plan.gates[gate].checks, on, since, run.need)
    now, finding = run.clock.now(), finding_of(look.asked)
    run.heed_route(look.route)
    before = GateState.from_json(state["judged"]) if "judged" in state else GateState()
    judged, outcome, why = judge(rule, before, finding, now, now, now - asked_at)
    failed = outcome == "failed" and finding == "fail"
    _journal_failures(run, wait, look)
    verdicts = {each.check: {"answer": each.finding, "summary": each.verdict.summary, "at": now} for each in look.asked}
    kept = {
        "gate": gate,
        "judged": replace(judged, observed_s=0.0, lost_s=0.0, discarded_s=0.0).to_json(),
        "verdicts": verdicts,
        **_window(run, state, look.since, now),
    }
    run.keep_waiting(wait, now + interval_s, {**state, **kept})
    return Watched(f"{why}: {look.told('pass')}" if failed else "", finding == "pass", look.evidence)


def _window(run: Run, state: Mapping[str, Any], since: Reading | None, now: float) -> dict[str, Any]:
    """The reading to count from at the next look; it moves on once the one that follows it is old enough."""
    following = Reading.from_json(state["following"]) if state.get("following") else None
    if since is None or following is None or following.counters_id != since.counters_id:
        return {"since": plain(since), "following": plain(traffic_now(run.means, run.service))}
    if now - following.at >= WINDOW_S:
        return {"since": plain(following), "following": plain(traffic_now(run.means, run.service))}
    return {"since": plain(since), "following": plain(following)}


def _journal_failures(run: Run, wait: Wait, look: Look) -> None:
    """Only what begins or ceases to fail: a quiet night would fill the journal with `unknown`."""
    before = {check for check, told in wait.state.get("verdicts", {}).items() if told["answer"] == "fail"}
    for each in look.asked:
        if (each.finding == "fail") != (each.check in before):
            data = {"check": each.check, "answer": each.finding, "summary": each.verdict.summary}
            run.note("verdict_changed", wait.step, data)


def _remind(run: Run, until_at: float) -> None:
    """Say once, some time before, that the way back is about to close."""
    notice_s = min(run.plan.notice_s, run.plan.keep_warm_s / 4)
    now = run.clock.now()
    if "way_back_ending" in run.journal.warnings or now < until_at - notice_s:
        return
    reason = f"the way back to {run.plan.original} closes in {until_at - now:.0f} s"
    run.note("warned", "keep-warm", {"about": "way_back_ending", "reason": reason, "until": until_at})


def _warn(run: Run, look: Watched) -> None:
    """While warm nothing turns back by itself: people are told, once, and when it is over."""
    told = "failing" in run.journal.warnings
    if look.failed and not told:
        data = {"about": "failing", "reason": look.failed, "verdicts": look.evidence}
        run.note("warned", "keep-warm", data)
    elif look.well and told:
        run.note("cleared", "keep-warm", {"about": "failing"})

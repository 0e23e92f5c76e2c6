"""Watching a side that has traffic while nothing else happens: warm, or paused.

A gate ends; a vigil does not. Its checks count from a reading that is never old, so that an hour of good service
does not hide a bad minute, and only what fails loses it: at night there may be too few requests to tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from providers.base import ProviderError, Reading, Slot, plain
from rollout import way_back
from rollout.flow import NotYet, TurnBack
from rollout.freeze import ALL, Freezes
from rollout.freeze import STEP as FROZEN
from rollout.gate import GateState, finding_of, judge
from rollout.journal import Entry
from rollout.look import Look, look_for
from rollout.observer import Fact, answer_to
from rollout.rows import Wait

if TYPE_CHECKING:
    from rollout.run import Run

LOOK_S = 30.0
"""How often what rests is looked at."""

AGAIN_S = 3600.0
"""After a try to put the way back right that was in vain."""

QUIET_S = 300.0
"""So long everything has to pass before what was told is taken back: one that flaps is not well in between."""

WARN_AGAIN_S = 1800.0
"""The same trouble is told again no sooner: people who are woken twenty times an hour turn the telling off."""

NOTE_AGAIN_S = 7200.0
"""A check that begins to fail is journalled again no sooner."""

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

    Whenever the way back is `lacking`, `tend(1)`, `tend(2)` … put it right, a little at each look; each ends with the
    step `card:warm:N`. What fails there is told: it neither turns back nor keeps anybody from watching.
    """
    number = run.visit_numbered("grow:warm:")
    if run.recall(step):
        return
    wait = run.wait(step, None, {"for": "time", "until": until_at})
    over = unless() or run.clock.now() >= until_at
    if over or not run.shared:  # else the look below sees the route, by a read that serves thousands at once
        run.guard()
    if over:
        run.end(step, "over")
        return
    _remind(run, until_at)
    wait, gone = way_back.looked(run, wait)
    look = _look(run, wait, gate, on, LOOK_S)
    if look.failed and run.plan.rollback_while_warm:
        raise TurnBack(look.failed, {"verdicts": look.evidence}, deny=True)
    _warn(run, "failing", look.failed, well=look.well, verdicts=look.evidence)
    _tend(run, number, lacking, tend, gone)
    raise NotYet(f"{step} until {until_at:.0f}", min(until_at, run.clock.now() + LOOK_S))


def is_tending(step: str) -> bool:
    """A step that keeps the way back is no step forward: a pause does not stop it."""
    return ":warm:" in step


def meanwhile(run: Run, step: str, fact: Fact, within_s: float) -> bool:
    """Has a fact come true since the step before, or its time passed? Asked at each look; fails nothing."""
    if run.recall(step):
        return True
    answer = answer_to(run.provider, run.service, fact)
    late = run.clock.now() >= _tended(run, int(step.rpartition(":")[2]))[-1].at + within_s
    if answer.state != "met" and not late:
        return False
    run.note("done", step, {"value": {"met": answer.state == "met", "seen": answer.seen, "for": str(fact)}})
    return True


def _tend(run: Run, number: int, lacking: Callable[[], bool], tend: Callable[[int], None], gone: str) -> None:
    """Go on with what tends the way back, or begin to where it is needed; after one in vain not before AGAIN_S.

    What is `gone` for good is told; no tending brings it back, and meanwhile nothing is said to be well again.
    """
    if gone:
        _warn(run, "way_back", f"the way back to {run.plan.original} is not what it should be: {gone}", well=False)
    try:
        tended = _tended(run, number)
        if number and not _is_over(tended):
            _tend_once(run, number, tend, gone)
        elif not lacking() and _is_whole_again(run):
            _warn(run, "way_back", "", well=not gone)
        elif not _in_vain(tended) or abs(run.clock.now() - tended[-1].at) >= AGAIN_S:
            _tend_once(run, number + 1, tend, gone)
    except ProviderError:
        return  # what cannot be seen now is looked at again


def _tend_once(run: Run, number: int, tend: Callable[[int], None], gone: str) -> None:
    try:
        tend(number)
    except TurnBack:
        if not _in_vain(_tended(run, number)):
            raise  # no step failed: it was a hold mark
    tended = _tended(run, number)
    if reason := _in_vain(tended):
        told = f"the way back to {run.plan.original} is not what it should be: {reason}"
        _warn(run, "way_back", told, well=False)
    elif _is_over(tended):
        _warn(run, "way_back", "", well=not gone)


def _is_whole_again(run: Run) -> bool:
    """Asked of the balancer only after a try that was in vain."""
    if "way_back" not in run.journal.warnings:
        return True
    whole = Fact("healthy", run.plan.original, run.need)
    return answer_to(run.provider, run.service, whole).state == "met"


def _tended(run: Run, number: int) -> list[Entry]:
    """What is recorded of one tending, oldest first."""
    records = (run.journal.record(step) for step in run.journal.recorded_steps() if step.endswith(f":warm:{number}"))
    return sorted((record for record in records if record), key=lambda record: record.seq)


def _is_over(tended: Sequence[Entry]) -> bool:
    return bool(tended) and (tended[-1].step.startswith("card:") or tended[-1].kind == "failed")


def _in_vain(tended: Sequence[Entry]) -> str:
    """Why one that is over did not put it right; empty where it did."""
    for record in tended if _is_over(tended) else ():
        value = record.data.get("value")
        if record.kind == "failed":
            return str(record.data["reason"])
        if isinstance(value, Mapping) and value.get("met") is False:
            return f"{value['seen']} (wanted: {value['for']})"
    return ""


def told_to_stand_still(run: Run) -> dict[str, str] | None:
    """Whose word it is: the rollout was paused, its part of the fleet is frozen, or its service is held."""
    said = run.journal.paused
    if said is not None:
        return {"step": f"paused:{said.seq}", "how": "paused", "by": said.data["by"], "reason": said.data["reason"]}
    freeze = Freezes(run.means.store.db).on(run.service.name, run.service.options, run.clock.now())
    if freeze and not run.plan.cold:  # a freeze stops no way back
        how = "frozen" if freeze.scope == ALL else f"frozen ({freeze.scope})"
        return {"step": FROZEN, "how": how, "by": freeze.actor, "reason": freeze.reason}
    hold = run.means.store.hold(run.service.name, run.clock.now())
    return {"step": "held", "how": "held", "by": hold.actor, "reason": hold.reason} if hold else None


def stand_still_if_told(run: Run) -> None:
    """What is paused, frozen or held takes no further step; what has traffic is watched."""
    word = told_to_stand_still(run)
    if word is None:
        return
    by, reason = word["by"], word["reason"]
    seen = f"{word['how']} by {by}: {reason}"
    wait = run.wait(word["step"], None, {"for": "a person", "by": by, "reason": reason, "seen": seen})
    run.guard()
    due_at = run.clock.now() + LOOK_S
    if run.journal.phase in ("shifting", "baking"):
        gate, replacement = "live", run.plan.replacement
        interval_s = run.plan.gates[gate].rule.interval_s
        look = _look(run, wait, gate, replacement, interval_s)
        if look.failed:
            raise TurnBack(f"while paused: {look.failed}", {"verdicts": look.evidence}, deny=True)
        due_at = run.clock.now() + interval_s
    raise NotYet(seen, due_at)


@dataclass(frozen=True, slots=True)
class Watched:
    """`failed` says why the vigil is lost; `well`: every check passed as often as its gate wants, and for QUIET_S."""

    failed: str
    well: bool
    evidence: Any


def _look(run: Run, wait: Wait, gate: str, on: Slot, interval_s: float) -> Watched:
    """Ask the gate's checks once, keep what the next look needs, and journal what began or ceased to fail."""
    state = wait.state
    rule = replace(run.plan.gates[gate].rule, interval_s=interval_s, soak_s=math.inf, deadline_s=math.inf)
    asked_at = run.clock.now()
    look = look_for(run, wait, gate, on)
    now, finding = run.clock.now(), finding_of(look.asked)
    if look.route is None:
        run.guard()  # it raises why nothing can be read, or sees what the look could not
    run.heed_route(look.route)
    before = GateState.from_json(state["judged"]) if "judged" in state else GateState()
    judged, outcome, why = judge(rule, before, finding, now, now, now - asked_at)
    failed = outcome == "failed" and finding == "fail"
    noted = _journal_failures(run, wait, look)
    verdicts = {each.check: {"answer": each.finding, "summary": each.verdict.summary, "at": now} for each in look.asked}
    kept = {
        "gate": gate,
        "judged": replace(judged, observed_s=0.0, lost_s=0.0, discarded_s=0.0).to_json(),
        "verdicts": verdicts,
        "noted": noted,
        "passing_since": _passing_since(state, judged.passes, now),
        **_window(state, look, now),
    }
    run.keep_waiting(wait, now + interval_s, {**state, **kept})
    since_at = kept["passing_since"]
    well = since_at is not None and judged.passes >= rule.passes and now - since_at >= QUIET_S
    return Watched(f"{why}: {look.told('pass')}" if failed else "", well, look.evidence)


def _passing_since(state: Mapping[str, Any], passes: int, now: float) -> float | None:
    """When the looks in a row began that passed; from now on where nobody looked meanwhile, or the clock was set."""
    since = state.get("passing_since")
    if not passes:
        return None
    return float(since) if since is not None and passes > 1 and since <= now else now


def _window(state: Mapping[str, Any], look: Look, now: float) -> dict[str, Any]:
    """The reading to count from at the next look; it moves on once the one that follows it is old enough."""
    since, following = look.since, Reading.from_json(state["following"]) if state.get("following") else None
    if since is None or following is None or following.counters_id != since.counters_id:
        return {**look.kept, "following": plain(look.reading)}
    if abs(now - following.at) >= WINDOW_S:  # the clock may have been set
        return {**look.kept, "since": plain(following), "following": plain(look.reading)}
    return {**look.kept, "following": plain(following)}


def _journal_failures(run: Run, wait: Wait, look: Look) -> dict[str, Any]:
    """Only what begins or ceases to fail: a quiet night would fill the journal with `unknown`, and a check that flaps
    with its turns. Check → whether its failing is journalled, and when that was; kept for the next look."""
    noted, now = dict(wait.state.get("noted", {})), run.clock.now()
    told = "failing" in run.journal.warnings
    for each in look.asked:
        failing, before = each.finding == "fail", noted.get(each.check, {"failing": False, "at": None})
        early = failing and before["at"] is not None and abs(now - before["at"]) < NOTE_AGAIN_S
        if failing == before["failing"] or early:
            continue
        if not told:  # else the end of the warning says it
            data = {"check": each.check, "answer": each.finding, "summary": each.verdict.summary}
            run.note("verdict_changed", wait.step, data)
        if not told or not failing:
            noted[each.check] = {"failing": failing, "at": now if failing else before["at"]}
    return noted


def _remind(run: Run, until_at: float) -> None:
    """Say once, some time before, that the way back is about to close."""
    notice_s = min(run.plan.notice_s, run.plan.keep_warm_s / 4)
    now = run.clock.now()
    if "way_back_ending" in run.journal.warnings or now < until_at - notice_s:
        return
    reason = f"the way back to {run.plan.original} closes in {until_at - now:.0f} s"
    run.note("warned", "keep-warm", {"about": "way_back_ending", "reason": reason, "until": until_at})


def _warn(run: Run, about: str, reason: str, *, well: bool, **more: Any) -> None:
    """While warm nothing turns back by itself: people are told, once, and when it is over."""
    told = about in run.journal.warnings
    if reason and not told:
        past = [entry for entry in run.journal.entries if entry.kind == "warned" and entry.data["about"] == about]
        if past and abs(run.clock.now() - past[-1].at) < WARN_AGAIN_S:
            return  # told at a later look, if it is still so
        again = f" (again: told {len(past)} times before)" if past else ""
        run.note("warned", "keep-warm", {"about": about, "reason": reason + again, **more})
    elif well and told:
        run.note("cleared", "keep-warm", {"about": about})

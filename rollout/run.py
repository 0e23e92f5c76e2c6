"""The journalled verbs of the story: enter · once · until · gate · approval · hold · rest · watch · close.

A job replays the story from the top. What is recorded returns its record; the first thing that is not is done, or
waited for by raising NotYet. Nothing is held in memory while a rollout waits.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Literal

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from providers.base import Conflict, HoldMark, ProviderError, Route, Slot, Transient, Weights, plain
from rollout import held, standstill, vigil
from rollout.flow import Halt, NotYet, StoryChanged, TurnBack
from rollout.gate import GateState, finding_of, judge
from rollout.journal import Entry, Journal, way_of
from rollout.look import Look, look_past_storms
from rollout.means import Act, Intent, Means
from rollout.observer import LEFT, LONGEST_S, Fact, Shared, answer_to, next_look
from rollout.one_look import look_anew, sleeping
from rollout.phases import PHASES, may_follow
from rollout.plan import Plan, capacity_needed
from rollout.rows import Wait
from rollout.store import StoreError
from rollout.telling import shares

ATTEMPTS = 3  # within one job; after that the job is due again
RETRY_S = 5.0
BETWEEN_STEPS = "between steps"
UNEXPECTED = "unexpected"
"""The step of trouble that is no answer of the platform: a disk, an adapter, a fault of ours. A good read of the route
says nothing of it; only a job that did not meet it ends it."""


class Run:
    """One rollout inside one job, under the lease's epoch."""

    def __init__(
        self, rollout: str, plan: Plan, journal: Journal, means: Means, epoch: int, shared: Shared | None = None
    ) -> None:
        self.id, self.plan, self.journal, self.means, self.epoch = rollout, plan, journal, means, epoch
        self.provider, self.clock, self.service = means.provider, means.clock, plan.service
        self.shared = shared  # somebody reads for all rollouts, and wakes this one when what it waits for has come
        self._visited: set[str] = set()
        self._stuck = False  # this job met trouble

    @property
    def way(self) -> Literal["out", "back", "adopt"]:
        """Which story is told; the steps of the other two begin with `back:` and `adopt:`."""
        if self.journal.adoption:
            return "adopt"
        return "back" if self.journal.decision else "out"

    @property
    def turning_back(self) -> bool:
        return self.way == "back"

    def began_with(self, story: int) -> bool:
        """For a step that a later story inserted: was this rollout planned with it?"""
        return self.plan.story >= story

    def did(self, step: str) -> bool:
        """Was the step ever meant? It may have taken effect."""
        return bool(self.journal.intents(step))

    @property
    def need(self) -> int:
        """The capacity that both sides must have: the plan's, or what the original was seen to have grown to."""
        return capacity_needed(self.plan, self.journal)

    # Recorded facts

    def enter(self, phase: str, outcome: str | None = None) -> None:
        """Record a phase, if the table lets it follow, and what is to be told of the rollout from now on."""
        if any(entry.kind == "entered" and entry.step == phase for entry in self.journal.entries):
            return
        if not may_follow(self.journal.phase, phase):
            raise StoryChanged(f"{self.id}: {phase} may not follow {self.journal.phase}")
        self.note("entered", phase, {}, outcome=outcome)

    def close(self, phase: str, outcome: str) -> None:
        """The last entry: the claim ends."""
        self.enter(phase)
        self.note("closed", phase, {"outcome": outcome}, outcome=outcome)

    def note(self, kind: str, step: str, data: Mapping[str, Any], **more: Any) -> Entry:
        entry = self.means.store.append(self.id, self.epoch, kind, step, data, self.clock.now(), **more)
        self.journal.add(entry)
        return entry

    def recall(self, step: str) -> Entry | None:
        """The record of a step, or None when it is now to be done; a failed record turns back once more."""
        self._visited.add(step)
        record = self.journal.record(step)
        if record is None:
            later = {step for step in self.journal.recorded_steps() if way_of(step) == self.way} - self._visited
            if later:
                raise StoryChanged(f"{self.id}: {step} was never recorded, but {sorted(later)[0]} after it was")
            return None
        if record.data.get("outcome") == "failed":
            raise TurnBack(record.data["reason"], record.data, deny=record.data.get("deny", False))
        return record

    def _fail(
        self, kind: Literal["failed", "ended"], step: str, reason: str, *, deny: bool = False, **evidence: Any
    ) -> TurnBack:
        """Record that an act (failed) or a wait (ended) failed; the caller raises what this returns."""
        data = {"outcome": "failed", "reason": reason, "deny": deny, **plain(evidence)}
        self.note(kind, step, data)
        return TurnBack(reason, data, deny=deny)

    def visit_numbered(self, prefix: str) -> int:
        """The highest N of the steps `prefix`N that were ever meant; 0 for none. They count as told."""
        numbers = {int(step.removeprefix(prefix)) for step in self.journal.intended_steps() if step.startswith(prefix)}
        self._visited.update(step for step in self.journal.recorded_steps() if vigil.is_tending(step))
        return max(numbers, default=0)

    def visit_all(self, prefix: str) -> list[str]:
        """The recorded steps that begin so; they count as told."""
        found = [known for known in self.journal.recorded_steps() if known.startswith(prefix)]
        self._visited.update(found)
        return found

    # Acts

    def once(self, act: Act) -> Any:
        """Do something exactly once, as far as the world lets us: intent before, result after."""
        record = self.recall(act.step)
        if record:
            return record.data["value"]
        if self.way == "out" and not vigil.is_tending(act.step) and not self._may_be_under_way(act):
            standstill.heed(self, act.step)
        attempts = Retrying(
            retry=retry_if_exception_type((Transient, Conflict)),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.2, max=2),
            sleep=sleeping(self.provider, self.clock),
            reraise=True,
        )
        try:
            value = plain(attempts(self._attempt, act))
        except (Transient, Conflict) as error:
            raise self._later(act.step, error) from error
        except ProviderError as error:
            raise self._fail("failed", act.step, f"{act.step}: {type(error).__name__}: {error}") from error
        except (StoreError, sqlite3.Error, StoryChanged):
            raise
        except Exception as error:  # it may have taken effect, as after a time-out
            raise self._later(act.step, error) from error
        self.note("done", act.step, {"value": value})
        return value

    def _may_be_under_way(self, act: Act) -> bool:
        """What was meant a moment ago is seen to its end even by one who is told to stand still. What had its time,
        and is not there, did not take effect, or will come true by itself."""
        before = self.journal.open_intent(act.step)
        if before is None or vigil.told_to_stand_still(self) is None:
            return before is not None
        if self.clock.now() < before.at + self.provider.write_timeout_s:
            return True
        if act.kind == "create":
            return False
        route = self.guard()
        try:
            return act.is_done(route, plain(act.args()))
        except ProviderError:
            return False

    def _later(self, step: str, error: Exception) -> NotYet | TurnBack:
        """An act that may come true later is tried again, until the phase's deadline has passed."""
        reason = f"{step}: {type(error).__name__}: {error}"
        stuck_s = self.trouble_s(step, reason)
        if stuck_s > self.deadline_s():
            return self._fail("failed", step, f"{reason}; given up after {stuck_s:.0f} s")
        return NotYet(reason, self.clock.now() + RETRY_S)

    def _attempt(self, act: Act) -> Any:
        if act.kind == "read":
            return act.do(Intent("", act.args(), self.provider.traffic.route(self.service)))
        route = self.guard()
        before = self.journal.open_intent(act.step)
        if before and act.kind == "create":
            self.means.store.raise_if_stale(self.id, self.epoch)
            return act.do(Intent(before.data["token"], before.data["args"], route))
        if before and before.epoch != self.epoch:
            # Another controller's write may still be on its way: let it land before reading what is there.
            landed_at = before.at + self.provider.write_timeout_s
            if self.way == "out" and self.clock.now() < landed_at:
                raise NotYet(f"{act.step}: waiting for an earlier write to land", landed_at)
        args = plain(act.args())
        if act.is_done(route, args):
            return {**args, "already": True}
        attempt = len(self.journal.intents(act.step)) + 1
        token = hashlib.sha256(f"{self.id}/{act.step}/{attempt}".encode()).hexdigest()[:32]
        self.note("intended", act.step, {"token": token, "attempt": attempt, "args": args, "seen": plain(route)})
        return act.do(Intent(token, args, route))

    def guard(self) -> Route:
        """Read route and mark directly: a mark turns the forward story back, a stranger's edit halts any story."""
        route = self.provider.traffic.route(self.service)
        self._recover()
        self.heed(route.mark)
        known = self._known_routes()
        if known and dict(route.weights) not in known:
            raise Halt(
                f"someone else changed the route: found {shares(route.weights)}; "
                f"declared {' or '.join(shares(each) for each in known)}. Put it back by hand and resume, or roll back",
                {"route": plain(route)},
            )
        return route

    def _recover(self) -> None:
        """A read between two steps worked again: the next trouble is another one."""
        if self.journal.trouble and self.journal.trouble.step == BETWEEN_STEPS:
            self.note("recovered", BETWEEN_STEPS, {})

    def recover_from_unexpected(self) -> None:
        """A whole job met nothing unexpected."""
        if self.journal.trouble and self.journal.trouble.step == UNEXPECTED and not self._stuck:
            self.note("recovered", UNEXPECTED, {})

    def heed(self, mark: HoldMark | None) -> None:
        if mark is not None and self.way == "out":
            raise TurnBack(f"hold mark of {mark.by}: {mark.reason or 'emergency rollback'}", {"mark": plain(mark)})

    def _known_routes(self) -> list[dict[str, int]]:
        if self.way == "adopt":
            return self.journal.route_adopted()
        return self.journal.routes_on_the_way_back() if self.turning_back else self.journal.routes_on_the_way()

    def trouble_s(self, step: str, reason: str) -> float:
        """Seconds since this trouble began; its beginning is journalled, for another job may meet its end."""
        self._stuck = True
        if self.journal.trouble is None:
            self.note("troubled", step, {"reason": reason})
        began = self.journal.trouble
        return self.clock.now() - began.at if began else 0.0

    def deadline_s(self) -> float:
        return self.plan.deadlines[PHASES[self.journal.phase].deadline]

    # Waits

    def until(self, step: str, fact: Fact, *, deadline: str, go_on: bool = False) -> None:
        """Wait for a fact; past its deadline turn back, or `go_on` and say so."""
        if self.recall(step):
            return
        wait = self.wait(step, self.plan.deadlines[deadline], {"fact": fact.to_json(), "for": str(fact)})
        self._leave_to_who_reads_for_many(wait)
        answer = answer_to(self.provider, self.service, fact, self.shared, after=wait.started_at)
        now = self.clock.now()
        if answer.state == "met":
            self.end(step, "met", seen=answer.seen)
            return
        late = wait.deadline_at is not None and now >= wait.deadline_at
        if go_on and late:
            self.end(step, "gave_up", seen=answer.seen)
            return
        if answer.state == "failed" or late:
            waited = f"after {now - wait.started_at:.0f} s: " if late else ""
            raise self._fail("ended", step, f"{step}: {waited}{answer.seen} (wanted: {fact})", deny=answer.own_fault)
        if fact.kind == "routed":
            self.guard()
        due = next_look(wait, now, observed=self.shared is not None)
        told = {"fact": fact.to_json(), "for": str(fact), "seen": answer.seen, "unreadable": answer.state == "unknown"}
        self.keep_waiting(wait, due, {**wait.state, **told})  # it may have been stored by another release
        raise NotYet(f"{step}: {answer.seen}", due)

    def _leave_to_who_reads_for_many(self, wait: Wait) -> None:
        """A wait that has just begun, where calls have to wait: NotYet."""
        begins = "seen" not in wait.state and abs(self.clock.now() - wait.started_at) < LONGEST_S
        if self.shared and self.shared.reads_here and self.shared.is_short and begins:
            due = next_look(wait, self.clock.now(), observed=True)
            self.keep_waiting(wait, due, {**wait.state, "seen": LEFT})
            raise NotYet(f"{wait.step}: {LEFT}", due)

    def gate(self, step: str, gate: str, *, on: Slot, tend: Callable[[Run], None] | None = None) -> None:
        """Ask the gate's checks about a side until they pass as often and as long as its rule says; `tend` is called
        between two looks now and then, for what has to stay as it is meanwhile."""
        if self.recall(step):
            return
        if self.plan.cold and on == self.plan.original:
            self.end(step, "passed", why="nothing is asked of the side that is left")
            return
        rule = self.plan.gates[gate].rule
        wait = self.wait(step, None, {"gate": gate, "rule": plain(rule), "judged": GateState().to_json()})
        asked_at = self.clock.now()
        look = look_past_storms(self, wait, gate, on)
        self.heed_route(look.route)
        self._journal_changes(wait, look)
        now = self.clock.now()
        before = GateState.from_json(wait.state["judged"])
        judged, outcome, why = judge(rule, before, finding_of(look.asked), wait.started_at, now, now - asked_at)
        if outcome == "passed":
            self.end(step, "passed", why=why, verdicts=look.evidence)
            return
        if outcome == "failed":
            deny = on == self.plan.replacement and any(each.finding == "fail" for each in look.asked)
            reason = f"{step}: {why}: {look.told('pass')}"
            raise self._fail("ended", step, reason, deny=deny, verdicts=look.evidence)
        verdicts = {
            each.check: {"answer": each.finding, "summary": each.verdict.summary, "at": now} for each in look.asked
        }
        told = {"judged": judged.to_json(), "seen": why, "verdicts": verdicts, **look.kept}
        tended_at = wait.state.get("tended_at", wait.started_at)
        is_time = abs(now - tended_at) >= vigil.LOOK_S
        told["tended_at"] = now if is_time else tended_at
        self.keep_waiting(wait, now + rule.interval_s, {**wait.state, **told})
        if tend and is_time:
            tend(self)
        raise NotYet(f"{step}: {why}", now + rule.interval_s)

    def heed_route(self, seen: Route | None) -> None:
        """What a look showed in passing is read directly before anything follows from it."""
        if seen is None:
            return  # the next write reads it
        self.heed(seen.mark)
        known = self._known_routes()
        if known and dict(seen.weights) not in known:
            look_anew(self.provider)
            self.guard()
        self._recover()

    def _journal_changes(self, wait: Wait, look: Look) -> None:
        before = wait.state.get("verdicts", {})
        for each in look.asked:
            if before.get(each.check, {}).get("answer") != each.finding:
                data = {"answer": each.finding, "summary": each.verdict.summary}
                self.note("verdict_changed", wait.step, {"check": each.check, **data})

    def approval(self, step: str = "approval") -> None:
        """Wait for a person's word, if the plan asks for it."""
        if self.plan.approval == "none" or self.recall(step):
            return
        wait = self.wait(step, self.plan.deadlines["approval"], {"for": "approval"}, outcome="waiting_approval")
        approved = self.journal.last("approved")
        if approved:
            self.end(step, "approved", outcome_now="running", by=approved.data["by"])
        elif self.clock.now() >= (wait.deadline_at or 0):
            raise self._fail("ended", step, "nobody approved in time")
        else:
            raise NotYet("waiting for approval", wait.deadline_at)

    def rest(self, step: str, until_at: float, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, looking at the route now and then: a hold mark turns back, a stranger's edit halts. Who begins
        to rest has acted a moment ago, and looks when the first while has passed, or the last."""
        if self.recall(step):
            return
        before = self.means.store.wait(self.id)
        self.wait(step, None, {"for": "time", "until": until_at})
        is_over = unless() or self.clock.now() >= until_at
        if is_over or (before and before.step == step):
            self.guard()
        if is_over:
            self.end(step, "over")
            return
        raise NotYet(f"{step} until {until_at:.0f}", min(until_at, self.clock.now() + vigil.LOOK_S))

    def watch(self, step: str, until_at: float, gate: str, *, on: Slot, **more: Any) -> None:
        """Rest until a time as `rest` does, under a live gate (rollout/vigil.py says what `more` there is)."""
        vigil.watch(self, step, until_at, gate, on=on, **more)

    def meanwhile(self, step: str, fact: Fact, *, deadline: str) -> bool:
        """Has a fact come true, or its time passed, while something else is waited for? Fails nothing."""
        return vigil.meanwhile(self, step, fact, self.plan.deadlines[deadline])

    def hold(self, step: str, wanted: Weights, put_back: Callable[[str], Act], until_at: float) -> None:
        """Read the route back until `until_at` (rollout/held.py)."""
        held.hold(self, step, wanted, put_back, until_at)

    def wait(self, step: str, within_s: float | None, state: Mapping[str, Any], outcome: str | None = None) -> Wait:
        """The stored wait of a step, begun now if it was not."""
        stored = self.means.store.wait(self.id)
        if stored and stored.step == step:
            return stored
        now = self.clock.now()
        wait = Wait(step, now, now + within_s if within_s is not None else None, now, state)
        data = {**state, "deadline_at": wait.deadline_at}
        self.note("waiting", step, data, wait=wait, outcome=outcome)
        return wait

    def keep_waiting(self, wait: Wait, due_at: float, state: Mapping[str, Any]) -> None:
        later = Wait(wait.step, wait.started_at, wait.deadline_at, due_at, state)
        self.means.store.save_wait(self.id, self.epoch, later)

    def end(self, step: str, outcome: str, *, outcome_now: str | None = None, **data: Any) -> None:
        self.note("ended", step, {"outcome": outcome, **plain(data)}, outcome=outcome_now)

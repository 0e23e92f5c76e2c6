"""Waits keep nothing in memory, end at their deadlines, and count only what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from providers.base import Instance, Slot
from rollout.flow import NotYet, TurnBack
from rollout.observer import Fact
from rollout.plan import CheckSpec, Gate
from rollout.run import Run
from rollout.vigil import LOOK_S
from tests.core.scene import ROLLOUT, RULE, World, a_plan

HEALTHY = Fact("healthy", "green", 2)


def waits(run: Run, fact: Fact = HEALTHY, **more: Any) -> NotYet:
    """The wait that a fact leads to."""
    with pytest.raises(NotYet) as wait:
        run.until("healthy", fact, deadline="observed", **more)
    return wait.value


# until


def test_a_fact_that_holds_is_recorded_with_what_was_seen(world: World) -> None:
    """Nobody can say later why the rollout went on."""
    world.mirror_stands()
    world.run().until("healthy", HEALTHY, deadline="observed")
    record = world.journal.record("healthy")
    assert record is not None and record.data["outcome"] == "met" and "2 of 2 healthy" in record.data["seen"]
    assert world.store.wait(ROLLOUT) is None


def test_a_met_fact_is_not_asked_again(world: World) -> None:
    """A rollout that was healthy yesterday goes back to waiting after a restart."""
    world.mirror_stands()
    world.run().until("healthy", HEALTHY, deadline="observed")
    world.cloud.switches.fail["reads"] = "transient"
    world.run().until("healthy", HEALTHY, deadline="observed")


def test_a_wait_goes_on_where_it_was_after_a_restart(world: World) -> None:
    """Each restart gives a stuck mirror its whole time again."""
    began = world.clock.now()
    waits(world.run())
    world.passes(20)
    waits(world.run())
    wait = world.store.wait(ROLLOUT)
    assert wait is not None and (wait.started_at, wait.deadline_at) == (began, began + 30)
    assert wait.state["seen"] == "0 of 2 healthy" and len(world.entries("waiting")) == 1


def test_looks_become_rarer_but_never_rare(world: World) -> None:
    """A platform is asked four times a second for an hour, or a mirror that is ready is not noticed."""
    gaps = []
    for seconds in (0, 4, 8, 17):
        world.passes(seconds)
        due = waits(world.run()).due_at
        gaps.append((due or 0) - world.clock.now())
    assert gaps[0] == 0.25 and gaps == sorted(gaps) and 9.0 < gaps[-1] <= 10.0


def test_a_fact_past_its_deadline_turns_back_without_blaming_the_image(world: World) -> None:
    """A mirror that never comes up keeps the rollout standing for ever, or its image is denied for a slow cloud."""
    waits(world.run())
    world.passes(30)
    with pytest.raises(TurnBack, match=r"healthy: after 30 s: 0 of 2 healthy \(wanted: 2 targets") as turn:
        world.run().until("healthy", HEALTHY, deadline="observed")
    assert turn.value.deny is False
    with pytest.raises(TurnBack):
        world.run().until("healthy", HEALTHY, deadline="observed")


def test_a_fact_that_came_true_at_the_last_moment_counts(world: World) -> None:
    """A good mirror is thrown away because the look came a second late."""
    waits(world.run())
    world.mirror_stands()
    world.passes(60)
    world.run().until("healthy", HEALTHY, deadline="observed")
    assert world.journal.record("healthy") is not None


def test_a_failed_fact_turns_back_at_once(world: World) -> None:
    """A mirror that runs the wrong image is waited for until the deadline."""
    world.mirror_stands("base-3")
    with pytest.raises(TurnBack, match="not the planned image"):
        world.run().until("running", Fact("running", "green", 2, "base-2"), deadline="observed")


@pytest.mark.parametrize("own_fault", [True, False])
def test_an_image_is_blamed_only_for_what_its_own_code_did(
    world: World, monkeypatch: pytest.MonkeyPatch, own_fault: bool
) -> None:
    """An image is denied to the whole fleet because a zone had no capacity, or one that crashes is tried again."""
    hosts = [
        Instance("a", "green", "running", "base-2", "a:80"),
        Instance("b", "green", "failed", "base-2", "b:80", "it ended", own_fault=own_fault),
    ]
    monkeypatch.setattr(type(world.provider.compute), "observe", lambda self, services: {"shop": hosts})
    with pytest.raises(TurnBack, match="b failed: it ended") as turn:
        world.run().until("running", Fact("running", "green", 2, "base-2"), deadline="observed")
    assert turn.value.deny is own_fault
    record = world.journal.record("running")
    assert record is not None and record.data["deny"] is own_fault


def test_a_mirror_of_another_image_blames_nobody(world: World) -> None:
    """A good image is denied because the platform launched something else."""
    world.mirror_stands("base-3")
    with pytest.raises(TurnBack) as turn:
        world.run().until("running", Fact("running", "green", 2, "base-2"), deadline="observed")
    assert turn.value.deny is False


def test_going_on_without_is_said(world: World) -> None:
    """A rollback hangs on one connection that never ends, or nobody learns that it was broken off."""
    fact = Fact("gone", "blue")
    waits(world.run(), fact, go_on=True)
    world.passes(31)
    world.run().until("healthy", fact, deadline="observed", go_on=True)
    record = world.journal.record("healthy")
    assert record is not None and record.data == {"outcome": "gave_up", "seen": "2 left"}


def test_what_cannot_be_seen_is_not_met_and_fails_late(world: World) -> None:
    """A drained side is taken for granted while the balancer is silent."""
    world.cloud.switches.fail["traffic.observe"] = "transient"
    drained = Fact("drained", "green")
    assert "Transient" in waits(world.run(), drained).why
    world.passes(31)
    with pytest.raises(TurnBack) as turn:
        world.run().until("healthy", drained, deadline="observed")
    assert turn.value.deny is False


# gate


class Asking:
    """Answers by check name and role; what is not said passes."""

    def __init__(self, **answers: str) -> None:
        self.answers: dict[str, Any] = answers
        self.asked = list[tuple[str, Slot, str]]()

    def __call__(self, spec: CheckSpec, subject: Subject) -> Verdict:
        """The answer that was arranged."""
        self.asked.append((spec.name, subject.slot, subject.role))
        answer = self.answers.get(f"{spec.name}_{subject.role}", self.answers.get(spec.name, "pass"))
        return Verdict(answer, f"{spec.name} says {answer}")


def gating(folder: Path, asking: Asking, *checks: str, **rule: Any) -> World:
    """A world whose replacement gate has these checks."""
    plan, specs = a_plan(), tuple(CheckSpec(name, name) for name in checks or ("http",))
    gates = {name: Gate(replace(RULE, **rule), specs) for name in plan.gates}
    world = World(folder, a_plan(gates=gates), ask=asking)
    world.mirror_stands()
    return world


def look(world: World, seconds: float = 2.0, on: Slot = "green") -> str:
    """One look at the gate, `seconds` after the last; how it ended."""
    world.passes(seconds)
    try:
        world.run().gate("proof", "replacement", on=on)
    except NotYet as wait:
        return f"wait {wait.why}"
    except TurnBack as turn:
        return f"turn back{' and deny' if turn.deny else ''}: {turn.reason}"
    return "passed"


def test_a_gate_passes_after_enough_looks_and_keeps_the_evidence(tmp_path: Path) -> None:
    """A healthy patch is never promoted, or nobody can say why it was."""
    world = gating(tmp_path, Asking(), "http", "balancer")
    assert look(world).startswith("wait proof: pass; 1 of 2 passes")
    assert look(world) == "passed"
    record = world.journal.record("proof")
    assert record is not None and record.data["outcome"] == "passed"
    assert [(each["check"], each["finding"]) for each in record.data["verdicts"]] == [
        ("http", "pass"),
        ("balancer", "pass"),
    ]
    assert look(world) == "passed"


def test_a_failing_check_fails_the_gate_and_denies_the_image(tmp_path: Path) -> None:
    """A patch that breaks the service is rolled out again tomorrow."""
    world = gating(tmp_path, Asking(http="fail", http_original="pass"), "http", "balancer")
    assert look(world).startswith("wait")
    assert look(world) == "turn back and deny: proof: failed 2 times in a row: http: http says fail"
    record = world.journal.record("proof")
    assert record is not None and record.data["deny"] is True
    assert look(world).startswith("turn back and deny")


def test_not_knowing_fails_the_gate_and_denies_nothing(tmp_path: Path) -> None:
    """A patch is denied because the metrics service was down."""
    world = gating(tmp_path, Asking(http="unknown"))
    results = [look(world, 5.0) for _ in range(6)]
    assert results[-1].startswith("turn back: proof: unknown for 25 s") and "deny" not in results[-1]
    record = world.journal.record("proof")
    assert record is not None and record.data["deny"] is False


def test_a_check_that_failed_is_to_blame_even_beside_one_that_could_not_tell(tmp_path: Path) -> None:
    """A patch that breaks the service is tried again tomorrow, because a metric was missing as well."""
    world = gating(tmp_path, Asking(http="fail", http_original="pass", metrics="unknown"), "http", "metrics")
    look(world)
    assert look(world).startswith("turn back and deny")


def test_a_failure_on_both_sides_denies_nothing_at_the_deadline(tmp_path: Path) -> None:
    """A storm that lasts an hour takes every patch of the night from the whole fleet."""
    world = gating(tmp_path, Asking(http="fail"), deadline_s=10.0)
    results = [look(world) for _ in range(7)]
    assert results[-1].startswith("turn back: proof: not passed") and world.store.denials("shop") == {}
    record = world.journal.record("proof")
    assert record is not None and record.data["deny"] is False


def test_trouble_on_both_sides_holds(tmp_path: Path) -> None:
    """A storm rolls every patch of the night back and denies them all."""
    asking = Asking(http="fail")
    world = gating(tmp_path, asking)
    assert all(look(world).startswith("wait proof: ambient") for _ in range(10))
    assert ("http", "blue", "original") in asking.asked and ("http", "green", "replacement") in asking.asked
    assert all(look(world).startswith("wait proof: ambient") for _ in range(20))
    last = look(world)
    assert last.startswith("turn back: proof: not passed within 60 s") and "deny" not in last


def test_only_a_failing_check_is_compared_with_the_other_side(tmp_path: Path) -> None:
    """The serving side is burdened with every check of the other."""
    asking = Asking()
    world = gating(tmp_path, asking)
    look(world)
    assert {slot for _, slot, _ in asking.asked} == {"green"}


def test_a_failing_original_denies_nothing_before_anything_was_patched(tmp_path: Path) -> None:
    """A patch is denied because the service was ill before it."""
    asking = Asking(http="fail")
    world = gating(tmp_path, asking)
    look(world, on="blue")
    last = look(world, on="blue")
    assert last.startswith("turn back: proof: failed 2 times") and "deny" not in last
    assert {slot for _, slot, _ in asking.asked} == {"blue"}


def test_a_gate_remembers_its_looks_over_a_restart(tmp_path: Path) -> None:
    """A soak begins anew with every restart, or a failing patch is forgiven."""
    world = gating(tmp_path, Asking(http="fail", http_original="pass"), failures=3)
    for expected in (1, 2):
        look(world)
        wait = world.store.wait(ROLLOUT)
        assert wait is not None and wait.state["judged"]["failures"] == expected
    assert look(world).startswith("turn back and deny")


def test_a_pause_restarts_the_soak(tmp_path: Path) -> None:
    """A controller that was down for an hour says that it watched."""
    world = gating(tmp_path, Asking())
    look(world)
    assert look(world, 60 * 0.5).startswith("wait proof: pass; 1 of 2 passes, 0 of 2 s")
    assert look(world, 600).startswith("wait proof: pass; 1 of 2 passes, 0 of 2 s")
    assert look(world) == "passed"


def test_only_changed_verdicts_are_journalled(tmp_path: Path) -> None:
    """The journal of an hour's bake is thousands of entries long, or a flap leaves no trace."""
    asking = Asking()
    world = gating(tmp_path, asking, passes=50)
    for answer in ("pass", "pass", "unknown", "unknown", "pass"):
        asking.answers["http"] = answer
        look(world)
    assert [entry.data["answer"] for entry in world.entries("verdict_changed")] == ["pass", "unknown", "pass"]


def test_checks_count_from_when_the_gate_began(tmp_path: Path) -> None:
    """Errors of last week fail today's patch."""
    seen = list[Any]()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        seen.append(subject.readings.since)
        return Verdict.passed("good")

    world = gating(tmp_path, Asking())
    world.asking(ask)
    began = world.clock.now() + 2
    look(world)
    look(world)
    assert [since.at for since in seen] == [began, began]


def test_a_subject_says_what_must_run_and_how_much_of_it(tmp_path: Path) -> None:
    """A check passes on half of the hosts, or on the wrong image."""
    subjects = list[Subject]()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        subjects.append(subject)
        return Verdict.failed("bad")

    world = gating(tmp_path, Asking())
    world.asking(ask)
    look(world)
    about, beside = subjects
    assert (about.role, about.slot, about.capacity) == ("replacement", "green", 2)
    assert about.patch is not None and about.patch.image == "base-2"
    assert (beside.role, beside.slot, beside.patch) == ("original", "blue", None)


def test_a_mark_seen_while_watching_turns_back(tmp_path: Path) -> None:
    """The engine goes on baking after the on-call engineer put traffic back."""
    world = gating(tmp_path, Asking())
    world.mark("slow checkout")
    assert look(world) == "turn back: hold mark of oncall@host: slow checkout"


@pytest.mark.parametrize("vanishes", [False, True])
def test_a_gate_that_sees_nothing_waits(tmp_path: Path, vanishes: bool) -> None:
    """A balancer that does not answer, or forgot the service, ends the job with a traceback."""
    world = gating(tmp_path, Asking(http="unknown"))
    if vanishes:
        del world.cloud.services["shop"]
    else:
        world.cloud.switches.fail["reads"] = "transient"
    assert look(world).startswith("wait proof: unknown")


# approval, rest


def approving(tmp_path: Path) -> World:
    """A world whose plan wants an approval."""
    return World(tmp_path, a_plan(approval="required"))


def approve(world: World, by: str = "boss@desk") -> None:
    """A person's yes."""
    world.store.decide(ROLLOUT, world.journal.head, "approved", {"by": by}, world.clock.now())


def test_no_approval_is_asked_for_where_none_is_wanted(world: World) -> None:
    """A nightly wave waits for somebody until the morning."""
    world.run().approval()
    assert world.kinds() == ["opened"]


def test_approval_is_waited_for_and_told(tmp_path: Path) -> None:
    """Traffic moves before somebody said yes, or nobody sees that somebody has to."""
    world = approving(tmp_path)
    with pytest.raises(NotYet, match="waiting for approval") as wait:
        world.run().approval()
    assert world.row.outcome == "waiting_approval"
    assert wait.value.due_at == world.clock.now() + world.plan.deadlines["approval"]
    approve(world)
    world.run().approval()
    record = world.journal.record("approval")
    assert record is not None and record.data == {"outcome": "approved", "by": "boss@desk"}
    assert world.row.outcome == "running"


def test_approval_that_never_comes_turns_back(tmp_path: Path) -> None:
    """A mirror stands and costs money until somebody remembers it."""
    world = approving(tmp_path)
    with pytest.raises(NotYet):
        world.run().approval()
    world.passes(world.plan.deadlines["approval"])
    with pytest.raises(TurnBack, match="nobody approved in time") as turn:
        world.run().approval()
    assert turn.value.deny is False


def rests(run: Run, until_at: float, **more: Any) -> NotYet:
    """The wait that a rest leads to."""
    with pytest.raises(NotYet) as wait:
        run.rest("keep-warm", until_at, **more)
    return wait.value


def test_a_rest_looks_for_marks_now_and_then(world: World) -> None:
    """A rollback of a warm service is noticed a day later."""
    run, until = world.run(), world.clock.now() + 3600
    assert rests(run, until).due_at == world.clock.now() + LOOK_S
    assert rests(run, world.clock.now() + 10).due_at == world.clock.now() + 10
    world.mark()
    with pytest.raises(TurnBack, match="hold mark"):
        run.rest("keep-warm", until)


def test_a_rest_is_over_when_its_time_or_a_person_says_so(world: World) -> None:
    """The old side is kept for ever, or `--end-warm` waits for the window."""
    until = world.clock.now() + 100
    rests(world.run(), until)
    world.passes(100)
    world.run().rest("keep-warm", until)
    world.later().rest("settle", world.clock.now() + 1e6, unless=lambda: True)
    assert {"keep-warm", "settle"} <= world.journal.recorded_steps()


def test_a_rest_that_is_over_when_it_begins_still_looks(world: World) -> None:
    """After a halt, or a crash, the quiet before the point of no return is over unseen: the way back is closed on
    somebody who has just put traffic back."""
    world.passes(100)
    world.mark()
    with pytest.raises(TurnBack, match="hold mark"):
        world.run().rest("quiet", world.clock.now() - 50)
    assert "quiet" not in world.journal.recorded_steps()


def test_what_a_rollout_waits_for_is_plain_data(world: World) -> None:
    """Another process cannot say what is waited for."""
    waits(world.run())
    wait = world.store.wait(ROLLOUT)
    assert wait is not None
    state: Mapping[str, Any] = wait.state
    assert state["for"] == str(HEALTHY) and Fact(**state["fact"]) == HEALTHY

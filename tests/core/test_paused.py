"""A pause stops what goes forward, and nothing else: gates, watches and ways back go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from providers.memory.clock import VirtualClock
from rollout import control, interventions
from rollout.decide import decide_roll_back
from rollout.holds import Busy, Holds
from rollout.interventions import NotPossible
from rollout.journal import Journal, first_broken_link
from rollout.plan import CheckSpec, Plan
from rollout.rows import Hold, Row
from rollout.summary import stand, summarise
from rollout.wiring import Installation
from tests.core.interrupting import jobs, right_after
from tests.core.scene import FLEET, RIVAL, ROLLOUT, SHOP, World, a_plan, phase_is

Stop = Callable[[World], bool]


class Fleet:
    """What interventions need of an installation, over the simulated world."""

    def __init__(self, world: World) -> None:
        self.store, self.clock, self.cards = world.store, world.clock, world.cards
        self._world = world

    def provider(self, name: str) -> Any:
        """The simulated cloud."""
        return self._world.provider


def fleet(world: World) -> Any:
    """An installation, as far as a person's word needs one."""
    return Fleet(world)


def pause(world: World, reason: str = "wait for me") -> None:
    """A person says: no step further."""
    interventions.pause(fleet(world), world.row, "me@desk", reason)


def resume(world: World) -> bool:
    """A person says: go on."""
    return interventions.resume(fleet(world), world.row, "me@desk")


def intended(world: World) -> list[str]:
    """The steps that were meant, in order."""
    return [entry.step for entry in world.entries("intended")]


def went(plan: Plan, folder: Path) -> list[str]:
    """Every step that an undisturbed rollout means."""
    world = World(folder, plan)
    world.drive()
    return intended(world)


PLAN = a_plan()
UNSEEN = ("attach", "detach", "give-up")
"""Steps of which no read says whether they took effect: after their time they stand still like new ones."""

# No forward step


@pytest.mark.parametrize(
    "where", ["opened", "preparing", "mirroring", "patching", "proving", "shifting", "baking", "warm", "retiring"]
)
def test_no_phase_goes_forward_after_a_pause_and_each_goes_on_after_it(tmp_path: Path, where: str) -> None:
    """Somebody says stop, and traffic moves nevertheless; or it never goes on again."""
    world = World(tmp_path)
    if where == "opened":
        pause(world)
    else:
        pause_after(world, "entered", where)
    before, writes = intended(world), len(world.cloud.mutations)
    jobs(world, 600)
    assert intended(world) == before
    assert len(world.cloud.mutations) == writes
    assert world.row.closed_at is None and world.journal.paused is not None
    assert resume(world)
    row = world.drive()
    assert (row.phase, row.outcome) == ("retired", "promoted")
    assert first_broken_link(world.journal.entries) == ""
    (tmp_path / "plain").mkdir()
    assert intended(world) == went(PLAN, tmp_path / "plain"), "each step once, none left out"


def test_no_step_of_the_story_is_meant_after_a_pause(tmp_path: Path) -> None:
    """A step exists that forgot to ask whether somebody said stop."""
    (tmp_path / "plain").mkdir()
    for number, step in enumerate(went(PLAN, tmp_path / "plain")):
        folder = tmp_path / str(number)
        folder.mkdir()
        world = World(folder)
        pause_after(world, "intended", step)
        meant = set(intended(world))
        jobs(world, 300)
        assert set(intended(world)) == meant, step
        assert world.journal.record(step) is not None or step in UNSEEN, "what had begun is done"
        assert resume(world) or world.row.closed_at is not None, "after the last step nothing is left to stop"
        assert world.drive().outcome == "promoted", step
        assert first_broken_link(world.journal.entries) == ""
        world.store.close()


def pause_after(world: World, kind: str, step: str) -> None:
    """Drive; the pause comes right after this entry, and right before whatever follows it."""
    right_after(world, kind, step, lambda: pause(world))
    world.drive(lambda world: world.journal.paused is not None)
    assert world.journal.paused is not None, f"{kind} {step} never came"


def test_a_step_that_had_begun_is_finished(world: World) -> None:
    """A swap that was on its way stays half known: nobody can tell where traffic is."""
    pause_after(world, "intended", "swap:1:50")
    assert world.journal.paused is not None and world.journal.record("swap:1:50") is None
    jobs(world, 60)
    assert world.journal.record("swap:1:50") is not None and world.weights == {"blue": 50, "green": 50}
    assert world.journal.record("observed:1:50") is not None, "what was begun is seen to its end"
    assert len(world.mutations("traffic.set_weights")) == 1


@pytest.mark.parametrize("said", ["pause", "hold"])
def test_a_step_that_failed_is_not_tried_on_and_on_after_a_pause(tmp_path: Path, said: str) -> None:
    """A swap that the platform refused for an hour moves all traffic, an hour after somebody said stop."""
    live = Live()
    world = World(tmp_path, ask=live)
    world.drive(gate_wait("live:1:50"))
    world.cloud.switches.fail["traffic.set_weights"] = "transient"
    world.drive(lambda world: bool(world.journal.intents("swap:2:100")))
    if said == "pause":
        pause(world)
    else:
        held(world)
    meant = len(intended(world))
    jobs(world, 60)
    wait = world.store.wait(ROLLOUT)
    assert wait is not None and "judged" in wait.state, "the live gate is watched meanwhile"
    world.cloud.switches.fail.clear()
    jobs(world, 600)
    assert world.weights == {"blue": 50, "green": 50} and len(intended(world)) == meant
    if said == "hold":
        live.answer = "fail"
        assert world.drive().outcome == "rolled_back"
        return
    assert resume(world)
    assert world.drive().outcome == "promoted"
    tokens = [entry.data["token"] for entry in world.journal.intents("swap:2:100")]
    assert len(tokens) == len(set(tokens)) > 1, "a new attempt"


def held(world: World) -> None:
    """The service is held in the middle of a rollout, as a store that was put back may have it."""
    now = world.clock.now()
    with world.store.db.transaction() as db:
        db.execute("INSERT INTO holds VALUES (?, ?, ?, ?, ?, ?)", ("shop", "ci@runner", "why", "", now, None))


def test_a_creation_that_failed_waits_and_goes_on_with_its_token(world: World) -> None:
    """A second mirror is built after a pause, or one is built during it."""
    world.cloud.switches.fail["compute.mirror"] = "transient"
    world.drive(lambda world: bool(world.journal.intents("mirror")))
    pause(world)
    jobs(world, 60)
    world.cloud.switches.fail.clear()
    jobs(world, 600)
    assert world.journal.record("mirror") is None and not world.mutations("compute.mirror")
    assert resume(world)
    assert world.drive().outcome == "promoted"
    assert len(world.journal.intents("mirror")) == 1


# What goes on


def gate_wait(step: str) -> Stop:
    """The gate of this step was looked at."""

    def looks(world: World) -> bool:
        wait = world.store.wait(ROLLOUT)
        return wait is not None and wait.step == step and bool(wait.state.get("verdicts"))

    return looks


def test_a_gate_that_runs_goes_on(world: World) -> None:
    """Evidence that was being gathered is lost, and the gate begins anew after the pause."""
    world.drive(gate_wait("live:1:50"))
    pause(world)
    jobs(world, 30)
    assert world.journal.record("live:1:50") is not None
    assert world.journal.open_intent("swap:2:100") is None and world.weights["green"] == 50
    wait = world.store.wait(ROLLOUT)
    assert wait is not None and wait.state["seen"] == "paused by me@desk: wait for me"


class Live:
    """The live check fails on the replacement from a moment on."""

    def __init__(self) -> None:
        self.answer: Any = "pass"

    def __call__(self, spec: CheckSpec, subject: Subject) -> Verdict:
        """Only what has traffic can fail."""
        bad = subject.role == "replacement" and subject.readings.traffic().route.share("green") > 0
        return Verdict(self.answer, f"it says {self.answer}") if bad else Verdict.passed("good")


@pytest.mark.parametrize("where", ["shifting", "baking"])
def test_a_failing_side_turns_back_while_paused(tmp_path: Path, where: str) -> None:
    """Somebody pauses at half of the traffic and goes to lunch, and users meet errors until they come back."""
    live = Live()
    world = World(tmp_path, ask=live)
    world.drive(gate_wait("live:1:50" if where == "shifting" else "bake"))
    pause(world)
    jobs(world, 300)
    assert world.row.phase == where
    live.answer = "fail"
    row = world.drive()
    assert (row.outcome, world.weights) == ("rolled_back", {"blue": 100, "green": 0})
    decision = world.journal.decision
    assert decision is not None and decision.data["reason"].startswith("while paused: ")
    assert "base-2" in world.store.denials("shop")


def test_not_knowing_while_paused_does_not_turn_back(tmp_path: Path) -> None:
    """A night without traffic takes back what somebody paused for the morning."""
    live = Live()
    world = World(tmp_path, ask=live)
    world.drive(gate_wait("live:1:50"))
    jobs(world, 20)
    pause(world)
    jobs(world, 60)
    live.answer = "unknown"
    before = len(world.journal.entries)
    jobs(world, 600)
    assert world.journal.decision is None and len(world.journal.entries) - before <= 1


def test_a_long_pause_leaves_few_entries(world: World) -> None:
    """A pause over the weekend fills the journal."""
    world.drive(gate_wait("live:1:50"))
    pause(world)
    jobs(world, 60)
    before = len(world.journal.entries)
    jobs(world, 600)
    assert len(world.journal.entries) == before


def test_a_hold_mark_turns_a_paused_rollout_back(world: World) -> None:
    """The on-call engineer's rollback waits for whoever paused."""
    world.drive(gate_wait("live:1:50"))
    pause(world)
    jobs(world, 60)
    world.edit(0)
    world.mark()
    assert world.drive().outcome == "rolled_back"


def test_a_strangers_edit_halts_a_paused_rollout(world: World) -> None:
    """Traffic is moved by hand during a pause, and overwritten after it."""
    world.drive(gate_wait("live:1:50"))
    pause(world)
    jobs(world, 60)
    world.edit(77)
    assert world.drive().outcome == "halted" and world.weights["green"] == 77


def test_a_paused_rollout_can_be_aborted(world: World) -> None:
    """A pause has to be ended before everything can be put back."""
    world.drive(gate_wait("live:1:50"))
    pause(world)
    jobs(world, 60)
    now = world.clock.now()
    decide_roll_back(world.store, world.provider, ROLLOUT, kind="abort", reason="no", actor="me", at=now)
    assert world.drive().outcome == "aborted" and world.weights == {"blue": 100, "green": 0}


def test_a_pause_fences_whoever_drives(world: World) -> None:
    """A step begins just after the pause was confirmed, by a controller that had not heard of it."""
    world.drive(phase_is("patching"))
    epoch = world.store.take_lease("shop", RIVAL, world.clock.now())
    pause(world)
    lease = world.store.lease("shop")
    assert lease is None, "the next job need not wait for it to run out"
    with pytest.raises(BaseException, match="is stale"):
        world.store.raise_if_stale(ROLLOUT, epoch)


# Resume


def test_resuming_twice_is_harmless_and_says_so(world: World) -> None:
    """A second resume is taken for another word, and wakes what somebody paused again."""
    pause(world)
    assert resume(world) is True
    assert resume(world) is False
    assert len(world.entries("resumed")) == 1


def test_pausing_twice_says_who_was_first(world: World) -> None:
    """Two people pause, one resumes, and the other still believes in the pause."""
    pause(world)
    with pytest.raises(NotPossible, match="paused already by me@desk"):
        pause(world)


def test_pauses_can_follow_each_other(world: World) -> None:
    """The second pause of a rollout is taken for the first, which is over."""
    world.drive(phase_is("patching"))
    for number in (1, 2):
        pause(world, f"pause {number}")
        before = intended(world)
        jobs(world, 60)
        wait = world.store.wait(ROLLOUT)
        assert intended(world) == before and wait is not None and f"pause {number}" in wait.state["seen"]
        resume(world)
    assert world.drive().outcome == "promoted"


def test_resume_ends_a_halt_and_a_pause_at_once(world: World) -> None:
    """Whoever resumes a halted rollout that was paused too has to say it twice, and does not know."""
    world.drive(gate_wait("live:1:50"))
    pause(world)
    jobs(world, 60)
    world.edit(77)
    world.drive()
    world.edit(50)
    assert resume(world)
    assert world.journal.halt is None and world.journal.paused is None
    assert world.drive().outcome == "promoted"


# Deadlines, approval, and what cannot be paused


def test_no_deadline_passes_because_of_a_pause(world: World) -> None:
    """A rollout that was paused overnight is turned back the moment it goes on."""
    world.drive(phase_is("patching"))
    pause(world)
    jobs(world, 8 * 3600)
    resume(world)
    assert world.drive().outcome == "promoted"


def test_trouble_before_a_pause_is_not_counted_through_it(world: World) -> None:
    """One slow answer before a pause of an hour and one after it are taken for an hour of trouble."""
    world.drive(gate_wait("live:1:50"))
    jobs(world, 4)
    world.cloud.switches.fail["traffic.route"] = "transient"
    jobs(world, 8)
    assert world.journal.trouble is not None
    world.cloud.switches.fail.clear()
    pause(world)
    jobs(world, 3 * world.plan.deadlines["gate"])
    world.cloud.switches.fail["traffic.route"] = "transient"
    world.cloud.switches.times["traffic.route"] = 4
    resume(world)
    assert world.drive().outcome == "promoted"


def waiting_approval(folder: Path) -> World:
    """A rollout that waits for somebody's word."""
    world = World(folder, a_plan(approval="required"))
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    return world


def test_a_pause_while_it_waits_for_approval(tmp_path: Path) -> None:
    """A pause makes a rollout forget that it wants approval, or an approval ends the pause."""
    world = waiting_approval(tmp_path)
    pause(world)
    jobs(world, 600)
    assert world.row.outcome == "waiting_approval"
    interventions.approve(fleet_with_policy(world), world.row, "you@desk")
    jobs(world, 600)
    assert world.row.outcome == "running" and world.journal.record("approval") is not None
    assert world.journal.paused is not None and not world.mutations("traffic.set_weights")
    resume(world)
    assert world.drive().outcome == "promoted"


def fleet_with_policy(world: World) -> Any:
    """The same with a policy that wants no reference."""
    made = fleet(world)
    made.fleet = type("Settings", (), {"policy": type("Policy", (), {"require_ref": ()})})
    return made


def test_a_pause_does_not_give_more_time_to_approve(tmp_path: Path) -> None:
    """A mirror stands and costs money for months, because somebody paused a rollout that nobody approves."""
    world = waiting_approval(tmp_path)
    pause(world)
    jobs(world, 600)
    world.passes(world.plan.deadlines["approval"])
    assert world.drive().outcome == "rolled_back" and world.store.denials("shop") == {}


def test_resume_is_no_approval(tmp_path: Path) -> None:
    """The one who asked lets it go on alone, by a pause and a resume."""
    world = waiting_approval(tmp_path)
    pause(world)
    resume(world)
    jobs(world, 600)
    assert world.row.outcome == "waiting_approval" and not world.mutations("traffic.set_weights")


def test_a_closed_rollout_cannot_be_paused(world: World) -> None:
    """Somebody believes that they stopped what was over."""
    world.drive()
    before = len(world.journal.entries)
    with pytest.raises(NotPossible, match="is closed already"):
        pause(world)
    assert len(world.journal.entries) == before


def test_a_way_back_cannot_be_paused(world: World) -> None:
    """A pause keeps traffic on a side that somebody wants it away from."""
    world.drive(gate_wait("live:1:50"))
    now = world.clock.now()
    decide_roll_back(world.store, world.provider, ROLLOUT, kind="abort", reason="no", actor="me", at=now)
    with pytest.raises(NotPossible, match="a way back is not paused"):
        pause(world)
    assert world.drive().outcome == "aborted"


def test_status_says_who_paused_and_how_it_goes_on(world: World) -> None:
    """A rollout stands still, and nobody knows why or what to type."""
    world.drive(gate_wait("live:1:50"))
    pause(world, "release of the shop")
    jobs(world, 30)
    told = stand(world.store, world.row, world.clock.now())
    assert told["paused"] == {"by": "me@desk", "reason": "release of the shop"}
    assert told["next"] == f"rollout resume {ROLLOUT}"
    resume(world)
    assert summarise(world.row, world.journal.entries, now=world.clock.now())["paused"] is None


# A hold on a warm service


def hold(world: World, reason: str = "release 7", until_s: float = 3600.0) -> None:
    """A deployment keeps rollouts off the service."""
    now = world.clock.now()
    Holds(world.store.db).put(Hold("shop", "ci@runner", reason, "", now, now + until_s))


@pytest.mark.parametrize("released", [True, False], ids=["released", "expired"])
def test_a_hold_on_a_warm_service_keeps_the_old_side(tmp_path: Path, released: bool) -> None:
    """The old side is deleted in the middle of a deployment, or never once it is over."""
    world = World(tmp_path)
    world.drive(phase_is("warm"))
    hold(world)
    jobs(world, 1800)
    assert world.row.phase == "warm" and world.provider.compute.describe(SHOP)["blue"].capacity == 2
    assert not world.journal.intents("window-closed")
    if released:
        Holds(world.store.db).release("shop", "ci@runner", "done", world.clock.now())
        assert world.row.due_at <= world.clock.now(), "it goes on at once"
    else:
        world.passes(1800)
    assert world.drive().phase == "retired"


def test_a_hold_does_not_stop_the_watch_or_the_care_of_the_way_back(tmp_path: Path) -> None:
    """During a deployment a warm host dies, and the way back is gone when the deployment fails."""
    world = World(tmp_path, a_plan(keep_warm_s=7200.0))
    world.drive(phase_is("warm"))
    hold(world)
    world.cloud.edit_by_hand("shop", capacity={"green": 3})
    jobs(world, 300)
    assert world.provider.compute.describe(SHOP)["blue"].capacity == 3
    wait = world.store.wait(ROLLOUT)
    assert wait is not None and wait.step == "keep-warm"


def test_a_held_warm_service_still_turns_back(tmp_path: Path) -> None:
    """A deployment's hold keeps the on-call engineer's rollback from being finished."""
    world = World(tmp_path)
    world.drive(phase_is("warm"))
    hold(world)
    jobs(world, 300)
    world.edit(0)
    world.mark()
    assert world.drive().outcome == "rolled_back"


def test_a_service_whose_traffic_moves_cannot_be_held(tmp_path: Path) -> None:
    """A deployment and a rollout change one service at the same time."""
    world = World(tmp_path)
    world.drive(phase_is("shifting"))
    with pytest.raises(Busy, match=f"{ROLLOUT} \\(shifting\\)"):
        hold(world)


# With a whole installation


def test_pause_and_resume_through_the_installation(tmp_path: Path) -> None:
    """What the command does differs from what the engine heeds."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    made = Installation(tmp_path / "fleet.yaml", VirtualClock())
    row: Row = control.start(made, "shop", image=None, saved=None, key=None, actor="me", reason="").row
    interventions.pause(made, row, "you", "lunch")
    journal = Journal(made.store.entries(row.id))
    assert journal.paused is not None and journal.paused.data == {"by": "you", "reason": "lunch"}
    assert interventions.resume(made, row, "you")

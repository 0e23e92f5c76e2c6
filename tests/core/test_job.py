"""One job: as far as it can go, never further, and never an exception for what can happen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from rollout.engine.job import advance
from rollout.journal import first_broken_link
from rollout.plan import STORY, CheckSpec
from rollout.store import NEVER, Fenced, LeaseHeld
from tests.core.scene import HOLDER, RIVAL, ROLLOUT, SHOP, World, a_plan, phase_is


def failing_live(spec: CheckSpec, subject: Subject) -> Verdict:
    """The replacement fails as soon as it has traffic."""
    bad = subject.role == "replacement" and subject.readings.traffic().route.share("green") > 0
    return Verdict.failed("errors under traffic") if bad else Verdict.passed("good")


# Whole stories


def test_a_good_patch_is_promoted_kept_warm_and_the_old_side_given_up(world: World) -> None:
    """Nothing is ever patched."""
    assert world.drive(phase_is("warm")).outcome == "promoted"
    assert world.weights == {"blue": 0, "green": 100}
    assert world.provider.compute.describe(SHOP)["blue"].exists
    row = world.drive()
    assert (row.phase, row.outcome) == ("retired", "promoted")
    assert first_broken_link(world.journal.entries) == ""
    card = world.cards.read("shop")
    assert card is not None and card.closed == "retired"
    assert world.provider.compute.describe(SHOP)["blue"].capacity == 0


def test_traffic_moves_in_the_planned_steps(world: World) -> None:
    """A bad patch meets all users at once."""
    world.drive(phase_is("warm"))
    assert [dict(each.args[0])["green"] for each in world.mutations("traffic.set_weights")] == [50, 100]


def test_a_patch_that_fails_under_traffic_is_put_back_and_denied(world: World) -> None:
    """Users meet errors until somebody wakes up, and again the next night."""
    world.asking(failing_live)
    row = world.drive()
    assert (row.phase, row.outcome) == ("rolled_back", "rolled_back")
    assert world.weights == {"blue": 100, "green": 0}
    assert "base-2" in world.store.denials("shop")
    assert not world.provider.compute.describe(SHOP)["green"].exists
    card = world.cards.read("shop")
    assert card is not None and card.closed == "rolled_back"


def test_after_a_rollback_the_configuration_is_as_before(world: World) -> None:
    """A rollback leaves floors, targets or environments behind."""
    before = world.cloud.snapshot("shop")
    world.asking(failing_live)
    world.drive()
    after = world.cloud.snapshot("shop")
    assert {key: after[key] for key in ("weights", "slots", "mark")} == {
        key: before[key] for key in ("weights", "slots", "mark")
    }


def test_two_rollouts_in_a_row_change_sides(world: World) -> None:
    """The second rollout patches the side that serves, because blue was once the original."""
    world.drive()
    plan = a_plan(
        original="green", original_image="base-2", patch=replace(world.plan.patch, images={"memory": "base-3"})
    )
    world.open(plan, "shop-2")
    for _ in range(400):
        row = world.store.rollout("shop-2")
        if row.closed_at is not None or row.due_at >= NEVER:
            break
        world.passes(max(0.0, row.due_at - world.clock.now()))
        advance("shop-2", world.means, HOLDER)
    assert (row.phase, row.outcome) == ("retired", "promoted")
    assert world.weights == {"blue": 100, "green": 0}


def test_an_abort_is_told_as_one(world: World) -> None:
    """A person's abort looks like a patch that failed."""
    from rollout.decide import decide_roll_back

    world.drive(phase_is("baking"))
    decide_roll_back(
        world.store, world.provider, ROLLOUT, kind="abort", reason="wrong night", actor="me", at=world.clock.now()
    )
    assert world.drive().outcome == "aborted"
    assert world.store.denials("shop") == {}


def test_a_service_that_changed_since_the_plan_is_left_alone(world: World) -> None:
    """A plan is carried out on something that it was not made for."""
    world.cloud.edit_by_hand("shop", app_version={"blue": "9.9"})
    assert world.drive().outcome == "rolled_back"
    assert world.mutations("compute.mirror") == []
    decision = world.journal.decision
    assert decision is not None and "application version was None, is 9.9" in decision.data["reason"]


def test_a_patch_that_may_need_a_reboot_gets_one(world: World) -> None:
    """A kernel patch is proven on hosts that still run the old kernel."""
    world.cloud.add_image("base-2", reboot_needed=None)
    assert world.drive(phase_is("warm")).outcome == "promoted"
    assert len(world.mutations("patcher.reboot")) == 1


def test_connections_are_cut_where_the_plan_says_so(tmp_path: Path) -> None:
    """Sessions stay on the bad side although the service asked for them to be cut."""
    world = World(tmp_path, a_plan(on_rollback="cut"), ask=failing_live)
    world.drive()
    assert len(world.mutations("traffic.cut")) == 1


def test_a_rollout_crashed_at_every_job_ends_the_same(world: World) -> None:
    """A rollout is only right if nobody restarts the program."""
    jobs = 0
    while world.row.closed_at is None and jobs < 400:
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        jobs += 1
        try:
            world.job(HOLDER if jobs % 2 else RIVAL)
        except LeaseHeld as held:
            world.passes(held.expires_in_s)
    assert world.row.outcome == "promoted" and world.weights == {"blue": 0, "green": 100}


# Outcomes of one job


def watching(world: World) -> bool:
    """Half of the traffic is on the replacement, and the live gate looks at it."""
    wait = world.store.wait(ROLLOUT)
    return wait is not None and wait.step == "live:1:50"


def test_a_job_says_why_it_waits_and_until_when(world: World) -> None:
    """Nobody knows what the rollout is doing, or it is looked at too late."""
    advanced = world.job()
    assert advanced.why.startswith("preflight: pass; 1 of 2") and advanced.due_at == world.clock.now() + 2
    assert world.row.due_at == advanced.due_at
    assert world.store.lease("shop") is None


def test_a_job_tells_its_epoch_before_it_acts(world: World) -> None:
    """A long job loses its lease, because nobody could renew it."""
    told = list[tuple[int, str]]()
    advance(ROLLOUT, world.means, HOLDER, on_lease=lambda epoch: told.append((epoch, world.kinds()[-1])))
    assert told == [(1, "opened")]


def test_another_drivers_lease_is_respected(world: World) -> None:
    """Two processes drive one rollout at the same time."""
    world.store.take_lease("shop", RIVAL, world.clock.now())
    with pytest.raises(LeaseHeld):
        world.job()
    assert world.kinds() == ["opened"]


def test_a_job_that_was_overtaken_stops_and_says_so(world: World) -> None:
    """A frozen process ends with a traceback, or goes on."""

    def overtaken(spec: CheckSpec, subject: Subject) -> Verdict:
        world.clock.sleep(11)
        world.store.take_lease("shop", RIVAL, world.clock.now())
        return Verdict.passed("good")

    world.asking(overtaken)
    assert "is stale" in world.job().why
    found = world.store.lease("shop")
    assert found is not None and found[0] == RIVAL


def test_a_closed_rollout_needs_nothing_more(world: World) -> None:
    """A finished rollout is driven on."""
    world.drive()
    before = len(world.journal.entries)
    advanced = world.job()
    assert (advanced.why, advanced.due_at) == ("closed", None)
    assert len(world.journal.entries) == before


def test_a_newer_story_is_not_driven(tmp_path: Path) -> None:
    """An older release on one host drives a rollout that it does not understand."""
    world = World(tmp_path, a_plan(story=STORY + 1))
    advanced = world.job()
    assert "newer than this release" in advanced.why and advanced.due_at is None
    assert world.kinds() == ["opened"]


def test_a_journal_that_does_not_fit_the_story_halts(world: World) -> None:
    """A journal of another release is guessed at."""
    run = world.run()
    run._note("done", "swap:1:50", {"value": None})
    assert "was never recorded, but swap:1:50 after it was" in world.job().why
    assert world.row.outcome == "halted" and world.journal.halt is not None


def test_a_strangers_edit_halts_and_waits_for_a_person(world: World) -> None:
    """A person's edit is overwritten, or the rollout goes on beside it."""
    world.drive(watching)
    world.edit(33)
    row = world.drive()
    assert row.outcome == "halted" and row.due_at == NEVER and world.weights["green"] == 33
    assert "someone else changed the route" in world.entries("halted")[0].data["reason"]


def resume(world: World) -> None:
    """A person's word to go on."""
    world.store.decide(ROLLOUT, world.journal.head, "resumed", {"by": "me"}, world.clock.now(), outcome="running")


def test_a_halted_rollout_goes_on_when_a_person_says_so(world: World) -> None:
    """A halt can never be ended."""
    world.drive(watching)
    world.edit(33)
    world.drive()
    assert world.job().why == "halted"
    world.edit(50)
    resume(world)
    assert world.drive(phase_is("warm")).outcome == "promoted"


def test_a_halted_rollout_obeys_a_mark(world: World) -> None:
    """The on-call engineer's rollback of a halted rollout is never finished."""
    world.drive(watching)
    world.edit(33)
    world.drive()
    world.edit(0)
    world.mark()
    world.job()
    assert world.journal.decision is not None
    row = world.drive()
    assert (row.outcome, world.weights["blue"]) == ("rolled_back", 100)
    assert world.cloud.snapshot("shop")["mark"] is None


def test_a_halted_rollback_does_not_decide_again(world: World) -> None:
    """A mark sets a rollback going that a person has to look at first."""
    world.asking(failing_live)
    world.drive(phase_is("rolling_back"))
    world.edit(33)
    assert world.drive().outcome == "halted"
    world.mark()
    assert world.job().why == "halted" and len(world.entries("roll_back_decided")) == 1


def test_a_rollback_that_fails_asks_for_a_person(world: World) -> None:
    """A rollback that cannot be completed is called done, or tried for ever in silence."""
    world.asking(failing_live)
    world.cloud.switches.fail["compute.delete_if_owned"] = "denied"
    row = world.drive()
    assert row.outcome == "halted" and world.weights == {"blue": 100, "green": 0}
    assert "the rollback is not complete: back:give-up: Denied" in world.entries("halted")[-1].data["reason"]
    world.cloud.switches.fail.clear()
    resume(world)
    assert world.drive().outcome == "rolled_back"


def test_a_mark_on_a_warm_service_turns_it_back(world: World) -> None:
    """The emergency rollback of a promoted service is never finished."""
    world.drive(phase_is("warm"))
    world.cloud.edit_by_hand("shop", weights={"blue": 100, "green": 0})
    world.mark()
    row = world.drive()
    assert (row.outcome, row.phase) == ("rolled_back", "rolled_back")
    decision = world.journal.decision
    assert decision is not None and (decision.data["kind"], decision.data["actor"]) == ("mark", "oncall@host")


def test_trouble_between_two_steps_is_retried(world: World) -> None:
    """One failed read ends the rollout."""
    world.drive(phase_is("warm"))
    world.cloud.switches.fail["traffic.route"] = "transient"
    world.passes(max(0.0, world.row.due_at - world.clock.now()))
    advanced = world.job()
    assert advanced.why.startswith("Transient") and advanced.due_at == world.clock.now() + 5
    world.cloud.switches.fail.clear()
    assert world.drive().outcome == "promoted"


def test_trouble_that_lasts_turns_back(world: World) -> None:
    """A mirror stands for ever because the platform's interface is gone."""
    world.drive(phase_is("patching"))
    world.cloud.switches.fail["compute.observe"] = "transient"
    world.drive(lambda world: world.journal.decision is not None)
    decision = world.journal.decision
    assert decision is not None and decision.data["deny"] is False
    world.cloud.switches.fail.clear()
    assert world.drive().outcome == "rolled_back"
    assert world.store.denials("shop") == {}


def test_past_the_point_of_no_return_trouble_halts_and_can_be_resumed(world: World) -> None:
    """A refused clean-up ends every later job with a traceback, and the service can never be patched again."""
    world.drive(phase_is("warm"))
    world.cloud.switches.fail["traffic.detach"] = "denied"
    row = world.drive()
    assert row.outcome == "halted" and world.weights == {"blue": 0, "green": 100}
    world.cloud.switches.fail.clear()
    resume(world)
    assert world.drive().phase == "retired"


def test_a_mark_past_the_point_of_no_return_asks_for_a_person(world: World) -> None:
    """A late hold mark ends the job with a traceback, or the old side is deleted under the traffic."""
    world.drive(phase_is("warm"))
    world.cloud.switches.fail["traffic.observe"] = "transient"
    world.drive(phase_is("retiring"))
    world.cloud.switches.fail.clear()
    world.mark()
    row = world.drive()
    assert row.outcome == "halted" and world.provider.compute.describe(SHOP)["blue"].exists


def test_fenced_passes_through_every_handler() -> None:
    """An `except Exception` on the way keeps a stale controller alive."""
    raised: Any = Fenced("stale")
    assert isinstance(raised, BaseException) and not isinstance(raised, Exception)

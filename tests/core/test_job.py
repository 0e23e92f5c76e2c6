"""One job: as far as it can go, never further, and never an exception for what can happen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from rollout.card import CardFolder
from rollout.decide import decide_roll_back
from rollout.engine.job import UnknownStory, advance
from rollout.journal import first_broken_link
from rollout.plan import STORY, CheckSpec
from rollout.run import BETWEEN_STEPS
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
    told = rf"newer release \(story {STORY + 1}, this one tells {STORY}\).*rollout rollback shop works"
    with pytest.raises(UnknownStory, match=told):
        world.job()
    assert world.kinds() == ["opened"]


def test_a_newer_story_is_refused_before_anybody_is_fenced(tmp_path: Path) -> None:
    """An older release that only looks stops the newer one in the middle of a swap, and puts it to sleep for ever."""
    world = World(tmp_path, a_plan(story=STORY + 1))
    epoch, due = world.store.take_lease("shop", RIVAL, world.clock.now()), world.row.due_at
    with pytest.raises(UnknownStory):
        world.job()
    world.store.raise_if_stale(ROLLOUT, epoch)
    found = world.store.lease("shop")
    assert found is not None and found[0] == RIVAL and world.row.due_at == due


def test_a_journal_that_does_not_fit_the_story_halts(world: World) -> None:
    """A journal of another release is guessed at."""
    run = world.run()
    run.note("done", "swap:1:50", {"value": None})
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


# Trouble counts from its beginning


def resting(folder: Path, phase: str, **changes: Any) -> World:
    """A world whose rollout has rested in this phase for four hours, looked at now and then."""
    long = 5 * 3600.0
    world = World(folder, a_plan(settle_s=long if phase == "patching" else 1.0, keep_warm_s=long, **changes))
    step = "settle" if phase == "patching" else "keep-warm"

    def rests(world: World) -> bool:
        wait = world.store.wait(ROLLOUT)
        return wait is not None and wait.step == step

    world.drive(rests)
    for _ in range(4):
        world.passes(3600)
        world.job()
    return world


def jobs_for(world: World, seconds: float) -> None:
    """Jobs as they are due, for so long or until somebody is needed."""
    until = world.clock.now() + seconds
    while world.clock.now() < until and world.row.due_at < NEVER and not world.journal.decision:
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()


@pytest.mark.parametrize("phase", ["patching", "warm"])
def test_one_unreadable_look_after_hours_of_rest_is_only_tried_again(tmp_path: Path, phase: str) -> None:
    """A patch that was good for hours is put back, or a person is woken, for one throttled request."""
    world = resting(tmp_path, phase)
    world.cloud.switches.throttle["traffic.route"] = 1
    assert world.job().why.startswith("Throttled")
    assert world.row.due_at == world.clock.now() + 5
    assert world.entries("troubled")[-1].step == "between steps"
    world.passes(5)
    world.job()
    assert world.entries("recovered") and world.journal.trouble is None
    assert (world.row.phase, world.journal.decision, world.journal.halt) == (phase, None, None)
    assert world.drive(jobs=1000).outcome == "promoted"


def test_two_unreadable_looks_far_apart_are_two_troubles(tmp_path: Path) -> None:
    """A platform that is slow once an hour turns every long rest into a rollback."""
    world = resting(tmp_path, "patching")
    for _ in range(3):
        world.cloud.switches.throttle["traffic.route"] = 1
        world.job()
        world.passes(900)
        world.job()
    assert len(world.entries("troubled")) == len(world.entries("recovered")) == 3
    assert world.journal.decision is None and world.row.phase == "patching"


def test_trouble_between_two_steps_that_lasts_turns_back(tmp_path: Path) -> None:
    """A mirror stands for ever because nobody can say whether there is a hold mark."""
    world = resting(tmp_path, "patching")
    world.cloud.switches.fail["traffic.route"] = "transient"
    limit = world.plan.deadlines["patch"]
    jobs_for(world, 10 * limit)
    (troubled,) = world.entries("troubled")
    decision = world.journal.decision
    assert decision is not None and "nothing could be done for" in decision.data["reason"]
    assert limit < decision.at - troubled.at < limit + 10 and decision.data["deny"] is False
    world.cloud.switches.fail.clear()
    assert world.drive().outcome == "rolled_back"


def test_trouble_of_a_promoted_rollout_that_lasts_asks_for_a_person(tmp_path: Path) -> None:
    """An accepted patch is taken back by a balancer that cannot be read."""
    world = resting(tmp_path, "warm")
    world.cloud.switches.fail["traffic.route"] = "transient"
    jobs_for(world, 1000)
    assert (world.row.phase, world.row.outcome, world.journal.decision) == ("warm", "halted", None)
    assert "nothing could be done for" in world.entries("halted")[-1].data["reason"]
    assert world.weights == {"blue": 0, "green": 100} and world.provider.compute.describe(SHOP)["blue"].exists
    world.cloud.switches.fail.clear()
    resume(world)
    assert world.drive(jobs=1000).phase == "retired"


def test_trouble_while_the_original_is_given_up_asks_for_a_person(world: World) -> None:
    """Traffic is sent back to a side that is half deleted."""
    world.drive(phase_is("warm"))
    world.cloud.switches.fail["traffic.detach"] = "transient"
    row = world.drive()
    assert (row.phase, row.outcome, world.journal.decision) == ("retiring", "halted", None)
    assert "given up after" in world.entries("halted")[-1].data["reason"]
    assert world.weights == {"blue": 0, "green": 100}
    world.cloud.switches.fail.clear()
    resume(world)
    assert world.drive().phase == "retired"


def test_a_gate_that_can_be_read_again_ends_the_trouble(world: World) -> None:
    """Two slow answers, far apart in one long bake, turn a good patch back."""
    world.drive(watching)
    run = world.later()
    run.note("troubled", BETWEEN_STEPS, {"reason": "Throttled: slow down"})
    run.heed_route(run.provider.traffic.route(SHOP))
    assert world.journal.trouble is None and world.entries("recovered")


def test_a_promoted_rollout_is_taken_back_only_by_a_mark(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accepted patch is rolled back because a file could not be written."""
    world.drive(phase_is("warm"))

    def full(folder: CardFolder, card: Any, begun: str = "") -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(CardFolder, "write", full)
    row = world.drive()
    assert (row.phase, row.outcome, world.journal.decision) == ("warm", "halted", None)
    assert "the rollback card cannot be written" in world.entries("halted")[-1].data["reason"]
    assert world.weights == {"blue": 0, "green": 100} and world.provider.compute.describe(SHOP)["blue"].exists
    monkeypatch.undo()
    world.mark()
    assert world.job().due_at is not None and world.journal.decision is not None
    assert world.drive().outcome == "rolled_back"


# The service grows meanwhile


def grown(world: World, capacity: int = 5) -> None:
    """The original has scaled out to this before traffic moves, and what it added is a target like the others."""
    world.drive(phase_is("proving"))
    world.cloud.edit_by_hand("shop", capacity={"blue": capacity})
    world.passes(3)
    blue = [each for each in world.provider.compute.observe([SHOP])["shop"] if each.slot == "blue"]
    world.provider.traffic.attach(SHOP, "blue", blue, "t-autoscaler")
    world.passes(2)


def first_swap(world: World) -> list[str]:
    """What was recorded before traffic moved."""
    kinds = world.kinds()
    return kinds[: kinds.index("intended swap:1:50")]


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "reply lost"])
def test_a_replacement_that_follows_is_proven_before_it_has_traffic(world: World, lost: bool) -> None:
    """Traffic for five hosts is moved onto instances that nobody has attached or looked at."""
    grown(world)
    if lost:
        world.cloud.switches.lost_reply["compute.scale"] = True
        world.cloud.switches.times["compute.scale"] = 1
    world.drive(phase_is("baking"))
    assert {"done attach:1", "ended running:1", "ended healthy:1", "done card:1"} <= set(first_swap(world))
    seen = world.provider.traffic.observe([SHOP])["shop"].targets["green"]
    assert (seen.healthy, seen.unhealthy, seen.unknown) == (5, 0, 0)
    ended = world.journal.record("healthy:1")
    assert ended is not None and ended.data["seen"].startswith("5 of 5 healthy")


def test_floors_and_card_follow_what_the_service_grew_to(world: World) -> None:
    """Scale-in takes what was just added, and the way back at night is content with two of five."""
    grown(world)
    world.drive(phase_is("baking"))
    environments = world.provider.compute.describe(SHOP)
    assert (environments["blue"].floor, environments["green"].floor) == (5, 5)
    card = world.cards.read("shop")
    assert card is not None and card.capacity == 5 and card.rollout == ROLLOUT
    assert world.drive().outcome == "promoted"
    assert world.provider.compute.describe(SHOP)["green"].floor == 0


def test_a_service_that_did_not_grow_is_not_looked_at_anew(world: World) -> None:
    """Every step of every rollout takes minutes longer than it has to."""
    world.drive(phase_is("baking"))
    assert not {kind for kind in world.kinds() if "attach:1" in kind or "card:1" in kind}


def test_a_grown_service_has_its_floors_back_after_a_rollback(world: World) -> None:
    """A rollback leaves a floor of five behind on a service that had none."""
    world.asking(failing_live)
    grown(world)
    assert world.drive().outcome == "rolled_back"
    blue = world.provider.compute.describe(SHOP)["blue"]
    assert (blue.floor, blue.capacity) == (0, 5)


def test_a_floor_of_the_users_own_is_found_again_after_a_service_grew(world: World) -> None:
    """A rollback leaves our larger floor on a service that had one of its own."""
    world.asking(failing_live)
    world.provider.compute.set_floor(SHOP, "blue", 2, "t-by-hand")
    grown(world)
    assert not world.journal.intents("pin:original")
    world.drive(lambda world: bool(world.journal.intents("pin:original:1")))
    assert world.provider.compute.describe(SHOP)["blue"].floor == 5
    assert world.drive().outcome == "rolled_back"
    assert world.provider.compute.describe(SHOP)["blue"].floor == 2


# The replacement stays until the original serves


def put_back(world: World) -> None:
    """A person's word that goes over the balancer's."""
    now = world.clock.now()
    decide_roll_back(world.store, world.provider, ROLLOUT, kind="rollback", reason="x", actor="me", at=now, force=True)


def test_the_replacement_stays_until_the_original_is_healthy(world: World) -> None:
    """Traffic is back on a side that turned ill, and the one that served is deleted."""
    world.drive(phase_is("baking"))
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    put_back(world)

    def waits(world: World) -> bool:
        wait = world.store.wait(ROLLOUT)
        return wait is not None and wait.step == "back:healthy"

    world.drive(waits)
    assert world.weights == {"blue": 100, "green": 0}
    green = world.provider.compute.describe(SHOP)["green"]
    assert green.exists and green.capacity == 2 and world.mutations("traffic.detach") == []
    world.cloud.switches.health_lies.clear()
    assert world.drive().outcome == "rolled_back"
    assert not world.provider.compute.describe(SHOP)["green"].exists


def test_an_original_that_stays_ill_asks_for_a_person_and_keeps_the_replacement(world: World) -> None:
    """A rollback is called done while neither side serves."""
    world.drive(phase_is("baking"))
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    put_back(world)
    row = world.drive()
    assert (row.phase, row.outcome) == ("rolling_back", "halted")
    assert "the rollback is not complete: back:healthy" in world.entries("halted")[-1].data["reason"]
    assert world.provider.compute.describe(SHOP)["green"].exists and world.mutations("traffic.detach") == []
    world.cloud.switches.health_lies.clear()
    resume(world)
    assert world.drive().outcome == "rolled_back"


def test_an_original_that_shrank_is_given_what_the_service_needs(world: World) -> None:
    """A rollback waits for hosts that nobody starts, and stays half-way until the morning."""
    grown(world)
    world.drive(phase_is("baking"))
    world.cloud.edit_by_hand("shop", capacity={"blue": 2})
    put_back(world)
    assert world.drive().outcome == "rolled_back"
    assert world.provider.compute.describe(SHOP)["blue"].capacity == 5


def test_a_way_back_before_any_traffic_does_not_wait_for_health(world: World) -> None:
    """A rollout that has done nothing yet cannot be aborted, because the service is ill."""
    world.drive(phase_is("patching"))
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    assert not world.journal.intents("attach")
    put_back(world)
    assert world.drive().outcome == "rolled_back"
    assert world.journal.record("back:healthy") is None


def test_fenced_passes_through_every_handler() -> None:
    """An `except Exception` on the way keeps a stale controller alive."""
    raised: Any = Fenced("stale")
    assert isinstance(raised, BaseException) and not isinstance(raised, Exception)

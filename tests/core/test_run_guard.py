"""Directly before each write: is the traffic still where we left it, and has nobody asked us to stop?"""

from __future__ import annotations

from typing import Any

import pytest

from providers.base import Transient
from rollout import acts
from rollout.flow import Halt, NotYet, TurnBack
from rollout.means import Act
from rollout.run import Run
from tests.core.scene import ROLLOUT, World
from tests.core.test_run_once import Dies, Doing, create


def turned_back(world: World, **decision: Any) -> Run:
    """A run that tells the way back."""
    data = {"reason": "x", "kind": "gate", "deny": False, "by_person": False, "route": None, **decision}
    world.store.decide(ROLLOUT, world.journal.head, "roll_back_decided", data, world.clock.now())
    return world.run()


def test_a_hold_mark_turns_the_forward_story_back(world: World) -> None:
    """The engine moves traffic forward again after the on-call engineer put it back."""
    run, do = world.past_capture(), Doing()
    world.mark("errors since the patch")
    with pytest.raises(TurnBack, match="hold mark of oncall@host: errors since the patch") as turn:
        run.once(create(do))
    assert turn.value.evidence["mark"]["rollout"] == ROLLOUT and turn.value.deny is False
    assert do.calls == [] and world.entries("intended") == []


def test_a_mark_without_a_reason_is_told_as_what_it_is(world: World) -> None:
    """The journal says `hold mark of oncall: ` and nothing more."""
    run = world.past_capture()
    world.mark("")
    with pytest.raises(TurnBack, match="emergency rollback"):
        run.guard()


def test_a_mark_does_not_stop_the_way_back(world: World) -> None:
    """An emergency rollback can never be finished, because its own mark is in the way."""
    world.past_capture()
    world.mark()
    run, do = turned_back(world), Doing()
    run.once(create(do, "back:swap"))
    assert len(do.calls) == 1


def test_a_strangers_edit_halts_and_says_what_was_found(world: World) -> None:
    """What a person just set by hand is overwritten."""
    run, do = world.past_capture(), Doing()
    world.mirror_stands()
    world.edit(30)
    with pytest.raises(Halt, match=r"someone else changed the route: found .*green 30 %.*declared") as halt:
        run.once(create(do))
    assert halt.value.evidence["route"]["weights"] == {"blue": 70, "green": 30}
    assert do.calls == []


def test_a_strangers_edit_halts_the_way_back_too(world: World) -> None:
    """A rollback undoes what a person set by hand meanwhile."""
    world.past_capture()
    world.mirror_stands()
    world.edit(30)
    with pytest.raises(Halt):
        turned_back(world).once(create(Doing(), "back:swap"))


def test_the_route_a_person_saw_when_deciding_is_theirs_to_leave(world: World) -> None:
    """A person who edits the route and then asks for a rollback is told that a stranger did it."""
    world.past_capture()
    world.mirror_stands()
    world.edit(30)
    run = turned_back(world, by_person=True, route={"blue": 70, "green": 30})
    assert run.guard().weights == {"blue": 70, "green": 30}


def test_before_the_capture_no_route_is_foreign(world: World) -> None:
    """A preflight halts because it has nothing to compare with."""
    world.mirror_stands()
    world.edit(30)
    assert world.run().guard().weights["green"] == 30


def test_our_own_swap_in_flight_is_not_foreign(world: World) -> None:
    """After a crash in the middle of a swap a person is called for what we did ourselves."""
    run = world.past_capture()
    world.mirror_stands()

    def swaps_and_dies(intent: Any) -> None:
        world.edit(50)
        raise Dies

    swap = acts.swap(run, "swap:1:50", {"blue": 50, "green": 50})
    with pytest.raises(Dies):
        run.once(Act(swap.step, "set", swaps_and_dies, swap.args, swap.is_done))
    world.passes(6)
    again = world.later()
    assert again.guard().weights == {"blue": 50, "green": 50}
    assert again.once(acts.swap(again, "swap:1:50", {"blue": 50, "green": 50}))["already"] is True


def test_a_route_that_was_left_behind_is_foreign(world: World) -> None:
    """Traffic that somebody put back by hand is moved forward again."""
    run = world.past_capture()
    world.mirror_stands()
    run.once(acts.swap(run, "swap:1:50", {"blue": 50, "green": 50}))
    run.once(acts.swap(run, "swap:2:100", {"blue": 0, "green": 100}))
    world.edit(50)
    with pytest.raises(Halt):
        run.guard()
    back = turned_back(world)
    assert back.guard().weights == {"blue": 50, "green": 50}  # a late write of ours may still show there


def test_a_route_that_cannot_be_read_stops_the_write(world: World) -> None:
    """Traffic is moved blindly while the balancer does not answer."""
    run, do = world.past_capture(), Doing()
    world.cloud.switches.fail["traffic.route"] = "transient"
    with pytest.raises(NotYet, match="Transient"):
        run.once(create(do))
    assert do.calls == []


def test_an_unreadable_mark_is_trouble_and_not_permission(world: World) -> None:
    """A mark is missed because one read failed."""
    run = world.past_capture()
    world.cloud.switches.fail["reads"] = "transient"
    with pytest.raises(Transient):
        run.guard()


# Holding the route after a rollback


def holding(world: World, until_s: float = 5.0) -> tuple[Run, float]:
    """A rollback whose swap was just made, and until when it is held."""
    run = world.past_capture()
    world.mirror_stands()
    run.once(acts.swap(run, "swap:1:100", {"blue": 0, "green": 100}))
    run = turned_back(world)
    run.once(acts.swap(run, "back:swap", acts.way_back(run)))
    return run, world.clock.now() + until_s


def hold(run: Run, until_at: float) -> None:
    """One look of the hold."""
    back = acts.way_back(run)
    run.hold("back:hold", back, lambda step: acts.swap(run, step, back), until_at)


def test_a_hold_reads_back_until_no_write_can_land_any_more(world: World) -> None:
    """A rollback is called done, and a late write undoes it."""
    run, until = holding(world)
    with pytest.raises(NotYet) as wait:
        hold(run, until)
    assert wait.value.due_at is not None and wait.value.due_at <= world.clock.now() + 0.5
    world.passes(6)
    hold(run, until)
    hold(world.later(), until)
    assert world.journal.value("back:hold") == {"blue": 100, "green": 0}


def test_a_late_write_of_ours_is_put_right_each_time(world: World) -> None:
    """Traffic is back on the bad side, and the program says that it is not."""
    _, until = holding(world)
    for _ in range(2):
        world.edit(100)  # what the crashed controller had sent off lands now
        with pytest.raises(NotYet):
            hold(world.later(), until)
        assert world.weights == {"blue": 100, "green": 0}
    assert {step for step in world.journal.recorded_steps() if ":again:" in step} == {
        "back:hold:again:1",
        "back:hold:again:2",
    }


def test_a_stranger_during_the_hold_halts(world: World) -> None:
    """The program fights with a person over the route."""
    run, until = holding(world)
    world.edit(37)
    with pytest.raises(Halt):
        hold(run, until)
    assert world.weights["green"] == 37

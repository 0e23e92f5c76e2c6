"""A window that closes: what cannot be undone in time is not begun, and what is not promoted is back by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.memory.clock import VirtualClock
from rollout import interventions
from rollout.journal import Journal, first_broken_link
from rollout.plan import Plan, PlanWindow, seconds_to_undo
from rollout.standstill import turns_back_at
from tests.core.interrupting import jobs
from tests.core.scene import World, a_plan, phase_is
from tests.core.test_paused import fleet
from tests.when.test_freeze import frozen, in_gate


def a_window(closes_in_s: float, tmp_path: Path, at_end: str = "turn_back", **plan: Any) -> World:
    """A rollout whose window closes so long after it was opened."""
    begins_at = VirtualClock().now()
    return World(tmp_path, a_plan(window=PlanWindow(begins_at - 60, begins_at + closes_in_s, at_end), **plan))


def closes_at(world: World) -> float:
    """When its window closes."""
    assert world.plan.window is not None and world.plan.window.closes_at is not None
    return world.plan.window.closes_at


def undo_s(world: World) -> float:
    """How long going back may take."""
    return seconds_to_undo(world.plan, world.provider.write_timeout_s)


def whole_s(tmp_path: Path) -> float:
    """How long an undisturbed rollout takes until it is promoted."""
    world = World(tmp_path)
    began = world.clock.now()
    world.drive(phase_is("warm"))
    return world.clock.now() - began


def test_what_is_in_the_middle_of_a_soak_is_back_when_the_window_closes(tmp_path: Path) -> None:
    """In the morning half of the customers are on a side that nobody has accepted."""
    world = a_window(200, tmp_path)
    world.drive(in_gate("live:1:50"))
    interventions.pause(fleet(world), world.row, "me@desk", "a long soak")  # else it would be through by then
    row = world.drive()
    decision = world.journal.decision
    assert decision is not None and decision.data["kind"] == "gate" and decision.data["deny"] is False
    assert decision.data["reason"].startswith("window closed")
    assert decision.at >= closes_at(world) - undo_s(world)
    observed = world.journal.record("back:observed")
    assert observed is not None and observed.at <= closes_at(world), "back in time"
    assert (row.outcome, world.weights) == ("rolled_back", {"blue": 100, "green": 0})
    assert world.store.denials("shop") == {}, "the image did nothing wrong"
    assert first_broken_link(world.journal.entries) == ""


def test_at_any_time_at_which_it_may_close(tmp_path: Path) -> None:
    """For some length of a window, traffic is between two sides, or moves, when it has closed."""
    (tmp_path / "plain").mkdir()
    needed_s, promoted = whole_s(tmp_path / "plain"), 0
    for tenths in range(0, int((needed_s + 60) * 2), 7):
        folder = tmp_path / str(tenths)
        folder.mkdir()
        world = a_window(tenths / 2, folder)
        row, moved = world.drive(), world.journal.intended_routes()
        ends = closes_at(world)
        forward = [entry for entry, _ in moved if entry.step.startswith("swap:")]
        assert all(entry.at + world.provider.write_timeout_s + undo_s(world) <= ends for entry in forward), tenths
        if row.outcome == "promoted":
            promoted += 1
            warm = next(entry for entry in world.entries("entered") if entry.step == "warm")
            assert warm.at < ends
        else:
            assert row.outcome == "rolled_back" and world.weights == {"blue": 100, "green": 0}
            back = world.journal.record("back:observed")
            assert back is None or back.at <= ends, tenths
            assert bool(back) or not moved
        world.store.close()
    assert promoted > 3, "the longest ones are long enough"


def test_a_swap_that_could_not_be_undone_in_time_is_not_begun(tmp_path: Path) -> None:
    """Traffic moves a second before the end, and goes back after it."""
    world = a_window(3600, tmp_path)
    world.drive(in_gate("proof"))
    last = closes_at(world) - undo_s(world) - world.provider.write_timeout_s
    world.passes(last - world.clock.now())
    world.drive()
    assert not any(entry.step.startswith("swap:") for entry in world.entries("intended"))
    assert world.row.outcome == "rolled_back"


def test_what_may_finish_finishes(tmp_path: Path) -> None:
    """A service that must not go back for the clock's sake goes back."""
    world = a_window(60, tmp_path, "finish")
    world.drive(in_gate("live:1:50"))
    world.passes(3600)
    assert world.drive().outcome == "promoted"


def test_what_may_finish_but_has_not_moved_any_traffic_is_given_up(tmp_path: Path) -> None:
    """Somebody approves at noon, and traffic moves in the middle of the day."""
    world = a_window(3600, tmp_path, "finish", approval="required")
    row = world.drive()
    assert row.outcome == "rolled_back" and world.clock.now() < closes_at(world) + 60
    assert not world.journal.intended_routes()


def test_who_waits_for_approval_is_not_forgotten_until_the_approval_is_due(tmp_path: Path) -> None:
    """Nobody approves within the window, and the mirror stands, and costs, for a week."""
    world = a_window(3600, tmp_path, approval="required")
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    assert world.row.due_at <= closes_at(world) - undo_s(world)
    assert world.drive().outcome == "rolled_back" and world.clock.now() < closes_at(world) + 60


def test_what_is_promoted_stays(tmp_path: Path) -> None:
    """A patch that was accepted is taken back because the night is over."""
    world = a_window(300, tmp_path)
    world.drive(phase_is("warm"))
    assert world.clock.now() < closes_at(world)
    world.passes(3600)
    assert world.drive().outcome == "promoted"


def test_a_clock_that_jumps_past_the_end_turns_back(tmp_path: Path) -> None:
    """A machine slept, and goes on the next morning where it had stopped."""
    world = a_window(3600, tmp_path)
    world.drive(in_gate("live:1:50"))
    world.passes(12 * 3600)
    meant = len(world.journal.intended_routes())
    row = world.drive()
    assert row.outcome == "rolled_back" and world.weights == {"blue": 100, "green": 0}
    forward = [entry for entry, _ in world.journal.intended_routes()[meant:] if entry.step.startswith("swap:")]
    assert forward == []


def test_frozen_over_its_end_it_turns_back_all_the_same(tmp_path: Path) -> None:
    """A freeze keeps half of the traffic on an unproven side over the end of the window."""
    world = a_window(200, tmp_path)
    world.drive(in_gate("live:1:50"))
    frozen(world)
    jobs(world, 200)
    assert world.weights == {"blue": 100, "green": 0}


def test_a_halted_one_is_left_to_a_person_and_turned_back_when_he_lets_it_go_on(tmp_path: Path) -> None:
    """Somebody repairs by hand, and the program moves traffic under him; or it goes on outside of its window."""
    world = a_window(3600, tmp_path)
    world.drive(in_gate("live:1:50"))
    world.edit(30)
    world.drive()
    assert world.row.outcome == "halted"
    world.passes(7200)
    world.job()
    assert world.row.outcome == "halted" and world.weights == {"blue": 70, "green": 30}
    world.edit(50)
    interventions.resume(fleet(world), world.row, "me@desk")
    assert world.drive().outcome == "rolled_back"


def test_where_the_original_is_sick_it_halts(tmp_path: Path) -> None:
    """At the window's end all traffic goes to a side that cannot serve."""
    world = a_window(3600, tmp_path)
    world.drive(in_gate("live:2:100"))
    world.passes(closes_at(world) - undo_s(world) - world.clock.now())
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    world.job()
    assert (world.row.outcome, world.weights) == ("halted", {"blue": 0, "green": 100})
    assert world.journal.halt is not None and "window closed" in world.journal.halt.data["reason"]


@pytest.mark.parametrize("phase", ["opened", "patching", "proving"])
def test_before_any_traffic_it_just_gives_the_mirror_up(tmp_path: Path, phase: str) -> None:
    """An end before the first swap is written to a balancer for nothing."""
    world = a_window(3600, tmp_path)
    world.drive(phase_is(phase))
    world.passes(3600)
    assert world.drive().outcome == "rolled_back"
    assert world.mutations("traffic.set_weights") == [] or phase != "opened"


# The numbers


def test_when_it_turns_back() -> None:
    """The way back begins when the window is over."""
    plan = a_plan(window=PlanWindow(0.0, 10_000.0))
    assert turns_back_at(plan, Journal([]), 5.0) == 10_000.0 - 10.0 - plan.deadlines["observed"]
    unlimited = [None, PlanWindow(0.0, None), PlanWindow(None, None, "finish", outside=True)]
    assert [turns_back_at(a_plan(window=window), Journal([]), 5.0) for window in unlimited] == [None] * 3


def test_a_plan_without_a_window_has_the_hash_that_it_always_had() -> None:
    """Plans that were saved, and rollouts that were opened, by an earlier release are taken for forged ones."""
    plain = a_plan()
    assert "window" not in plain.to_json() and Plan.from_json(plain.to_json()) == plain
    limited = a_plan(window=PlanWindow(1.0, 2.0, "finish"))
    assert limited.hash != plain.hash and Plan.from_json(limited.to_json()) == limited

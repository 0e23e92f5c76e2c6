"""What the way back stands on stays as it is while traffic moves: floors, room to grow, requests that are ending."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import EVERYTHING, Invalid, Parts, Reading, Slot
from rollout.gate import GateRule
from rollout.journal import Entry
from rollout.plan import Gate
from rollout.telling import sentence
from tests.core.scene import ROLLOUT, World, a_plan, phase_is

LONG = GateRule(passes=2, failures=2, interval_s=5.0, deadline_s=600.0, unknown_limit_s=60.0, soak_s=120.0)


def a_long_look(folder: Path) -> World:
    """Each step is watched for two minutes."""
    plan = a_plan()
    gates = {name: Gate(LONG, gate.checks) for name, gate in plan.gates.items()}
    return World(folder, replace(plan, gates=gates, deadlines={**plan.deadlines, "gate": 900.0}))


def test_a_floor_that_was_lowered_is_put_back_while_traffic_moves(tmp_path: Path) -> None:
    """A nightly schedule shrinks the idle side, and at the next bad minute there is no way back."""
    world = a_long_look(tmp_path)
    world.drive(until=phase_is("shifting"))
    world.cloud.service("shop").slots["blue"].floor = 0
    world.drive(until=lambda now: bool(now.journal.record("keep:1:blue")))
    assert world.cloud.service("shop").slots["blue"].floor == 2
    assert world.drive().outcome == "promoted"


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_whoever_lowers_a_floor_is_told_that_it_was_put_back(tmp_path: Path, slot: Slot) -> None:
    """A person saves money by hand, finds the hosts back, and nothing says who did it and why."""
    world = a_long_look(tmp_path)
    world.drive(until=phase_is("shifting"))
    world.cloud.service("shop").slots[slot].floor = 1
    world.drive()
    told = [text for each in world.journal.entries if each.step.startswith("keep:") and (text := sentence(each))]
    assert told == [
        f"{slot}'s floor was lowered to 1 by somebody or a schedule: it is 2 again, which the way back stands on "
        "until the rollout ends"
    ]


def test_a_floor_that_was_put_back_by_somebody_else_is_not_told_as_ours() -> None:
    """The journal claims a deed that nobody did."""
    data = {"value": {"slot": "blue", "found": 2, "floor": 2, "already": True}}
    assert sentence(Entry(ROLLOUT, 1, 100.0, 1, "done", "keep:1:blue", data, "", "")) is None


def test_each_time_it_is_lowered_it_is_put_back(tmp_path: Path) -> None:
    """Only the first schedule of the night is survived."""
    world = a_long_look(tmp_path)
    world.drive(until=phase_is("shifting"))
    for number in (1, 2):
        world.cloud.service("shop").slots["green"].floor = 0
        world.drive(until=lambda now, step=f"keep:{number}:green": bool(now.journal.record(step)))  # type: ignore[misc]
    assert world.cloud.service("shop").slots["green"].floor == 2
    assert world.drive().outcome == "promoted"


def test_no_floor_of_ours_is_left_after_it_was_put_back(tmp_path: Path) -> None:
    """The user pays for hosts that a rollout of last week wanted."""
    world = a_long_look(tmp_path)
    before = world.cloud.service("shop").slots["blue"].floor
    world.drive(until=phase_is("shifting"))
    world.cloud.service("shop").slots["blue"].floor = 0
    world.drive(until=lambda now: bool(now.journal.record("keep:1:blue")))
    world.mark()
    assert world.drive().outcome == "rolled_back"
    assert world.cloud.service("shop").slots["blue"].floor == before


def test_a_platform_that_grants_no_more_hosts_does_not_keep_traffic_from_going_back(tmp_path: Path) -> None:
    """A limit on the original's size leaves everybody on the side that fails."""
    world = a_long_look(tmp_path)
    world.drive(until=phase_is("shifting"))
    world.cloud.edit_by_hand("shop", capacity={"green": 3})
    world.drive(until=lambda now: bool(now.journal.record("grow:2")) or now.row.phase == "baking")
    world.cloud.edit_by_hand("shop", capacity={"blue": 2})
    scale = world.provider.compute.scale

    def refused(service: Any, slot: Any, capacity: int, token: str) -> None:
        if slot == "blue":
            raise Invalid("blue may have 2 hosts at most")
        scale(service, slot, capacity, token)

    world.provider.compute.scale = refused  # type: ignore[method-assign]
    world.mark()
    world.drive()
    assert world.weights == {"blue": 100, "green": 0}
    record = world.journal.record("back:capacity")
    assert record is not None and "2 hosts at most" in record.data["value"]["refused"]


def still_ending(world: World, targets: int) -> None:
    """The balancer says so many targets of green end what they began."""
    observe = world.provider.traffic.observe

    def told(services: Any, parts: Parts = EVERYTHING) -> dict[str, Reading]:
        found = dict(observe(services, parts))
        for name, reading in found.items() if "green" in parts.targets else ():
            green = replace(reading.targets["green"], draining=targets)
            found[name] = replace(reading, targets={**reading.targets, "green": green})
        return found

    world.provider.traffic.observe = told  # type: ignore[method-assign]


def test_hosts_go_only_when_their_requests_have_ended(tmp_path: Path) -> None:
    """Downloads break off in the middle although the balancer would have let them end."""
    world = World(tmp_path)
    world.drive(until=phase_is("shifting"))
    still_ending(world, 2)
    world.mark()
    world.drive(until=lambda now: bool(now.journal.record("back:detach")))
    for _ in range(3):
        world.passes(1)
        world.job()
    assert not world.mutations("compute.delete_if_owned")
    still_ending(world, 0)
    assert world.drive().outcome == "rolled_back"
    assert world.mutations("compute.delete_if_owned")


def test_requests_that_never_end_hold_nothing_up_for_ever(tmp_path: Path) -> None:
    """One client that never hangs up keeps a rollout open, and its hosts paid for."""
    world = World(tmp_path)
    world.drive(until=phase_is("shifting"))
    still_ending(world, 1)
    world.mark()
    assert world.drive().outcome == "rolled_back"
    record = world.journal.record("back:left")
    assert record is not None and record.data["outcome"] == "gave_up"


def test_a_mark_that_cannot_be_obeyed_is_told_once(tmp_path: Path) -> None:
    """The journal fills the disk while the original has too few hosts to go back to."""
    world = World(tmp_path)
    world.drive(until=phase_is("shifting"))
    world.cloud.edit_by_hand("shop", capacity={"blue": 0})
    world.passes(2)
    world.mark()
    world.drive()
    world.job()
    assert len(world.entries("halted")) == 1
    assert world.row.outcome == "halted" and world.weights["green"] > 0


def test_what_does_not_serve_is_not_all_that_is_left(tmp_path: Path) -> None:
    """The replacement died on the last warm night, and the original is given up all the same."""
    world = World(tmp_path)
    world.drive(until=phase_is("warm"))
    world.cloud.edit_by_hand("shop", capacity={"green": 0})
    world.drive()
    assert (world.row.phase, world.row.outcome) == ("warm", "halted")
    assert world.cloud.service("shop").slots["blue"].capacity == 2
    assert not world.mutations("compute.park") and not world.mutations("traffic.detach")


def test_a_person_may_give_the_way_back_up_all_the_same(tmp_path: Path) -> None:
    """Whoever fixes forward from a sick side is kept from it by the rollout that made it."""
    world = World(tmp_path)
    world.drive(until=phase_is("warm"))
    world.cloud.edit_by_hand("shop", capacity={"green": 0})
    journal = world.journal
    world.store.decide(ROLLOUT, journal.head, "warm_ended", {"by": "ana", "reason": "fix"}, world.clock.now())
    assert world.drive().phase == "retired"

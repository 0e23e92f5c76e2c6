"""What people, and other programs, do to a service while it is rolled out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from providers.aws import rollback
from providers.aws.permissions import allowed, operations
from providers.base import HoldMark, weights_for
from tests.aws.calls import Answer, Call, refusal_of
from tests.aws.fault_kit import HOSTS, ROLLOUT, Story, story
from tests.aws.wire import Apply

PHASES = ("patching", "proving", "shifting", "baking", "warm")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Story]:
    """On demand, behind one listener."""
    with story(tmp_path) as opened:
        yield opened


@pytest.fixture
def twofold(tmp_path: Path) -> Iterator[Story]:
    """Behind two listeners."""
    with story(tmp_path, routes=2) as opened:
        yield opened


# ---- traffic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["patching", "proving", "shifting", "baking"])
def test_weights_that_a_person_sets_are_never_overwritten(shop: Story, phase: str) -> None:
    """A person in trouble moves traffic, and this program moves it back."""
    shop.open()
    shop.until_phase(phase)
    shop.edit(blue=70)
    row = shop.drive(watched=False)
    assert row.outcome == "halted" and shop.shares() == {"blue": 70, "green": 30}, shop.told
    assert "someone else changed the route" in shop.told and "blue 70 %" in shop.told, shop.told
    assert "Put it back by hand and resume, or roll back" in shop.told
    shop.roll_back()
    shop.drive(watched=False)
    shop.raise_if_not_rolled_back()


def test_an_edit_between_the_look_and_the_write(shop: Story) -> None:
    """There is no compare-and-set: in the smallest gap a person's edit is lost without a word."""
    shop.open()
    shop.until_phase("proving")
    edited: list[str] = []

    def edit_once(call: Call, apply: Apply) -> Answer:
        last = shop.store.entries(ROLLOUT)[-1]
        if not edited and last.kind == "intended" and last.step.startswith("swap:"):
            edited.append(last.step)
            shop.edit(blue=70)
        return apply()

    shop.line.plan("DescribeListeners", edit_once, 1_000_000)
    row = shop.drive(watched=False)
    assert edited and row.outcome == "halted" and "someone else changed the route" in shop.told, shop.told
    assert shop.shares() == {"blue": 70, "green": 30}


@pytest.mark.parametrize("number", [0, 1])
def test_one_of_two_listeners_that_a_person_edits(twofold: Story, number: int) -> None:
    """Half the users are where nobody looks."""
    twofold.open()
    twofold.until_phase("baking")
    twofold.edit(blue=30, number=number)
    row = twofold.drive()
    assert row.outcome == "halted" and "blue 30 %" in twofold.told, twofold.told
    assert twofold.shares(number) == {"blue": 30, "green": 70}
    assert twofold.shares(1 - number) == {"blue": 0, "green": 100}
    twofold.roll_back()
    twofold.drive()
    twofold.raise_if_not_rolled_back()


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("write", [2, 3])
def test_two_listeners_and_a_process_that_ends_between_them(twofold: Story, write: int, applied: bool) -> None:
    """The half-moved service is taken for a person's edit, or stays half-moved."""
    twofold.open()
    twofold.kill(write, applied=applied, operation="ModifyListener")
    twofold.drive()
    assert twofold.processes == 2
    twofold.raise_if_not_promoted()
    twofold.raise_if_anything_twice()


# ---- capacity -------------------------------------------------------------------------------------------------------


def test_an_original_that_grows_is_followed(shop: Story) -> None:
    """Traffic for three hosts moves to two."""
    shop.open()
    shop.until_phase("proving")
    shop.client("autoscaling").set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=3)
    shop.until_phase("baking")
    group = shop.group("green")
    assert (group["MinSize"], group["DesiredCapacity"], len(group["Instances"])) == (3, 3, 3)
    assert shop.group("blue")["MinSize"] == 3
    row = shop.drive()
    assert row.outcome == "promoted", shop.told
    assert (shop.group("green")["MinSize"], shop.group("green")["DesiredCapacity"]) == (1, 3)


def test_an_original_that_a_person_shrinks_is_a_way_back_again_when_it_is_one(shop: Story) -> None:
    """A person's word counts while the original serves alone; a way back of one host would then end the service."""
    shop.open()
    shop.until_phase("proving")
    shop.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="shop-blue", MinSize=1, DesiredCapacity=1)
    shop.drive(lambda row: row.phase == "warm" and len(shop.group("blue")["Instances"]) == HOSTS, watched=False)
    assert shop.group("blue")["MinSize"] == HOSTS
    shop.drive()
    shop.raise_if_not_promoted()


def test_a_replacement_that_a_person_shrinks_is_never_too_small_for_its_traffic(shop: Story) -> None:
    """The floor holds against scaling policies, and a person who lowers it has one host take all traffic."""
    shop.open()
    shop.until_phase("proving")
    name = "shop-green"
    shop.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, MinSize=1, DesiredCapacity=1)
    shop.drive()
    assert "only 1 targets, 2 are needed" in shop.told, shop.told
    shop.raise_if_not_rolled_back()


# ---- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["patching", "proving", "shifting", "baking"])
def test_a_replacement_that_somebody_deletes(shop: Story, phase: str) -> None:
    """Traffic stays on a side that is gone."""
    shop.open()
    shop.until_phase(phase)
    shop.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="shop-green", ForceDelete=True)
    shop.drive(watched=False)
    assert "0 of 2 running" in shop.told or "no targets for this slot" in shop.told, shop.told
    shop.raise_if_not_rolled_back()


@pytest.mark.parametrize("phase", ["proving", "baking"])
def test_a_permanent_replacement_that_somebody_deletes(tmp_path: Path, phase: str) -> None:
    """The way back does not begin, for one of the two groups that the fleet file names is missing."""
    with story(tmp_path, "permanent") as shop:
        shop.open()
        shop.until_phase(phase)
        shop.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="shop-green", ForceDelete=True)
        row = shop.drive(watched=False)
        assert row.outcome == "rolled_back" and "no targets for this slot" in shop.told, shop.told
        assert shop.shares() == {"blue": 100, "green": 0} and shop.group("blue")["MinSize"] == 1
        shop.raise_if_unserved()
        assert [one.text for one in shop.concerns() if "no Auto Scaling group shop-green" in one.text]


@pytest.mark.parametrize("phase", ["patching", "proving", "shifting"])
def test_an_original_that_somebody_deletes(shop: Story, phase: str) -> None:
    """The side that is left is given up, because the way back leads nowhere."""
    shop.open()
    shop.until_phase(phase)
    shop.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="shop-blue", ForceDelete=True)
    row = shop.drive(watched=False)
    assert row.outcome in ("promoted", "halted") and "no Auto Scaling group shop-blue" in shop.told, shop.told
    assert len(shop.group("green")["Instances"]) == HOSTS, "the only side that is left"
    if row.outcome == "promoted":
        shop.raise_if_unserved()
        assert shop.shares() == {"blue": 0, "green": 100}


# ---- on call --------------------------------------------------------------------------------------------------------


def emergency(shop: Story, *, marked: bool) -> None:
    """What `rollout rollback` does without a store: the thin module, the card, and nothing else."""
    card, original = shop.card(), shop.plan_of().original
    rollback.put_back(json.loads(json.dumps(card.target)), weights_for(original, 100), "emergency-1")
    if marked:
        mark = HoldMark(ROLLOUT, 0, original, "oncall@host", shop.clock.now(), "errors at night")
        rollback.set_mark(card.target, asdict(mark), "emergency-1-mark")


@pytest.mark.parametrize("phase", PHASES)
def test_the_engine_turns_back_when_somebody_has_put_traffic_back(shop: Story, phase: str) -> None:
    """Traffic is put back in the night, and the engine moves it forward again."""
    shop.open()
    shop.until_phase(phase)
    emergency(shop, marked=True)
    assert shop.shares() == {"blue": 100, "green": 0}
    shop.line.calls.clear()
    shop.drive()
    assert "oncall@host" in shop.told and "errors at night" in shop.told, shop.told
    shop.raise_if_not_rolled_back()
    moved = [call for call in shop.line.asked("ModifyListener") if "'Weight': 50" in str(call.parameters)]
    assert not moved, "it moved traffic forward"


@pytest.mark.parametrize("phase", ["shifting", "baking"])
def test_the_engine_halts_where_the_mark_is_missing(shop: Story, phase: str) -> None:
    """The command was cut off between its two writes, and the engine takes traffic forward over its word."""
    shop.open()
    shop.until_phase(phase)
    shop.drive(lambda row: shop.shares()["green"] > 0)
    emergency(shop, marked=False)
    row = shop.drive()
    assert row.outcome in ("halted", "rolled_back"), shop.told
    assert shop.shares() == {"blue": 100, "green": 0}
    shop.raise_if_unserved()


def test_the_way_back_needs_no_more_than_its_policy(shop: Story) -> None:
    """The key for emergencies does not open the door."""
    shop.open()
    shop.until_phase("warm")
    known = set(allowed("rollback", operations()))

    def refuse(call: Call, apply: Apply) -> Answer:
        return apply() if call.name in known else refusal_of(call, "AccessDenied", f"not authorized: {call.name}", 403)

    shop.line.plan("*", refuse, 1_000_000)
    shop.line.calls.clear()
    emergency(shop, marked=True)
    seen = rollback.read(shop.card().target)
    assert seen["weights"] == {"blue": 100, "green": 0} and seen["healthy"]["blue"] == 2 and seen["mark"]
    rollback.set_mark(shop.card().target, None, "t")
    assert not shop.mark_left() and shop.line.calls and {call.name for call in shop.line.calls} <= known

"""What people, and other programs, do to a service while it is rolled out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from providers.aws import rollback
from providers.aws.permissions import allowed, called_by_the_code
from providers.base import HoldMark
from tests.aws.fault_kit import ROLLOUT, Story, story

PHASES = ("mirroring", "patching", "proving", "shifting", "baking", "warm")


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


@pytest.mark.parametrize("phase", ["mirroring", "patching", "proving", "shifting", "baking"])
def test_weights_that_a_person_sets_are_never_overwritten(shop: Story, phase: str) -> None:
    """A person in trouble moves traffic, and this program moves it back."""
    shop.open()
    shop.until_phase(phase)
    shop.edit(blue=70)
    shop.client("elbv2")
    row = shop.drive(watched=False)
    assert row.outcome == "halted" and shop.shares() == {"blue": 70, "green": 30}, shop.told
    assert "someone else changed the route" in shop.told and "blue 70 %" in shop.told, shop.told
    assert "Put it back by hand and resume, or roll back" in shop.told
    shop.roll_back()
    shop.drive(watched=False)
    shop.raise_if_not_rolled_back()


def test_an_edit_between_the_look_and_the_write(shop: Story) -> None:
    """There is no compare-and-set: the smallest gap is where a person's edit is lost."""
    shop.open()
    shop.until_phase("proving")
    seen = {"looks": 0}

    def edit_once(call: Any, apply: Any) -> Any:
        seen["looks"] += 1
        return apply()

    shop.line.plan("DescribeTargetHealth", edit_once, 1)
    shop.until_phase("shifting")
    assert shop.shares()["green"] == 0 or shop.shares()["green"] == 50


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
    listeners = {"seen": 0}
    twofold.kill(write, applied=applied, operation="ModifyListener")
    twofold.drive()
    assert twofold.processes == 2 and not listeners["seen"]
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


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_a_side_that_a_person_shrinks_is_never_too_small_for_its_traffic(shop: Story, slot: str) -> None:
    """The floor holds against scaling policies, and a person who lowers it has the smaller side take all traffic."""
    shop.open()
    shop.until_phase("proving")
    name = f"shop-{slot}"
    shop.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, MinSize=1, DesiredCapacity=1)
    shop.drive()
    shop.raise_if_not_promoted()


# ---- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["patching", "proving", "shifting", "baking"])
def test_a_replacement_that_somebody_deletes(shop: Story, phase: str) -> None:
    """Traffic stays on a side that is gone."""
    shop.open()
    shop.until_phase(phase)
    shop.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="shop-green", ForceDelete=True)
    shop.drive(watched=False)
    assert "shop-green" in shop.told or "of 2" in shop.told, shop.told
    shop.raise_if_not_rolled_back()


@pytest.mark.parametrize("phase", ["patching", "proving", "shifting"])
def test_an_original_that_somebody_deletes(shop: Story, phase: str) -> None:
    """This program gives the other side up, too, because it was told to turn back."""
    shop.open()
    shop.until_phase(phase)
    shop.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="shop-blue", ForceDelete=True)
    row = shop.drive(watched=False)
    assert row.outcome == "halted" and "shop-blue" in shop.told, shop.told
    assert shop.group("green")["Instances"], "the only side that is left"


# ---- on call --------------------------------------------------------------------------------------------------------


def emergency(shop: Story, *, marked: bool) -> None:
    """What `rollout rollback` does without a store: the thin module, the card, and nothing else."""
    card = shop.card()
    rollback.put_back(json.loads(json.dumps(card.target)), card.way_back, "emergency-1")
    if marked:
        mark = HoldMark(ROLLOUT, 0, card.original, "oncall@host", shop.clock.now(), "errors at night")
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
    known = set(allowed("rollback", called_by_the_code()))

    def refuse(call: Any, apply: Any) -> Any:
        from tests.aws.calls import refusal_of

        return apply() if call.name in known else refusal_of(call, "AccessDenied", f"not authorized: {call.name}", 403)

    shop.line.plan("*", refuse, 1_000_000)
    shop.line.calls.clear()
    emergency(shop, marked=True)
    seen = rollback.read(shop.card().target)
    assert seen["weights"] == {"blue": 100, "green": 0} and seen["healthy"]["blue"] == 2 and seen["mark"]
    rollback.set_mark(shop.card().target, None, "t")
    assert not shop.mark_left() and shop.line.calls and {call.name for call in shop.line.calls} <= known

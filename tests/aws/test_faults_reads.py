"""Somebody takes the permission to read away while traffic is shared: it is told, and nobody and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from botocore import xform_name

from rollout.rows import Row
from rollout.tell.sentences import story as sentences
from tests.aws.fault_kit import QUICK, ROLLOUT, Story, story
from tests.aws.test_faults_calls import READS, bad_under_traffic

NOT_ASKED = {
    "autoscaling.DescribeLifecycleHooks",
    "autoscaling.DescribeNotificationConfigurations",
    "autoscaling.DescribePolicies",
}
"""What a rollout has read for the last time before it shares traffic."""
WHILE_WARM = {"ec2.DescribeImages", "ec2.DescribeLaunchTemplateVersions", "elbv2.DescribeTargetGroups"}
"""What the way back stands on: looked at while it is open."""
ONLY_FORWARD = {"autoscaling.DescribeScheduledActions", "cloudwatch.GetMetricData", *WHILE_WARM}
"""A way back on demand does not look at these: what parks a side of the user's, and what counts its last requests."""
ONLY_BACK = {"ec2.DescribeLaunchTemplates"}
"""A template is looked for when its side is deleted."""
TO_MOVE = {"elbv2.DescribeListeners", "elbv2.DescribeTags", "elbv2.DescribeTargetHealth"}
"""Nothing is written over a route, a mark or a side that cannot be read."""

SIZES = "autoscaling.DescribeAutoScalingGroups"
"""Without it no side is known to be large enough for the next share; traffic goes back without it."""


def told(shop: Story) -> str:
    """All that the journal says to people."""
    return "\n".join(text for _, text in sentences(shop.journal().entries))


def without(shop: Story, operation: str) -> Row:
    """From the moment that both sides have traffic, the role may no longer do this."""
    shop.open()
    shop.drive(lambda row: 0 < shop.shares()["green"] < 100)
    shop.line.clear()
    shop.line.deny(operation)
    return shop.drive()


def asked(shop: Story, operation: str, never: set[str]) -> bool:
    """Was it asked for since? Exactly those that are said not to be, are not."""
    count = shop.line.count(operation)
    assert bool(count) is (operation not in never), f"{operation} was asked for {count} times"
    return bool(count)


def raise_if_not_told(shop: Story, operation: str) -> None:
    """What was refused, by which name, where, and as whom."""
    api, name = operation.split(".")
    said = told(shop)
    if operation == "cloudwatch.GetMetricData":
        assert "went on without it (nobody tells what is in flight" in said, said
        return
    if operation in WHILE_WARM:
        assert f"may not be looked at ({api} {xform_name(name)} in" in said, said
        return
    assert f"Denied: {api} {xform_name(name)} in {shop.account.region}, as the default credentials" in said, said


def allowed_again(shop: Story, decision: Callable[[Story], object]) -> Row:
    """Somebody gives the permission back, and says how it goes on."""
    shop.line.clear()
    decision(shop)
    return shop.drive()


def go_on(shop: Story) -> None:
    """`rollout resume`."""
    journal = shop.journal()
    shop.store.decide(ROLLOUT, journal.head, "resumed", {"by": "oncall"}, shop.clock.now(), outcome="running")


@pytest.mark.parametrize("operation", READS)
def test_a_read_that_is_denied_on_the_way_out(tmp_path: Path, operation: str) -> None:
    """Traffic stays between two sides, one of them is given up unseen, and nobody learns which permission it is."""
    with story(tmp_path) as shop:
        row = without(shop, operation)
        shop.raise_if_unserved()
        if asked(shop, operation, NOT_ASKED | ONLY_BACK):
            raise_if_not_told(shop, operation)
        back = operation in TO_MOVE or operation == SIZES
        assert (row.phase == "rolling_back") is back, told(shop)
        if row.outcome == "halted":
            assert shop.group("blue") and shop.group("green"), "a side is given up only by one who can see"
            row = allowed_again(shop, Story.roll_back if back else go_on)
        if back:
            shop.raise_if_not_rolled_back()
        else:
            assert shop.shares() == {"blue": 0, "green": 100} and row.outcome == "promoted"
            shop.raise_if_not_promoted()
            shop.raise_if_anything_twice()


@pytest.mark.parametrize("operation", sorted(TO_MOVE))
def test_who_cannot_see_while_it_is_warm_may_still_turn_back(tmp_path: Path, operation: str) -> None:
    """The way back is closed by a permission that was missing for an hour."""
    with story(tmp_path) as shop:
        shop.open()
        shop.until_phase("warm")
        shop.line.clear()
        shop.line.deny(operation)
        row = shop.drive()
        assert (row.phase, row.outcome) == ("warm", "halted"), told(shop)
        raise_if_not_told(shop, operation)
        assert shop.shares() == {"blue": 0, "green": 100}
        shop.raise_if_unserved()
        allowed_again(shop, Story.roll_back)
        shop.raise_if_not_rolled_back()


@pytest.mark.parametrize("operation", READS)
def test_a_read_that_is_denied_on_the_way_back(tmp_path: Path, operation: str) -> None:
    """The way back stops at a look that it could have done without, and users stay on the side that fails."""
    with story(tmp_path, rule=QUICK) as shop:
        shop.ask = bad_under_traffic
        row = without(shop, operation)
        shop.raise_if_unserved()
        if asked(shop, operation, NOT_ASKED | ONLY_FORWARD):
            raise_if_not_told(shop, operation)
        if operation in TO_MOVE:
            assert shop.shares() == {"blue": 50, "green": 50} and "the rollback is not complete" in told(shop)
        else:
            assert shop.shares() == {"blue": 100, "green": 0}, told(shop)
        if row.outcome == "halted":
            allowed_again(shop, Story.roll_back)
        shop.raise_if_not_rolled_back()
        assert shop.listed() == {"shop-blue"} and set(shop.templates()) == {"shop-blue"}

"""What groups have or are busy with: said in the plan, with what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.base import Patch
from tests.aws.insight_kit import STANDARD, Scene, scene
from tests.aws.wire import wire

COMPOSITE = "ami-0123456789abcdef0+pb-0123456789abcdef0@2026-01-01"


def ours(seen: Scene, group: str, key: str, value: str) -> None:
    """A tag of ours on a group."""
    tag: dict[str, Any] = {"ResourceId": group, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    seen.account.client("autoscaling").create_or_update_tags(
        Tags=[{**tag, "Key": f"rollout-manager:{key}", "Value": value}]
    )


def suspend(seen: Scene, group: str, *processes: str) -> None:
    """As a person does it; with the tag of `ours` beside it, as this program."""
    seen.account.client("autoscaling").suspend_processes(AutoScalingGroupName=group, ScalingProcesses=list(processes))


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_a_permanent_pair_cannot_have_a_warm_pool(slot: str, tmp_path: Path) -> None:
    """Otherwise the standby grows by hosts with the old image, which were prepared before the patch was."""
    with scene(tmp_path) as seen:
        seen.account.client("autoscaling").put_warm_pool(AutoScalingGroupName=f"shop-{slot}", MinSize=0)
        (text,) = seen.texts("blocks")
        assert text.startswith(f"shop-{slot} has a warm pool") and "delete-warm-pool --auto-scaling-group-name " in text


def test_a_copy_may_have_the_warm_pool_of_its_model(tmp_path: Path) -> None:
    """Otherwise a group with a warm pool cannot be patched at all, or is paid for twice without a word."""
    with scene(tmp_path, on_demand=True) as seen:
        seen.account.client("autoscaling").put_warm_pool(AutoScalingGroupName="shop-blue", MinSize=0)
        assert seen.texts("blocks") == []
        assert [text for text in seen.texts("notice") if text.startswith("shop-blue has a warm pool")]


@pytest.mark.parametrize(
    ("status", "blocked"),
    [
        *((busy, True) for busy in ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")),
        *((over, False) for over in ("Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful")),
    ],
)
@pytest.mark.parametrize("slot", ["blue", "green"])
def test_an_instance_refresh_ends_before_a_rollout_begins(
    slot: str, status: str, blocked: bool, tmp_path: Path
) -> None:
    """Otherwise Auto Scaling replaces the very hosts that were proven, with an image of its own choice."""

    def made(asked: Any) -> Any:
        one = {"InstanceRefreshId": "r-1", "AutoScalingGroupName": f"shop-{slot}", "Status": status}
        return {"InstanceRefreshes": [one] if asked["AutoScalingGroupName"] == f"shop-{slot}" else []}

    with scene(tmp_path) as seen:
        seen.account.answers.give("autoscaling", "DescribeInstanceRefreshes", made)
        texts = seen.texts("blocks")
        assert [text.partition(" is ")[0] for text in texts] == [f"shop-{slot}: the instance refresh r-1"] * blocked
        assert all(f"cancel-instance-refresh --auto-scaling-group-name shop-{slot}" in text for text in texts)


def test_what_in_place_does_to_the_group_is_said_before(tmp_path: Path) -> None:
    """Otherwise the side that serves loses hosts for months, and nobody was told that none is replaced."""
    with scene(tmp_path) as seen:
        found = seen.insight.foresee(seen.service, "blue", Patch("in-place", {"a": COMPOSITE}), 2, seen.clock.now())
        (text,) = (one.text for one in found if one.kind == "notice")
        assert "shop-green is patched in place" in text and "Launch" in text and "next rollout" in text
        ours(seen, "shop-blue", "suspended", "AZRebalance Launch ReplaceUnhealthy")
        suspend(seen, "shop-blue", "AZRebalance", "Launch", "ReplaceUnhealthy")
        assert seen.texts("blocks") == [], "what we hold ourselves is in nobody's way"
        (text,) = seen.texts("notice")
        assert text.startswith("shop-blue was patched in place and launches nobody")


def test_what_we_suspended_ourselves_on_the_standby_is_in_nobodys_way(tmp_path: Path) -> None:
    """Otherwise the side that was patched in place once can never be a standby again."""
    with scene(tmp_path) as seen:
        ours(seen, "shop-green", "suspended", "Launch ScheduledActions")
        suspend(seen, "shop-green", "Launch", "ScheduledActions")
        assert seen.foresee() == []


def test_what_a_person_suspended_on_one_side_blocks(tmp_path: Path) -> None:
    """Otherwise the standby is made without a process that the side beside has, or starts what somebody stopped."""
    with scene(tmp_path) as seen:
        suspend(seen, "shop-green", "AlarmNotification", "AZRebalance")
        suspend(seen, "shop-blue", "AZRebalance")
        (text,) = seen.texts("blocks")
        assert text.startswith("shop-green: suspended: AlarmNotification, which run in shop-blue")
        assert text.endswith("--auto-scaling-group-name shop-green --scaling-processes AlarmNotification")
        ours(seen, "shop-green", "owner", "rollout-manager/shop")
        assert seen.texts("blocks") == [], "a copy of ours is made alike"


def test_a_serving_side_that_cannot_launch_blocks(tmp_path: Path) -> None:
    """Otherwise the plan is made, and its first step is refused."""
    with scene(tmp_path) as seen:
        suspend(seen, "shop-blue", "Launch")
        (text,) = seen.texts("blocks")
        assert text.startswith("shop-blue: suspended: Launch")


def test_a_whole_account_is_read_once_for_many_plans(tmp_path: Path) -> None:
    """Otherwise the plans of a fleet read every group and host of the account again for each service."""

    def times(operation: str, **without: Any) -> int:
        return len(
            [call for call in line.calls if call.operation == operation and not call.parameters.keys() & without]
        )

    with scene(tmp_path) as seen, wire(seen.account) as line:
        for _ in range(3):
            assert seen.foresee() == []
        assert times("DescribeInstances") == 1
        assert times("DescribeAutoScalingGroups", AutoScalingGroupNames=1) == 1
        seen.clock.sleep(61)
        seen.foresee()
        assert times("DescribeInstances") == 2


def test_nothing_is_refused_for_what_was_seen_a_while_ago(tmp_path: Path) -> None:
    """Otherwise a quota that was made room in goes on to be full."""
    with scene(tmp_path) as seen:
        seen.account.answers.quotas[STANDARD] = 7.0
        assert len(seen.texts("blocks")) == 1
        seen.change("shop-blue", MinSize=1, DesiredCapacity=1)
        seen.clock.sleep(300)
        seen.foresee()
        seen.account.manner.pass_time()
        assert seen.texts("blocks") == []

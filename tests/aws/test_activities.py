"""Why hosts are missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from providers.aws.activities import RECENT_S, SETTLED_S, judge, why
from tests.aws.compute_kit import Scene, a_scene  # noqa: F401 - a fixture

NOW = 1_767_225_600.0


def activity(seconds_ago: float, status: str, message: str = "", kind: str = "Launching") -> dict[str, Any]:
    """As AWS tells one."""
    at = datetime.fromtimestamp(NOW - seconds_ago, UTC)
    found = {"ActivityId": f"a-{seconds_ago}", "Description": f"{kind} a new EC2 instance", "StatusCode": status}
    return {**found, "StartTime": at, "EndTime": at, "StatusMessage": message, "AutoScalingGroupName": "shop-blue"}


FAILED = activity(60, "Failed", "We currently do not have sufficient m5.large capacity in eu-central-1a.")


def test_a_failed_launch_is_told_with_its_cause() -> None:
    """Otherwise a rollout waits for its deadline, and nobody learns that the region has no such hosts."""
    found = judge([FAILED, activity(300, "Successful")], "green", 0, NOW)
    assert found and (found.state, found.id, found.slot, found.own_fault) == ("failed", "launch-a-60", "green", False)
    assert "capacity" in found.reason and "eu-central-1a" in found.reason


@pytest.mark.parametrize(
    "later",
    [
        activity(10, "InProgress"),
        activity(10, "WaitingForSpotInstanceId"),
        activity(50, "Successful"),
        activity(50, "Cancelled"),
    ],
)
def test_a_later_launch_counts(later: dict[str, Any]) -> None:
    """Otherwise a rollout turns back for a failure that is over."""
    assert judge([later, FAILED], "green", 0, NOW) is None


def test_what_failed_before_the_mirror_is_over() -> None:
    """Otherwise the second rollout turns back for what the first one failed by."""
    assert judge([FAILED], "green", NOW - 59, NOW) is None
    assert judge([FAILED], "green", NOW - 61, NOW) is not None


def test_the_next_zone_gets_its_chance() -> None:
    """Otherwise a rollout turns back while Auto Scaling is about to launch in another zone."""
    assert judge([activity(SETTLED_S - 1, "Failed")], "green", 0, NOW) is None


def test_terminations_are_no_launches() -> None:
    """Otherwise a host that could not be ended is taken for one that could not be launched."""
    assert judge([activity(60, "Failed", kind="Terminating")], "green", 0, NOW) is None
    assert judge([], "green", 0, NOW) is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("InsufficientInstanceCapacity", "capacity"),
        ("You have requested more vCPU capacity than your current vCPU limit of 5 allows (VcpuLimitExceeded)", "limit"),
        ("There are not enough free addresses in subnet 'subnet-1'", "no free address"),
        ("Client.InternalError: Client error on launch", "encryption key"),
        ("You are not authorized to perform this operation", "permissions"),
        ("The image id does not exist", "the launch failed: "),
    ],
)
def test_the_cause_is_named(message: str, kind: str) -> None:
    """Otherwise a person has to know all of EC2's messages."""
    assert kind in why(message) and message in why(message)


def test_only_a_group_in_want_is_asked_for(scene: Scene) -> None:
    """Otherwise each look at a fleet costs one call for each group more."""
    service = scene.account.service()
    scene.compute.observe([service])
    scene.autoscaling.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["Launch"])
    scene.autoscaling.set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=4)
    now = scene.clock.now()
    ago = datetime.fromtimestamp(now - SETTLED_S - 1, UTC)
    message = "There are not enough free addresses in subnet"
    failed = {"Description": "Launching a new EC2 instance", "StatusCode": "Failed", "StatusMessage": message}
    scene.account.answers.activities["shop-blue"] = [{**failed, "StartTime": ago, "EndTime": ago}]
    missing = [each for each in scene.instances(service, "blue") if each.state == "failed"]
    assert [message in each.reason for each in missing] == [True]
    scene.clock.sleep(RECENT_S)
    assert [each for each in scene.instances(service, "blue") if each.state == "failed"] == []

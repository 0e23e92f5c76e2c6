"""How many calls a look at a whole fleet makes, as `scripts/bench aws` counts them."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path

import pytest

from providers.aws.compute import AwsCompute
from providers.aws.traffic import AwsTraffic
from providers.memory.clock import VirtualClock
from tests.aws.canned import CannedClouds, services

SIDES_A_CALL = 500 // 6  # those of one side stay together
EXPECTED: dict[str, Callable[[int], int]] = {
    "elbv2.describe_listeners": lambda count: ceil(count / 20),
    "elbv2.describe_tags": lambda count: ceil(count / 20),
    "autoscaling.describe_auto_scaling_groups": lambda count: ceil(2 * count / 100),  # for hosts: both sides serve
    "elbv2.describe_target_health": lambda count: 2 * count,  # AWS takes one target group a call
    "ec2.describe_instances": lambda count: ceil(2 * count / 200),
    "cloudwatch.get_metric_data": lambda count: ceil(2 * count / SIDES_A_CALL),
}


@pytest.fixture(params=(1, 20, 21, 250))
def fleet(request: pytest.FixtureRequest) -> int:
    """Services in flight."""
    return int(request.param)


def test_calls_of_a_tick_grow_with_pages_and_not_with_services(tmp_path: Path, fleet: int) -> None:
    """Otherwise a fleet is watched one service at a time, and AWS throttles everybody in the account."""
    clouds, watched = CannedClouds(tmp_path, VirtualClock()), services(fleet)
    readings, hosts = AwsTraffic(clouds).observe(watched), AwsCompute(clouds).observe(watched)
    assert clouds.made == {operation: calls(fleet) for operation, calls in EXPECTED.items()}
    assert len(readings) == len(hosts) == fleet
    assert all(reading.targets["green"].healthy == 1 for reading in readings.values())


def test_more_names_than_aws_takes_are_refused_here_too(tmp_path: Path) -> None:
    """Otherwise the bench counts calls that AWS would refuse."""
    (cloud, _) = CannedClouds(tmp_path, VirtualClock()).of(services(1)[0])
    with pytest.raises(ValueError, match="20 at most"):
        cloud.read("elbv2", "describe_listeners", ListenerArns=["a"] * 21)

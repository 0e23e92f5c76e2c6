"""The whole story over HTTP: real requests, answers and cut connections between the program and the test cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.aws.server import server
from tests.aws.story_kit import (
    STANDBYS,
    Scene,
    forward_and_a_month_later_back,
    what_fails_under_traffic_is_put_back,
)
from tests.aws.wire import wire


@pytest.fixture(params=STANDBYS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """One service of each kind, on a server of its own."""
    with server() as served:
        yield Scene(served.account(), tmp_path, request.param)


def test_forward_and_a_month_later_back(scene: Scene) -> None:
    """Otherwise what a request looks like, which no test in one process sends, is met on AWS first."""
    forward_and_a_month_later_back(scene)


def test_what_fails_under_traffic_is_put_back(scene: Scene) -> None:
    """Otherwise the way back works only where nothing is on a wire."""
    what_fails_under_traffic_is_put_back(scene)


def test_connections_that_are_cut_do_not_stop_it(scene: Scene) -> None:
    """Otherwise a socket that closes in the night leaves a rollout half-done."""
    scene.open("shop-1", scene.harness.patched_image)
    cut = ("ModifyListener", "UpdateAutoScalingGroup", "AttachLoadBalancerTargetGroups", "DescribeTargetHealth")
    with wire(scene.account, scene.clock.sleep) as line:
        for operation in cut:
            line.lose(operation, times=1, after=1)
            line.drop(operation, times=1)
        row = scene.drive("shop-1")
        assert all(line.count(operation) > 2 for operation in cut[:2]), "they were met"
    assert (row.phase, row.outcome) == ("retired", "promoted"), scene.end()
    assert scene.weights == {"blue": 0, "green": 100}

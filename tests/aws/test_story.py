"""The whole story on AWS: forward, kept warm, retired, and a month later back again; on demand and permanent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.base import SLOTS
from tests.aws.account import in_process
from tests.aws.story_kit import (
    STANDBYS,
    Scene,
    forward_and_a_month_later_back,
    what_fails_under_traffic_is_put_back,
)
from tests.aws.wire import Line, wire


@pytest.fixture(params=STANDBYS)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """One service of each kind."""
    with in_process() as account:
        yield Scene(account, tmp_path, request.param)


@pytest.fixture
def line(scene: Scene) -> Iterator[Line]:
    """To the account."""
    with wire(scene.account, scene.clock.sleep) as opened:
        yield opened


def test_forward_and_a_month_later_back(scene: Scene) -> None:
    """Otherwise the first rollout works and the second, a month later, does not."""
    forward_and_a_month_later_back(scene)


def test_what_is_the_users_is_never_deleted(scene: Scene) -> None:
    """Otherwise a rollout takes away what somebody else's code owns."""
    before = scene.harness.existing(scene.service)
    scene.open("shop-1", scene.harness.patched_image)
    scene.drive("shop-1")
    assert scene.harness.existing(scene.service) == set(SLOTS)
    scene.clock.sleep(3600)
    scene.open("shop-2", scene.harness.base_image)
    scene.drive("shop-2")
    assert scene.harness.existing(scene.service) == before, scene.end()


def test_what_fails_under_traffic_is_put_back(scene: Scene) -> None:
    """Otherwise users meet errors until somebody wakes up."""
    what_fails_under_traffic_is_put_back(scene)


@pytest.mark.parametrize(
    "operation, fault",
    [
        ("ModifyListener", "lose"),
        ("CreateLaunchTemplateVersion", "lose"),
        ("UpdateAutoScalingGroup", "lose"),
        ("DescribeAutoScalingGroups", "error"),
        ("DescribeTargetHealth", "fail"),
    ],
)
def test_a_fault_on_the_way_does_not_stop_it(scene: Scene, line: Line, operation: str, fault: str) -> None:
    """Otherwise one lost answer in the night leaves a rollout half-done."""
    scene.open("shop-1", scene.harness.patched_image)
    getattr(line, fault)(operation, times=1, after=1)
    row = scene.drive("shop-1")
    assert (row.phase, row.outcome) == ("retired", "promoted"), scene.end()
    assert scene.weights == {"blue": 0, "green": 100}

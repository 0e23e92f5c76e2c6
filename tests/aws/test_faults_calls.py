"""Every call that a rollout changes something by: refused, lost, or the last of the process that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from healthchecks.base import Subject, Verdict
from rollout.plan import DEADLINES, CheckSpec
from tests.aws.fault_kit import QUICK, Story, by_balancer, story

STANDBYS = ("on_demand", "permanent")
KEPT = "elbv2.AddTags"
"""The way back, kept with the traffic: it stops nothing where it fails."""
FIRST = {
    "on_demand": (KEPT, "ec2.CreateLaunchTemplate", "autoscaling.CreateAutoScalingGroup"),
    "permanent": (KEPT, "ec2.CreateLaunchTemplateVersion", "autoscaling.UpdateAutoScalingGroup"),
}
THEN = (
    "autoscaling.CreateOrUpdateTags",
    "autoscaling.UpdateAutoScalingGroup",  # floor of the original
    "autoscaling.SetDesiredCapacity",
    "autoscaling.UpdateAutoScalingGroup",  # floor of the replacement
    "elbv2.ModifyListener",  # the replacement into the route
    "autoscaling.AttachLoadBalancerTargetGroups",
    "elbv2.ModifyListener",  # 50
    "elbv2.ModifyListener",  # 100
    KEPT,  # with the end of its time
    "elbv2.ModifyListener",  # the original out of the route
    "autoscaling.DetachLoadBalancerTargetGroups",
    "autoscaling.UpdateAutoScalingGroup",  # parked
    "autoscaling.UpdateAutoScalingGroup",  # floor of the replacement as the original's was
    KEPT,  # closed
)
WRITES = {standby: (*first, *THEN) for standby, first in FIRST.items()}
"""The writes of a clean run, in their order."""
PROMOTED_BY = WRITES["on_demand"].index("autoscaling.DetachLoadBalancerTargetGroups") - 1
"""From this write on the rollout is past its warm time."""
READS = (
    "autoscaling.DescribeAutoScalingGroups",
    "autoscaling.DescribeLifecycleHooks",
    "autoscaling.DescribeNotificationConfigurations",
    "autoscaling.DescribePolicies",
    "autoscaling.DescribeScheduledActions",
    "cloudwatch.GetMetricData",
    "ec2.DescribeImages",
    "ec2.DescribeInstances",
    "ec2.DescribeLaunchTemplateVersions",
    "ec2.DescribeLaunchTemplates",
    "elbv2.DescribeListeners",
    "elbv2.DescribeTags",
    "elbv2.DescribeTargetGroups",
    "elbv2.DescribeTargetHealth",
)
BACK = (
    "elbv2.ModifyListener",
    "elbv2.ModifyListener",
    "autoscaling.DetachLoadBalancerTargetGroups",
    "autoscaling.DeleteAutoScalingGroup",
    "ec2.DeleteLaunchTemplate",
    "autoscaling.UpdateAutoScalingGroup",
    KEPT,
)
"""The writes of a way back of an on-demand standby that failed at its first share."""
OUT = 10
"""So many writes come before it."""
TRIED = [
    *(("on_demand", number) for number in range(len(WRITES["on_demand"]))),
    *(("permanent", number) for number in range(1, 3)),
]
"""What a permanent standby does otherwise is tried there, too."""


def named(at: tuple[str, int]) -> str:
    """Of a write: its number and its operation."""
    return f"{at[0]}-{at[1]}-{WRITES[at[0]][at[1]].partition('.')[2]}"


def bad_under_traffic(spec: CheckSpec, subject: Subject) -> Verdict:
    """The replacement fails as soon as it has traffic."""
    bad = subject.role == "replacement" and subject.readings.traffic().route.share(subject.slot) > 0
    return Verdict.failed("errors under traffic") if bad else by_balancer(spec, subject)


@pytest.mark.parametrize("standby", STANDBYS)
def test_a_clean_run_makes_exactly_these_calls(tmp_path: Path, standby: str) -> None:
    """The sweeps below miss a call that was added since."""
    with story(tmp_path, standby, rule=QUICK) as shop:
        shop.open()
        shop.line.calls.clear()
        shop.drive()
        shop.raise_if_not_promoted()
        shop.raise_if_anything_twice()
        assert tuple(call.name for call in shop.line.writes) == WRITES[standby]
        read = {call.name for call in shop.line.calls if call.reads}
        assert read <= set(READS)


@pytest.mark.parametrize("at", TRIED, ids=named)
def test_a_lost_answer_has_nothing_done_twice(tmp_path: Path, at: tuple[str, int]) -> None:
    """A connection breaks in the night, and two versions, two groups or twice the hosts stand in the morning."""
    with story(tmp_path, at[0], rule=QUICK) as shop:
        shop.open()
        shop.lose(at[1])
        shop.drive()
        shop.raise_if_not_promoted()
        shop.raise_if_anything_twice()


@pytest.mark.parametrize("at", TRIED, ids=named)
def test_another_process_goes_on(tmp_path: Path, at: tuple[str, int]) -> None:
    """A killed process leaves a service half-done, or its successor does everything once more."""
    with story(tmp_path, at[0], rule=QUICK) as shop:
        shop.open()
        shop.kill(at[1], applied=True)
        shop.drive()
        assert shop.processes == 2, "it was never killed"
        shop.raise_if_not_promoted()
        shop.raise_if_anything_twice()


@pytest.mark.parametrize("standby", STANDBYS)
def test_a_process_that_ends_before_each_write(tmp_path: Path, standby: str) -> None:
    """What was meant and never sent is taken for done."""
    with story(tmp_path, standby, rule=QUICK) as shop:
        shop.open()
        shop.kill(*range(0, 2 * len(WRITES[standby]), 2), applied=False)
        shop.drive()
        assert shop.processes == 1 + len(WRITES[standby])
        shop.raise_if_not_promoted()
        shop.raise_if_anything_twice()


@pytest.mark.parametrize("kind", ["reads", "writes"])
@pytest.mark.parametrize("api", ["autoscaling", "ec2", "elbv2", "cloudwatch"])
def test_throttling_only_takes_longer(tmp_path: Path, api: str, kind: str) -> None:
    """A busy account, and a rollout gives up or does something twice."""
    known = READS if kind == "reads" else (*WRITES["on_demand"], *WRITES["permanent"])
    operations = [one for one in dict.fromkeys(known) if one.startswith(f"{api}.")]
    if not operations:
        assert (api, kind) == ("cloudwatch", "writes")
        return
    with story(tmp_path, "permanent" if (api, kind) == ("ec2", "writes") else "on_demand", rule=QUICK) as shop:
        shop.open(deadlines=dict(DEADLINES))
        for operation in operations:
            shop.line.fail(operation, "RequestLimitExceeded" if api == "ec2" else "Throttling", times=3)
        shop.drive()
        assert "Throttled" in shop.told or kind == "reads", shop.told
        shop.raise_if_not_promoted()
        shop.raise_if_anything_twice()


@pytest.mark.parametrize("at", TRIED, ids=named)
def test_what_is_denied_is_said_and_put_back(tmp_path: Path, at: tuple[str, int]) -> None:
    """A missing permission leaves half a rollout, and nobody learns which one it is."""
    standby, number = at
    operation = WRITES[standby][number]
    with story(tmp_path, standby, rule=QUICK) as shop:
        shop.open()
        shop.line.deny(operation, after=WRITES[standby][:number].count(operation), times=1)
        row = shop.drive()
        assert "Denied" in shop.told and operation.partition(".")[2].lower() in shop.told.replace("_", ""), shop.told
        assert shop.account.region in shop.told and "default credentials" in shop.told
        shop.raise_if_unserved()
        if operation == KEPT:
            shop.raise_if_not_promoted()
        elif number < PROMOTED_BY:
            shop.raise_if_not_rolled_back()
        else:
            assert row.outcome == "halted" and shop.shares() == {"blue": 0, "green": 100}


def turning_back(shop: Story) -> None:
    """A rollout that will fail at its first share."""
    shop.ask = bad_under_traffic
    shop.open()
    shop.line.calls.clear()


def test_a_way_back_makes_exactly_these_calls(tmp_path: Path) -> None:
    """The sweep below misses a call that was added since."""
    with story(tmp_path, rule=QUICK) as shop:
        turning_back(shop)
        shop.drive()
        shop.raise_if_not_rolled_back()
        assert tuple(call.name for call in shop.line.writes[OUT:]) == BACK


@pytest.mark.parametrize("number", range(len(BACK)), ids=lambda at: BACK[at].partition(".")[2])
def test_a_lost_answer_on_the_way_back(tmp_path: Path, number: int) -> None:
    """Turning back, of all things, is left half-done."""
    with story(tmp_path, rule=QUICK) as shop:
        turning_back(shop)
        shop.lose(OUT + number)
        shop.drive()
        shop.raise_if_not_rolled_back()


@pytest.mark.parametrize("applied", [False, True], ids=["before", "after"])
def test_a_process_that_ends_at_each_write_on_the_way_back(tmp_path: Path, applied: bool) -> None:
    """A way back that begins anew with each process never ends, or leaves something."""
    with story(tmp_path, rule=QUICK) as shop:
        turning_back(shop)
        step = 1 if applied else 2
        shop.kill(*range(OUT, OUT + step * len(BACK), step), applied=applied)
        shop.drive()
        assert shop.processes >= 1 + len(BACK) - applied
        shop.raise_if_not_rolled_back()


@pytest.mark.parametrize("operation", dict.fromkeys(BACK[:-1]))
def test_a_way_back_that_is_denied_halts_with_traffic_back(tmp_path: Path, operation: str) -> None:
    """Somebody takes a permission away in the middle of it, and the rollout says nothing, or serves from nowhere."""
    with story(tmp_path, rule=QUICK) as shop:
        turning_back(shop)
        before = WRITES["on_demand"][:OUT].count(operation) + (operation == "elbv2.ModifyListener")
        shop.line.deny(operation, after=before)
        row = shop.drive()
        assert row.outcome == "halted" and "not complete" in shop.told and "Denied" in shop.told, shop.told
        assert shop.shares() == {"blue": 100, "green": 0}
        shop.raise_if_unserved()

"""AWS says "too often" to each operation in turn, in all that is done besides the story of a rollout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from moto.ec2.models import ec2_backends

from providers.aws.permissions import operations
from providers.base import Invalid, NotFound, Throttled
from tests.aws import deed_kit
from tests.aws.deed_kit import ASSUMED, Deed, Shop, shop
from tests.aws.test_faults_calls import READS, WRITES

Prepared = Callable[[Shop], Deed]

DOING: Mapping[str, tuple[Prepared, tuple[str, ...]]] = {
    "bake": (
        deed_kit.bake,
        (
            ASSUMED,
            "sts.GetCallerIdentity",
            "ssm.GetParameter",
            "ssm.GetPatchBaselineForPatchGroup",
            "ssm.DescribeInstanceInformation",
            "ssm.DescribeInstancePatchStates",
            "ssm.ListCommands",
            "ssm.ListCommandInvocations",
            "ssm.SendCommand",
            "ec2.DescribeImages",
            "ec2.DescribeInstances",
            "ec2.RunInstances",
            "ec2.CreateImage",
            "ec2.TerminateInstances",
        ),
    ),
    "in_place": (
        deed_kit.in_place,
        (
            ASSUMED,
            "sts.GetCallerIdentity",
            "ssm.GetDefaultPatchBaseline",
            "ssm.DescribeInstanceInformation",
            "ssm.DescribeInstancePatchStates",
            "ssm.ListCommands",
            "ssm.ListCommandInvocations",
            "ssm.SendCommand",
            "ec2.CreateLaunchTemplateVersion",
            "ec2.CreateTags",
            "ec2.RebootInstances",
            "autoscaling.CreateOrUpdateTags",
            "autoscaling.DeleteTags",
            "autoscaling.SetDesiredCapacity",
            "autoscaling.SuspendProcesses",
            "autoscaling.ResumeProcesses",
            "autoscaling.UpdateAutoScalingGroup",
        ),
    ),
    "copied": (
        deed_kit.copied,
        (
            ASSUMED,
            "ec2.CreateLaunchTemplate",
            "ec2.CreateLaunchTemplateVersion",
            "ec2.DeleteLaunchTemplate",
            "autoscaling.CreateAutoScalingGroup",
            "autoscaling.UpdateAutoScalingGroup",
            "autoscaling.DeleteAutoScalingGroup",
            "autoscaling.CreateOrUpdateTags",
            "autoscaling.DeleteTags",
            "autoscaling.PutScalingPolicy",
            "autoscaling.DeletePolicy",
            "autoscaling.PutScheduledUpdateGroupAction",
            "autoscaling.DeleteScheduledAction",
            "autoscaling.PutLifecycleHook",
            "autoscaling.DeleteLifecycleHook",
            "autoscaling.PutNotificationConfiguration",
            "autoscaling.DeleteNotificationConfiguration",
            "autoscaling.EnableMetricsCollection",
            "autoscaling.DisableMetricsCollection",
            "autoscaling.SuspendProcesses",
            "autoscaling.ResumeProcesses",
            "autoscaling.PutWarmPool",
            "autoscaling.DeleteWarmPool",
        ),
    ),
    "routed": (
        deed_kit.routed,
        (
            ASSUMED,
            "elbv2.DescribeRules",
            "elbv2.ModifyRule",
            "elbv2.AddTags",
            "elbv2.RemoveTags",
            "elbv2.RegisterTargets",
            "elbv2.DeregisterTargets",
            "autoscaling.SetInstanceProtection",
            "autoscaling.AttachLoadBalancerTargetGroups",
            "autoscaling.DetachLoadBalancerTargetGroups",
        ),
    ),
}
"""What changes something: it goes on where it was."""

LOOKING: Mapping[str, tuple[Prepared, tuple[str, ...]]] = {
    "planned": (
        deed_kit.planned,
        (
            ASSUMED,
            "sts.GetCallerIdentity",
            "ssm.GetParameter",
            "kms.DescribeKey",
            "kms.ListGrants",
            "service-quotas.GetServiceQuota",
            "cloudwatch.DescribeAlarms",
            "ec2.DescribeSnapshots",
            "ec2.DescribeSubnets",
            "ec2.DescribeInstanceTypes",
            "autoscaling.DescribeInstanceRefreshes",
            "elbv2.DescribeAccountLimits",
            "elbv2.DescribeTargetGroupAttributes",
        ),
    ),
    "looked": (
        deed_kit.looked,
        (
            ASSUMED,
            "sts.GetCallerIdentity",
            "ssm.DescribeInstanceInformation",
            "ssm.DescribeInstancePatchStates",
            "ssm.ListInventoryEntries",
            "cloudwatch.DescribeAlarms",
            "cloudwatch.GetMetricData",
            "ec2.DescribeInstanceStatus",
            "ec2.GetConsoleOutput",
        ),
    ),
    "diagnosed": (
        deed_kit.diagnosed,
        (
            "iam.SimulatePrincipalPolicy",
            "autoscaling.DescribeScalingActivities",
            "elbv2.DescribeLoadBalancers",
            "ssm.DescribeParameters",
            "ssm.GetParametersByPath",
        ),
    ),
}
"""What only reads: it says that it does not know, and never that all is well."""

BY_ITSELF = {"ec2.DeregisterImage"}
"""Throttled by a test of its own below."""

SETTING = {"autoscaling.UpdateAutoScalingGroup", "autoscaling.ResumeProcesses"}
"""Writes that say how something is to be. A repeat says it once more, where what came after it was refused."""

SWEPT = [(deed, operation) for deed, (_, every) in DOING.items() for operation in every]
SEEN = [(deed, operation) for deed, (_, every) in LOOKING.items() for operation in every]
TIMES = 3


def throttle(seen: Shop, operation: str, times: int) -> None:
    """By the code that this API has for it."""
    api = operation.partition(".")[0]
    code = {"ec2": "RequestLimitExceeded", "ssm": "ThrottlingException", "kms": "ThrottlingException"}
    seen.line.fail(operation, code.get(api, "Throttling"), times=times, text="Rate exceeded")


@contextmanager
def prepared(folder: Path, name: str) -> Iterator[tuple[Shop, Deed]]:
    """All is in place, and nothing was called yet for the deed itself."""
    prepare, _ = {**DOING, **LOOKING}[name]
    with shop(folder) as seen:
        deed = prepare(seen)
        seen.line.calls.clear()
        yield seen, deed


@cache
def undisturbed(name: str) -> tuple[Any, Mapping[str, Any], Counter[str], frozenset[str]]:
    """What the deed answers, what it leaves, what it wrote, and all that it called."""
    with TemporaryDirectory() as folder, prepared(Path(folder), name) as (seen, deed):
        answer = deed()
        return answer, seen.left(), seen.applied, frozenset(call.name for call in seen.line.calls)


def test_every_operation_of_the_policies_is_throttled_somewhere() -> None:
    """A call that was added since meets a busy account for the first time at a customer's."""
    everywhere = {*READS, *WRITES["on_demand"], *WRITES["permanent"], *BY_ITSELF}
    everywhere |= {operation for _, operation in [*SWEPT, *SEEN]}
    assert everywhere == {*operations(), ASSUMED}


@pytest.mark.parametrize("name", DOING)
def test_every_write_of_a_deed_is_swept(name: str) -> None:
    """The sweep below misses a write that was added since."""
    _, _, written, called = undisturbed(name)
    swept = set(DOING[name][1])
    assert swept <= called
    assert set(written) - swept <= {*WRITES["on_demand"], *WRITES["permanent"]}


@pytest.mark.parametrize(("name", "operation"), SWEPT)
def test_a_throttled_deed_takes_longer_and_leaves_the_same(tmp_path: Path, name: str, operation: str) -> None:
    """A busy account ends a patch half-way, makes a second builder or image, or leaves one that costs money."""
    answer, left, written, _ = undisturbed(name)
    with prepared(tmp_path, name) as (seen, deed):
        throttle(seen, operation, TIMES)
        assert deed() == answer
        assert seen.line.count(operation) > TIMES, "it was never throttled"
        refused = {operation: TIMES} if operation in written else {}
        again = seen.applied - Counter(refused) - written
        assert set(again) <= SETTING and written <= seen.applied
        assert seen.left() == left


@pytest.mark.parametrize(("name", "operation"), SEEN)
def test_a_throttled_look_says_so_and_the_next_one_sees(tmp_path: Path, name: str, operation: str) -> None:
    """What AWS did not answer is taken for good news, or stays unknown for as long as the process lives."""
    answer, left, written, _ = undisturbed(name)
    with prepared(tmp_path, name) as (seen, deed):
        throttle(seen, operation, 1_000)
        try:
            told = str(deed())
        except Throttled as error:
            assert "Rate exceeded" in str(error)
        else:
            assert "Throttl" in told, told
        assert seen.line.count(operation), "it was never throttled"
        seen.line.clear()
        seen.clock.sleep(120)
        assert "Throttl" not in str(deed())
        assert seen.left() == left
    assert "Throttl" not in str(answer) and set(written) <= {"iam.SimulatePrincipalPolicy", *deed_kit.DRY}


@pytest.mark.parametrize("operation", ["ec2.DeregisterImage", "ec2.TerminateInstances"])
def test_an_image_that_came_to_nothing_is_removed_though_ec2_is_busy(tmp_path: Path, operation: str) -> None:
    """A failed image keeps its name and its builder, and no image of that day can be made any more."""
    with shop(tmp_path) as seen:
        deed = deed_kit.bake(seen)
        images = ec2_backends["123456789012"][seen.account.region].amis
        known = set(images)

        def fail() -> None:
            for made in set(images) - known:
                images[made].state = "failed"

        seen.line.before("ec2.DescribeImages", fail, times=1_000)
        throttle(seen, operation, TIMES)
        with pytest.raises(Invalid, match="removed"):
            deed()
        assert seen.line.count(operation) > TIMES
        assert set(images) == known
        assert seen.left()["hosts"]["running"] == 2


def test_a_wrong_reference_in_a_busy_account_is_a_typed_error(tmp_path: Path) -> None:
    """A slip of the pen ends in a stack of Python lines where the list of what there is cannot be read."""
    with shop(tmp_path) as seen:
        seen.has()
        throttle(seen, "ssm.GetParametersByPath", 99)
        with pytest.raises(Throttled, match="get_parameters_by_path"):
            seen.provider.patcher.resolve(seen.service, "ssm:/golden/wep")
        throttle(seen, "ssm.DescribeParameters", 99)
        with pytest.raises(NotFound, match="parameters cannot be listed"):
            seen.provider.patcher.resolve(seen.service, "base-9")


def test_a_host_is_rebooted_once_though_its_mark_is_refused(tmp_path: Path) -> None:
    """A busy account has hosts reset again and again while they start, and none of them ever comes up."""
    with shop(tmp_path) as seen:
        deed = deed_kit.in_place(seen)
        seen.line.calls.clear()
        seen.line.fail("ec2.CreateTags", "RequestLimitExceeded", times=TIMES, after=1)  # the first one says: proven
        deed()
        assert seen.line.count("ec2.CreateTags") == 2 + TIMES
        assert seen.line.count("ec2.RebootInstances") == 1

"""What each deed besides a rollout really asks of AWS, as the wire tells, against the policy of its role."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from providers.aws.grants import Role
from providers.aws.permissions import allowed, operations
from providers.base import NotFound
from tests.aws import deed_kit
from tests.aws.calls import Call
from tests.aws.compute_kit import OWNER
from tests.aws.deed_kit import ASSUMED, DRY, Deed, Shop, shop

READS = ("Describe", "Get", "List", "BatchGet", "Simulate")


def asked(seen: Shop, prepared: Callable[[Shop], Deed]) -> list[Call]:
    """Every call of a deed as the role, to its end."""
    deed = prepared(seen)
    seen.line.calls.clear()
    deed()
    return [call for call in seen.line.calls if call.name != ASSUMED]


def names(calls: list[Call]) -> set[str]:
    """As the policies' table has them."""
    return {call.name for call in calls}


@pytest.mark.parametrize(
    ("prepared", "role", "needs"),
    [
        (deed_kit.bake, "bake", "ec2.RunInstances ec2.CreateImage ec2.TerminateInstances ssm.SendCommand"),
        (deed_kit.in_place, "rollout", "ssm.SendCommand ec2.CreateTags ec2.RebootInstances"),
        (deed_kit.copied, "rollout", "autoscaling.PutWarmPool autoscaling.DeletePolicy ec2.DeleteLaunchTemplate"),
        (deed_kit.routed, "rollout", "elbv2.ModifyRule elbv2.RemoveTags elbv2.RegisterTargets"),
        (deed_kit.planned, "observe", "kms.ListGrants ssm.GetParameter service-quotas.GetServiceQuota"),
        (deed_kit.looked, "observe", "ec2.GetConsoleOutput cloudwatch.GetMetricData ssm.ListInventoryEntries"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_really_asked_is_in_the_policy(
    tmp_path: Path, prepared: Callable[[Shop], Deed], role: Role, needs: str
) -> None:
    """The sources were read wrongly, and a role lacks in the night what it is for."""
    with shop(tmp_path) as seen:
        found = names(asked(seen, prepared))
    assert set(needs.split()) <= found, "the recording has not seen what the deed is about"
    assert found - allowed(role, operations()) == set()


@pytest.mark.parametrize("prepared", [deed_kit.in_place, deed_kit.copied, deed_kit.routed])
def test_what_only_bakes_is_not_needed_otherwise(tmp_path: Path, prepared: Callable[[Shop], Deed]) -> None:
    """Every role has to be given what launches and images hosts."""
    with shop(tmp_path) as seen:
        found = names(asked(seen, prepared))
    only = allowed("bake", operations()) - allowed("rollout", operations())
    assert only == {"ec2.RunInstances", "ec2.CreateImage", "ec2.TerminateInstances", "ec2.DeregisterImage"}
    assert not found & only


def test_an_image_that_came_to_nothing_is_removed_by_the_role_that_bakes(tmp_path: Path) -> None:
    """What failed cannot be cleared away, and stays with its name."""
    assert {"ec2.DeregisterImage", "ec2.TerminateInstances"} <= allowed("bake", operations())
    with shop(tmp_path) as seen:
        seen.clock.counts["MissingCount"] = 1
        with pytest.raises(Exception, match="was terminated"):
            asked(seen, deed_kit.bake)
        assert "ec2.TerminateInstances" in names(seen.line.calls)
        assert names(seen.line.calls) - allowed("bake", operations()) == {ASSUMED}


def test_a_dashboard_changes_nothing(tmp_path: Path) -> None:
    """Whoever may only look needs a role that writes."""
    with shop(tmp_path) as seen:
        calls = asked(seen, deed_kit.looked)
    assert all(call.operation.startswith(READS) for call in calls)


def test_doctor_reads_with_the_policy_of_a_dashboard(tmp_path: Path) -> None:
    """Doctor finds fault with itself: it has not the permissions that it is said to need."""
    with shop(tmp_path) as seen:
        calls = asked(seen, deed_kit.diagnosed)
    tried = [call for call in calls if call.parameters.get("DryRun") is True and not call.reads]
    assert names(tried) == set(DRY)
    assert names([call for call in calls if call not in tried]) - allowed("observe", operations()) == set()
    assert names(tried) <= allowed("bake", operations()), "what is tried is what a rollout or its launch needs"


def test_a_wrong_reference_is_told_with_the_policy_of_a_dashboard(tmp_path: Path) -> None:
    """A slip of the pen ends in `denied` in place of the list of what there is."""
    with shop(tmp_path) as seen:
        seen.has()
        for reference in ("ssm:/golden/wep", "base-9", "name:self/bass-*", "ami-0123456789abcdef0", "bake:active"):
            with pytest.raises(NotFound):
                seen.again(lambda wrong=reference: seen.provider.patcher.resolve(seen.service, wrong))  # type: ignore[misc]
        found = names(seen.line.calls) - {ASSUMED}
    assert {"ssm.DescribeParameters", "ssm.GetParametersByPath"} <= found <= allowed("observe", operations())


def test_what_removes_a_side_is_in_the_policy_of_the_reaper(tmp_path: Path) -> None:
    """What a rollout left behind costs money until somebody with more rights comes by."""
    with shop(tmp_path) as seen:
        seen.has()
        compute, image = seen.provider.compute, seen.account.images["base-2"]
        seen.again(lambda: compute.mirror(seen.service, "blue", "green", image, OWNER, "mirror-1"))
        seen.line.calls.clear()
        assert seen.again(lambda: compute.delete_if_owned(seen.service, "green", OWNER, "delete-1"))
        found = names(seen.line.calls)
    assert {"autoscaling.DeleteAutoScalingGroup", "ec2.DeleteLaunchTemplate"} <= found
    assert found <= allowed("reaper", operations())

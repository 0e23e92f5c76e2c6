"""The test cloud refuses what AWS refuses and shows what AWS shows, where moto by itself does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.autoscaling.models import AutoScalingBackend
from moto.autoscaling.responses import AutoScalingResponse

from providers.base import Service
from tests.aws.account import Account, in_process
from tests.aws.truer import truer

TRACKING = {"TargetValue": 50.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}


@pytest.fixture
def account() -> Iterator[Account]:
    """In this process."""
    with in_process() as opened:
        yield opened


@pytest.fixture
def shop(account: Account) -> Service:
    """Two instances on blue, a parked green."""
    return account.service("shop", 2, on_demand=False)


def _refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


def _group(account: Account, name: str = "shop-blue") -> dict[str, Any]:
    found = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    (group,) = found["AutoScalingGroups"]
    return dict(group)


def _ids(account: Account, name: str = "shop-blue") -> list[str]:
    return [one["InstanceId"] for one in _group(account, name)["Instances"]]


def test_all_is_taken_back_at_the_end() -> None:
    """Otherwise another test runs on a moto that it did not ask for."""
    before = (AutoScalingBackend.put_scaling_policy, AutoScalingResponse.set_desired_capacity)
    with truer():
        assert (AutoScalingBackend.put_scaling_policy, AutoScalingResponse.set_desired_capacity) != before
    assert (AutoScalingBackend.put_scaling_policy, AutoScalingResponse.set_desired_capacity) == before


# ---- groups ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation, more",
    [
        ("set_desired_capacity", {"DesiredCapacity": 1}),
        ("attach_load_balancer_target_groups", {"TargetGroupARNs": []}),
        ("detach_load_balancer_target_groups", {"TargetGroupARNs": []}),
        ("describe_load_balancer_target_groups", {}),
        ("suspend_processes", {}),
        ("describe_warm_pool", {}),
        ("update_auto_scaling_group", {"MinSize": 0}),
        ("delete_auto_scaling_group", {}),
        ("put_scaling_policy", {"PolicyName": "p", "PolicyType": "TargetTrackingScaling"}),
    ],
)
def test_an_unknown_group_is_named(account: Account, operation: str, more: dict[str, Any]) -> None:
    """Otherwise a KeyError of moto's is handled instead of what AWS says."""
    call = getattr(account.client("autoscaling"), operation)
    code, message = _refused(call, AutoScalingGroupName="nobody", **more)
    assert code == "ValidationError" and "name not found" in message


def test_tags_of_an_unknown_group(account: Account) -> None:
    """Otherwise a KeyError of moto's is handled instead of what AWS says."""
    tag = {"ResourceId": "nobody", "ResourceType": "auto-scaling-group", "Key": "a", "Value": "b"}
    asked = account.client("autoscaling")
    for call in (asked.create_or_update_tags, asked.delete_tags):
        assert _refused(call, Tags=[{**tag, "PropagateAtLaunch": False}])[0] == "ValidationError"


def test_a_second_group_of_a_name_is_refused(account: Account, shop: Service) -> None:
    """Otherwise a repeated create replaces a serving group, and a test of it passes."""
    before = _ids(account)
    code, _ = _refused(
        account.client("autoscaling").create_auto_scaling_group,
        AutoScalingGroupName="shop-blue",
        LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "1"},
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=account.subnets[0],
    )
    assert code == "AlreadyExists" and _ids(account) == before


def test_what_a_group_was_given_is_shown(account: Account, shop: Service) -> None:
    """Otherwise a mirror that forgets a field has the same fingerprint as its original."""
    asked = account.client("autoscaling")
    given = {
        "DefaultInstanceWarmup": 30,
        "MaxInstanceLifetime": 864_000,
        "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110},
        "AvailabilityZoneDistribution": {"CapacityDistributionStrategy": "balanced-only"},
        "DefaultCooldown": 17,
    }
    asked.create_auto_scaling_group(
        AutoScalingGroupName="made",
        LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "1"},
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=account.subnets[0],
        LifecycleHookSpecificationList=[
            {"LifecycleHookName": "wait", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
        ],
        **given,
    )
    asked.update_auto_scaling_group(AutoScalingGroupName="shop-blue", TerminationPolicies=["OldestInstance"], **given)
    for name in ("made", "shop-blue"):
        assert {key: _group(account, name).get(key) for key in given} == given
    assert _group(account)["TerminationPolicies"] == ["OldestInstance"]
    assert _group(account, "made")["HealthCheckGracePeriod"] == 0
    (hook,) = asked.describe_lifecycle_hooks(AutoScalingGroupName="made")["LifecycleHooks"]
    assert hook["LifecycleHookName"] == "wait" and "NotificationTargetARN" not in hook


def test_an_update_keeps_the_mixed_instances(account: Account, shop: Service) -> None:
    """Otherwise pinning a size makes a test believe that the instance types are gone."""
    specification = {"LaunchTemplateName": "shop-blue", "Version": "1"}
    account.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="mixed",
        MixedInstancesPolicy={
            "LaunchTemplate": {
                "LaunchTemplateSpecification": specification,
                "Overrides": [{"InstanceType": "t3.small"}],
            }
        },
        MinSize=0,
        MaxSize=2,
        DesiredCapacity=1,
        VPCZoneIdentifier=account.subnets[0],
    )
    account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="mixed", MinSize=1)
    assert _group(account, "mixed")["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]
    assert [one["InstanceType"] for one in _group(account, "mixed")["Instances"]] == ["t3.small"]


@pytest.mark.parametrize("wanted", [0, 7])
def test_capacity_stays_within_the_sizes(account: Account, shop: Service, wanted: int) -> None:
    """Otherwise a rollout that needs more than the maximum passes its tests and fails in the account."""
    code, _ = _refused(
        account.client("autoscaling").set_desired_capacity, AutoScalingGroupName="shop-blue", DesiredCapacity=wanted
    )
    assert code == "ValidationError" and _group(account)["DesiredCapacity"] == 2
    for sizes in ({"DesiredCapacity": wanted}, {"MinSize": 9}):
        update = account.client("autoscaling").update_auto_scaling_group
        assert _refused(update, AutoScalingGroupName="shop-blue", **sizes)[0] == "ValidationError"


def test_sizes_pull_the_capacity(account: Account, shop: Service) -> None:
    """Otherwise a floor seems to be there without any host on it."""
    asked = account.client("autoscaling")
    for sizes, capacity in (({"MinSize": 3}, 3), ({"MinSize": 1}, 3), ({"MaxSize": 1}, 1)):
        asked.update_auto_scaling_group(AutoScalingGroupName="shop-blue", **sizes)
        assert (_group(account)["DesiredCapacity"], len(_ids(account))) == (capacity, capacity)


def test_a_group_with_instances_is_not_deleted(account: Account, shop: Service) -> None:
    """Otherwise the one guard that AWS has is not there when we try it."""
    delete = account.client("autoscaling").delete_auto_scaling_group
    assert _refused(delete, AutoScalingGroupName="shop-blue")[0] == "ResourceInUse"
    delete(AutoScalingGroupName="shop-green")
    delete(AutoScalingGroupName="shop-blue", ForceDelete=True)
    assert account.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_a_deleted_group_is_seen_going(account: Account, shop: Service) -> None:
    """Otherwise a group that is on its way out is counted as one that is there."""
    account.manner.deleting_for = 2
    asked = account.client("autoscaling")
    asked.delete_auto_scaling_group(AutoScalingGroupName="shop-blue", ForceDelete=True)
    code, message = _refused(
        asked.create_auto_scaling_group,
        AutoScalingGroupName="shop-blue",
        LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "1"},
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=account.subnets[0],
    )
    assert code == "AlreadyExists" and "pending delete" in message
    account.manner.deleting_for = 4
    assert _group(account)["Status"] == "Delete in progress"
    account.manner.deleting_for = 0
    assert asked.describe_auto_scaling_groups(AutoScalingGroupNames=["shop-blue"])["AutoScalingGroups"] == []


# ---- policies and actions -------------------------------------------------------------------------------------


def test_policies_belong_to_their_group(account: Account, shop: Service) -> None:
    """Otherwise copying blue's policy to green takes it from blue, and clean-up deletes the wrong one."""
    asked = account.client("autoscaling")
    put = {"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling", "TargetTrackingConfiguration": TRACKING}
    arns = {
        name: asked.put_scaling_policy(AutoScalingGroupName=name, **put)["PolicyARN"]
        for name in ("shop-blue", "shop-green")
    }
    assert len(set(arns.values())) == 2
    assert asked.put_scaling_policy(AutoScalingGroupName="shop-blue", **put)["PolicyARN"] == arns["shop-blue"]
    asked.put_scaling_policy(AutoScalingGroupName="shop-green", **put, Enabled=False)
    found = {one["AutoScalingGroupName"]: one["Enabled"] for one in asked.describe_policies()["ScalingPolicies"]}
    assert found == {"shop-blue": True, "shop-green": False}
    asked.delete_policy(PolicyName=arns["shop-green"])
    (left,) = asked.describe_policies(PolicyNames=["cpu"])["ScalingPolicies"]
    assert left["AutoScalingGroupName"] == "shop-blue"
    code, _ = _refused(asked.delete_policy, AutoScalingGroupName="shop-green", PolicyName="cpu")
    assert code == "ValidationError"


def test_scheduled_actions_belong_to_their_group(account: Account, shop: Service) -> None:
    """Otherwise copying blue's night-time sizes to green takes them from blue."""
    asked = account.client("autoscaling")
    for name in ("shop-blue", "shop-green"):
        asked.put_scheduled_update_group_action(
            AutoScalingGroupName=name, ScheduledActionName="night", Recurrence="0 20 * * *", MinSize=1
        )
    asked.delete_scheduled_action(AutoScalingGroupName="shop-green", ScheduledActionName="night")
    (left,) = asked.describe_scheduled_actions()["ScheduledUpdateGroupActions"]
    assert left["AutoScalingGroupName"] == "shop-blue" and left["ScheduledActionARN"]
    delete = asked.delete_scheduled_action
    code, _ = _refused(delete, AutoScalingGroupName="shop-green", ScheduledActionName="night")
    assert code == "ValidationError"


def test_a_group_takes_its_own_along(account: Account, shop: Service) -> None:
    """Otherwise the next group of that name inherits policies that nobody gave it."""
    asked = account.client("autoscaling")
    asked.put_scaling_policy(
        AutoScalingGroupName="shop-green",
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration=TRACKING,
    )
    asked.delete_auto_scaling_group(AutoScalingGroupName="shop-green")
    assert asked.describe_policies()["ScalingPolicies"] == []

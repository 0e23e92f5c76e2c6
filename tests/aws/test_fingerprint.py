"""Equal fingerprints behave alike."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws.fingerprint import fingerprint
from providers.aws.naming import Naming
from providers.aws.settings import Settings
from tests.aws.test_groups import options

NEUTRAL = Naming.neutral(options(), "blue")
GROUP: dict[str, Any] = {
    "AutoScalingGroupName": "shop-blue",
    "AutoScalingGroupARN": "arn:1",
    "LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "3"},
    "MinSize": 1,
    "MaxSize": 6,
    "DesiredCapacity": 2,
    "HealthCheckType": "ELB",
    "CreatedTime": datetime(2026, 1, 1, tzinfo=UTC),
    "TargetGroupARNs": ["arn:blue"],
    "VPCZoneIdentifier": "subnet-b,subnet-a",
    "TerminationPolicies": ["OldestInstance", "Default"],
    "SuspendedProcesses": [{"ProcessName": "AZRebalance"}, {"ProcessName": "AddToLoadBalancer"}],
    "EnabledMetrics": [{"Metric": "GroupMinSize", "Granularity": "1Minute"}],
    "InstanceMaintenancePolicy": {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110},
    "WarmPoolConfiguration": {"MinSize": 1, "PoolState": "Stopped"},
    "Tags": [
        {"Key": "Name", "Value": "shop-blue", "PropagateAtLaunch": True},
        {"Key": "rollout-manager:owner", "Value": "rollout-manager/shop", "PropagateAtLaunch": False},
        {"Key": "aws:cloudformation:stack-name", "Value": "stack", "PropagateAtLaunch": True},
    ],
}
DATA: dict[str, Any] = {
    "ImageId": "ami-1",
    "InstanceType": "t3.micro",
    "UserData": "cGFzc3dvcmQ9c2VjcmV0",
    "SecurityGroupIds": ["sg-2", "sg-1"],
    "MetadataOptions": {"HttpTokens": "required"},
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}},
        {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 20}},
    ],
    "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "shop-blue"}]}],
}
POLICY = {
    "AutoScalingGroupName": "shop-blue",
    "PolicyName": "shop-blue-cpu",
    "PolicyARN": "arn:policy",
    "PolicyType": "TargetTrackingScaling",
    "Alarms": [{"AlarmName": "made by AWS"}],
    "TargetTrackingConfiguration": {"TargetValue": 50.0},
}
HOOK = {"LifecycleHookName": "drain", "HeartbeatTimeout": 300, "NotificationMetadata": "secret"}
ACTION = {"ScheduledActionName": "night", "Recurrence": "0 1 * * *", "StartTime": "tomorrow", "MinSize": 1}
SETTINGS = Settings((POLICY,), (ACTION,), (HOOK,), {"arn:topic": frozenset({"b", "a"})})


def found(group: dict[str, Any] = GROUP, data: dict[str, Any] = DATA, settings: Settings = SETTINGS) -> dict[str, str]:
    """The fingerprint of a group that differs from the usual one in this."""
    return fingerprint(group, data, settings, NEUTRAL)


def test_each_field_has_an_entry() -> None:
    """Otherwise a person is told that something differs, and not what."""
    assert found() == {
        "group.HealthCheckType": "ELB",
        "group.TerminationPolicies": "OldestInstance, Default",
        "template.InstanceType": "t3.micro",
        "template.UserData": found()["template.UserData"],
        "template.SecurityGroupIds": "sg-1, sg-2",
        "template.MetadataOptions.HttpTokens": "required",
        "template.BlockDeviceMappings./dev/xvda.Ebs.VolumeSize": "8",
        "template.BlockDeviceMappings./dev/xvda.DeviceName": "/dev/xvda",
        "template.BlockDeviceMappings./dev/sdb.Ebs.VolumeSize": "20",
        "template.BlockDeviceMappings./dev/sdb.DeviceName": "/dev/sdb",
        "template.TagSpecifications.instance.ResourceType": "instance",
        "template.TagSpecifications.instance.Tags.Name.Key": "Name",
        "template.TagSpecifications.instance.Tags.Name.Value": "{group}",
        "tags.Name": "{group}",
        "subnets": "subnet-a, subnet-b",
        "suspended": "AZRebalance, AddToLoadBalancer",
        "metrics": "GroupMinSize/1Minute",
        "maintenance.MinHealthyPercentage": "90",
        "maintenance.MaxHealthyPercentage": "110",
        "warm_pool.MinSize": "1",
        "warm_pool.PoolState": "Stopped",
        "policy.{group}-cpu.PolicyType": "TargetTrackingScaling",
        "policy.{group}-cpu.TargetTrackingConfiguration.TargetValue": "50",
        "schedule.night.Recurrence": "0 1 * * *",
        "schedule.night.MinSize": "1",
        "hook.drain.HeartbeatTimeout": "300",
        "hook.drain.NotificationMetadata": found()["hook.drain.NotificationMetadata"],
        "notification.arn:topic": "a, b",
    }


def test_no_secret_stands_in_a_fingerprint() -> None:
    """Otherwise passwords of user data are in every plan, journal and ticket."""
    text = str(found())
    assert "secret" not in text and DATA["UserData"] not in text
    assert found()["template.UserData"].startswith("sha256:")
    other = {**DATA, "UserData": "cGFzc3dvcmQ9b3RoZXI="}
    assert found(data=other)["template.UserData"] != found()["template.UserData"]


@pytest.mark.parametrize(
    "change",
    [
        {"MinSize": 0, "MaxSize": 99, "DesiredCapacity": 0},
        {"TargetGroupARNs": [], "CreatedTime": datetime(2027, 1, 1, tzinfo=UTC), "AutoScalingGroupARN": "arn:2"},
        {"LaunchTemplate": {"LaunchTemplateId": "lt-2", "Version": "9"}, "Instances": [{"InstanceId": "i-1"}]},
        {"VPCZoneIdentifier": "subnet-a,subnet-b"},
        {"Tags": GROUP["Tags"][:1]},
    ],
)
def test_what_belongs_to_the_slot_is_left_out(change: dict[str, Any]) -> None:
    """Otherwise a copy is never equal to its original, and every plan is stale at once."""
    assert found({**GROUP, **change}) == found()


@pytest.mark.parametrize(
    "change",
    [
        {"TerminationPolicies": ["Default", "OldestInstance"]},
        {"HealthCheckGracePeriod": 300},
        {"Tags": [{"Key": "Name", "Value": "shop-blue", "PropagateAtLaunch": False}]},
        {"VPCZoneIdentifier": "subnet-a"},
        {"SuspendedProcesses": []},
        {"WarmPoolConfiguration": {"MinSize": 1, "PoolState": "Stopped", "Status": "PendingDelete"}},
    ],
)
def test_what_behaves_otherwise_differs(change: dict[str, Any]) -> None:
    """Otherwise a change beside the patch goes live unseen."""
    assert found({**GROUP, **change}) != found()


def test_what_we_suspended_is_no_configuration() -> None:
    """Otherwise a parked side differs from the side that it was, for a while."""
    held = {"Key": "rollout-manager:suspended", "Value": "ScheduledActions", "PropagateAtLaunch": False}
    more = [*GROUP["SuspendedProcesses"], {"ProcessName": "ScheduledActions"}]
    assert found({**GROUP, "SuspendedProcesses": more, "Tags": [*GROUP["Tags"], held]}) == found()


LEAVES = st.one_of(st.integers(), st.booleans(), st.text("abc", max_size=3), st.none())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ABCDE"), inner, max_size=3)),
    max_leaves=12,
)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, chance)) for key, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        items = [shuffled(item, chance) for item in value]
        chance.shuffle(items)
        return items
    return value


@given(st.dictionaries(st.sampled_from(["A", "B", "C"]), TREES, max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_what_has_none_does_not_matter(data: dict[str, Any], chance: random.Random) -> None:
    """Otherwise AWS answers in another order, and a plan is called stale."""
    assert found(data=shuffled(data, chance)) == found(data=data)


@given(st.dictionaries(st.sampled_from(["A", "B", "C"]), TREES, max_size=3))
def test_every_leaf_is_text(data: dict[str, Any]) -> None:
    """Otherwise a fingerprint cannot be kept in a journal."""
    for key, value in found(data=data).items():
        assert type(key) is type(value) is str and value


@given(st.dictionaries(st.text("AB", min_size=1, max_size=2), st.integers(), min_size=1, max_size=3), st.data())
def test_a_changed_leaf_changes_its_entry_only(data: dict[str, int], draw: st.DataObject) -> None:
    """Otherwise a person looks for the difference at the wrong place."""
    key = draw.draw(st.sampled_from(sorted(data)))
    before, after = found(data=data), found(data={**data, key: data[key] + 1})
    assert {name for name in before if before[name] != after[name]} == {f"template.{key}"}

"""A standby on demand is a faithful copy, whatever AWS adds, and wherever the write is cut."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest

from providers.aws import attachments, copying, mirroring
from providers.aws.fingerprint import OF_THE_GROUP
from providers.aws.groups import MIRRORED_AT, own_tags
from providers.aws.naming import Naming, short
from providers.aws.options import Options
from providers.aws.settings import Settings
from providers.base import SLOTS, Conflict, Invalid, Service, Transient
from tests.aws.calls import Answer, Call
from tests.aws.compute_kit import OWNER, Scene, a_scene  # noqa: F401 - a fixture
from tests.aws.test_groups import options
from tests.aws.wire import Apply, Cut, wire

NAMING = Naming.between(options(), "blue", "green")


def furnished(scene: Scene) -> Service:
    """A service whose blue group has something of everything that hangs on groups."""
    service, blue = scene.account.service(), {"AutoScalingGroupName": "shop-blue"}
    auto = scene.autoscaling
    scene.update(
        "shop-blue",
        DefaultInstanceWarmup=120,
        MaxInstanceLifetime=604800,
        InstanceMaintenancePolicy={"MinHealthyPercentage": 90, "MaxHealthyPercentage": 110},
        AvailabilityZoneDistribution={"CapacityDistributionStrategy": "balanced-only"},
        TerminationPolicies=["OldestLaunchTemplate", "Default"],
        DefaultCooldown=77,
    )
    predefined = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
    auto.put_scaling_policy(
        **blue,
        PolicyName="cpu",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={**predefined, "TargetValue": 50.0},
    )
    dimensions = [{"Name": "AutoScalingGroupName", "Value": "shop-blue"}]
    queue = {"MetricName": "Queue", "Namespace": "Shop", "Statistic": "Average", "Dimensions": dimensions}
    auto.put_scaling_policy(
        **blue,
        PolicyName="shop-blue-queue",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"CustomizedMetricSpecification": queue, "TargetValue": 9.0},
    )
    auto.put_scheduled_update_group_action(**blue, ScheduledActionName="day", Recurrence="0 8 * * *", MinSize=2)
    auto.put_lifecycle_hook(
        **blue,
        LifecycleHookName="warm",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        HeartbeatTimeout=90,
        DefaultResult="ABANDON",
    )
    auto.put_lifecycle_hook(
        **blue,
        LifecycleHookName="CodeDeploy-managed-automatic-launch-deployment-hook-shop-1",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
    )
    auto.put_notification_configuration(
        **blue,
        TopicARN="arn:aws:sns:eu-central-1:123456789012:ops",
        NotificationTypes=["autoscaling:TEST_NOTIFICATION"],
    )
    auto.enable_metrics_collection(**blue, Granularity="1Minute", Metrics=["GroupMinSize"])
    auto.suspend_processes(**blue, ScalingProcesses=["AZRebalance"])
    return service


def test_every_field_of_a_group_is_copied_or_excepted() -> None:
    """Otherwise a field that AWS adds is lost in every copy, and nobody is told."""
    model = botocore.session.get_session().get_service_model("autoscaling")
    asked = set(model.operation_model("CreateAutoScalingGroup").input_shape.members)
    assert set(copying.COPIED) | set(copying.NOT_COPIED) == asked
    assert not set(copying.COPIED) & set(copying.NOT_COPIED)
    assert set(copying.COPIED) <= set(model.shape_for("AutoScalingGroup").members)
    assert set(copying.COPIED) - set(OF_THE_GROUP) == {"VPCZoneIdentifier", "InstanceMaintenancePolicy"}


@pytest.mark.parametrize(
    ("answer", "operation"),
    [
        ("ScalingPolicy", "PutScalingPolicy"),
        ("ScheduledUpdateGroupAction", "PutScheduledUpdateGroupAction"),
        ("LifecycleHook", "PutLifecycleHook"),
    ],
)
def test_every_field_of_what_hangs_on_a_group_can_be_put(answer: str, operation: str) -> None:
    """Otherwise a policy, a schedule or a hook is refused, or is half a copy."""
    model = botocore.session.get_session().get_service_model("autoscaling")
    told = set(model.shape_for(answer).members)
    taken = set(model.operation_model(operation).input_shape.members)
    assert told - taken == (told & attachments.ANSWERED_ONLY) - {"Time"}


def test_the_copy_behaves_like_its_source(scene: Scene) -> None:
    """Otherwise the side that was proven scales, ends or reports otherwise than the one that it replaces."""
    service = furnished(scene)
    scene.mirror(service)
    slots = scene.compute.describe(service)
    assert slots["green"].fingerprint == slots["blue"].fingerprint
    assert slots["green"].owner == OWNER and slots["blue"].owner is None
    for part in ("policy.{group}-queue.TargetTrackingConfiguration", "schedule.day", "hook.warm", "notification.arn"):
        assert any(key.startswith(part) for key in slots["green"].fingerprint), part
    assert not any("CodeDeploy" in key for key in slots["blue"].fingerprint)
    group = scene.group("shop-green")
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 6)
    assert group["TargetGroupARNs"] == [] and group["LaunchTemplate"]["Version"] == "1"
    policies = scene.autoscaling.describe_policies(AutoScalingGroupName="shop-green")["ScalingPolicies"]
    queue = next(each for each in policies if each["PolicyName"] == "shop-green-queue")
    dimensions = queue["TargetTrackingConfiguration"]["CustomizedMetricSpecification"]["Dimensions"]
    assert dimensions == [{"Name": "AutoScalingGroupName", "Value": "shop-green"}]


def lossy(call: Call, apply: Apply) -> Answer:
    """Every write is applied, and none is answered."""
    answer = apply()
    if not call.reads:
        raise Cut(call.name)
    return answer


@pytest.mark.parametrize("on_demand", [True, False])
def test_a_mirror_that_is_cut_after_every_call_is_finished(scene: Scene, on_demand: bool) -> None:
    """Otherwise a lost connection leaves half a copy, or a second one, or a write that never ends."""
    service = furnished(scene) if on_demand else scene.account.service(on_demand=False)
    tries = 0
    with wire(scene.account) as line:
        line.plan("*", lossy, times=10_000)
        while tries < 30:
            try:
                scene.mirror(service, token="one")
            except Transient:
                tries += 1
                continue
            break
        written = [call.operation for call in line.writes]
    assert len(written) == tries, "each try goes on where the one before was cut"
    assert len(written) == len(set(written)) + written.count("PutScalingPolicy") - on_demand, written
    slots = scene.compute.describe(service)
    assert slots["green"].fingerprint == slots["blue"].fingerprint
    assert len(scene.versions("shop-green")) == (1 if on_demand else 2)
    assert scene.tags("shop-green")["rollout-manager:mirror"] == "one"


def test_somebody_else_was_first(scene: Scene) -> None:
    """Otherwise a rollout takes over a group that another tool made in the same second."""
    service = scene.account.service()
    other = scene.account.template("other", scene.account.images["base-1"])
    with wire(scene.account) as line:
        line.before("CreateAutoScalingGroup", lambda: scene.account.group("shop-green", other, 1, []))
        with pytest.raises(Conflict, match="somebody else"):
            scene.mirror(service)
    assert scene.group("shop-green")["DesiredCapacity"] == 1
    assert "rollout-manager:owner" not in scene.tags("shop-green")


def test_a_group_that_is_not_shown_yet_is_not_made_twice(scene: Scene) -> None:
    """Otherwise a stale look makes a second group, or calls the first one gone."""
    service = scene.account.service()
    scene.compute.describe(service)
    scene.mirror(service)
    only_blue = {"AutoScalingGroups": [scene.group("shop-blue")]}
    scene.account.answers.give("autoscaling", "DescribeAutoScalingGroups", only_blue)
    with pytest.raises(Transient, match="not shown yet"):
        scene.compute.describe(service)
    with pytest.raises(Transient):
        scene.mirror(service)


def test_an_earlier_copy_of_ours_is_made_new(scene: Scene) -> None:
    """Otherwise what an interrupted rollout left is proven in the place of what serves now."""
    service = furnished(scene)
    scene.mirror(service, "one")
    green = {"AutoScalingGroupName": "shop-green"}
    scene.autoscaling.put_lifecycle_hook(
        **green, LifecycleHookName="odd", LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING"
    )
    scene.autoscaling.put_scheduled_update_group_action(**green, ScheduledActionName="odd", Recurrence="0 1 * * *")
    scene.autoscaling.delete_policy(**green, PolicyName="cpu")
    scene.update("shop-green", HealthCheckGracePeriod=5, DesiredCapacity=1)
    scene.clock.sleep(60)
    scene.mirror(service, "two", image="base-1")
    slots = scene.compute.describe(service)
    assert slots["green"].fingerprint == slots["blue"].fingerprint
    assert (slots["green"].image, slots["green"].capacity) == (scene.account.images["base-1"], 0)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"TargetGroupARNs": ["arn:other"]}, "arn:other"),
        ({"LoadBalancerNames": ["classic"]}, "classic"),
        ({"TrafficSources": [{"Identifier": "arn:lattice", "Type": "vpc-lattice"}]}, "arn:lattice"),
        ({"SuspendedProcesses": [{"ProcessName": "Launch"}]}, "Launch"),
        ({"Operator": {"Principal": "eks.amazonaws.com", "Managed": True}}, "eks"),
    ],
)
def test_what_cannot_be_copied_is_said_first(fields: dict[str, Any], text: str) -> None:
    """Otherwise part of the traffic stays on the side that is given up."""
    with pytest.raises(Invalid, match=text):
        copying.raise_if_not_copyable({"AutoScalingGroupName": "shop-blue", **fields}, options())


def test_a_policy_that_alarms_set_off_is_refused() -> None:
    """Otherwise the copy has a policy that nothing ever sets off."""
    policy = {"PolicyName": "out", "PolicyType": "StepScaling", "Alarms": [{"AlarmName": "busy"}]}
    with pytest.raises(Invalid, match="busy"):
        attachments.raise_if_not_copyable({"AutoScalingGroupName": "shop-blue"}, Settings((policy,)))
    tracking = {**policy, "PolicyType": "TargetTrackingScaling"}
    attachments.raise_if_not_copyable({"AutoScalingGroupName": "shop-blue"}, Settings((tracking,)))


def test_no_start_in_the_past_is_asked_for() -> None:
    """Otherwise AWS refuses the copy of every schedule that has begun."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    before, after = now - timedelta(days=1), now + timedelta(days=1)
    actions = (
        {"ScheduledActionName": "daily", "Recurrence": "0 1 * * *", "StartTime": before},
        {"ScheduledActionName": "over", "Recurrence": "0 1 * * *", "EndTime": before},
        {"ScheduledActionName": "once", "StartTime": after},
        {"ScheduledActionName": "done", "StartTime": before},
    )
    found = attachments.schedules(Settings(schedules=actions), "shop-green", NAMING, now.timestamp())
    assert set(found) == {"daily", "once"}
    assert "StartTime" not in found["daily"] and found["once"]["StartTime"] == after


def test_a_policy_by_requests_waits_for_its_target_group() -> None:
    """Otherwise AWS refuses the whole copy, for its group is in no target group yet."""
    mine, its = next(iter(NAMING.targets.items()))
    metric = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": f"app/front/1/{mine}"}
    policy = {"PolicyName": "requests", "TargetTrackingConfiguration": {"PredefinedMetricSpecification": metric}}
    settings = Settings((policy,))
    assert attachments.policies(settings, "shop-green", NAMING, ()) == {}
    (found,) = attachments.policies(settings, "shop-green", NAMING, [its]).values()
    assert its in str(found) and mine not in str(found)


def test_a_copy_in_its_target_group_follows_its_requests(scene: Scene) -> None:
    """Otherwise the new side no longer grows with its requests once it serves."""
    service = scene.account.service()
    blue, green = (Options.of(service).routes[0].target_group(slot) for slot in SLOTS)
    metric = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": f"app/front/1/{short(blue)}"}
    scene.autoscaling.put_scaling_policy(
        AutoScalingGroupName="shop-blue",
        PolicyName="requests",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"PredefinedMetricSpecification": metric, "TargetValue": 100.0},
    )
    scene.mirror(service)
    assert scene.autoscaling.describe_policies(AutoScalingGroupName="shop-green")["ScalingPolicies"] == []
    scene.autoscaling.attach_load_balancer_target_groups(AutoScalingGroupName="shop-green", TargetGroupARNs=[green])
    cloud, options = scene.cloud(service)
    mirroring.follow_target_groups(cloud.writing(), options, "green")
    mirroring.follow_target_groups(cloud.writing(), options, "blue")
    scene.clock.sleep(20)
    slots = scene.compute.describe(service)
    assert short(green) in str(scene.autoscaling.describe_policies(AutoScalingGroupName="shop-green"))
    assert slots["green"].fingerprint == slots["blue"].fingerprint


def test_who_serves_keeps_the_policies_that_a_person_gave_it(scene: Scene) -> None:
    """Otherwise an attach on the way back removes what the serving side grows by."""
    service = scene.account.service()
    scene.mirror(service)
    tracking = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}}
    for name in ("shop-blue", "shop-green"):
        scene.autoscaling.put_scaling_policy(
            AutoScalingGroupName=name,
            PolicyName=f"{name}-queue-depth",
            PolicyType="TargetTrackingScaling",
            TargetTrackingConfiguration={**tracking, "TargetValue": 40.0},
        )
    cloud, options = scene.cloud(service)
    policies = scene.autoscaling.describe_policies

    def names() -> list[str]:
        return sorted(each["PolicyName"] for each in policies(AutoScalingGroupName="shop-green")["ScalingPolicies"])

    mirroring.follow_target_groups(cloud.writing(), options, "green")
    assert "shop-green-queue-depth" in names()
    scene.autoscaling.delete_policy(AutoScalingGroupName="shop-green", PolicyName="shop-green-queue-depth")
    scene.clock.sleep(60)
    now = f"{scene.clock.now():.0f}"
    scene.autoscaling.create_or_update_tags(Tags=own_tags("shop-blue", {MIRRORED_AT: now}))
    before = names()
    mirroring.follow_target_groups(cloud.writing(), options, "green")
    assert names() == before, "green is the model now, and nothing is copied back to it"

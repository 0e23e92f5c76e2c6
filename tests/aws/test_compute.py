"""AWS's Compute beyond the contract that all providers share."""

from __future__ import annotations

from typing import Any

import pytest

from providers.aws.cloud import BEGIN_WITHIN_S, Clouds
from providers.aws.compute import AwsCompute
from providers.aws.options import Options
from providers.aws.slots import SETTINGS_S
from providers.base import Conflict, Invalid, NotFound, Service, Transient
from tests.aws.compute_kit import OWNER, Scene, a_scene  # noqa: F401 - a fixture
from tests.aws.wire import wire


def parked(scene: Scene) -> Service:
    """A service whose green group is the user's, and holds nobody."""
    return scene.account.service(on_demand=False)


def test_describe_is_one_call_most_of_the_time(scene: Scene) -> None:
    """Otherwise each step of a rollout asks AWS a dozen things, and a fleet of them is throttled."""
    service = scene.account.service()
    scene.compute.describe(service)
    with wire(scene.account) as line:
        scene.update("shop-blue", MinSize=2)
        assert scene.compute.describe(service)["blue"].floor == 2, "sizes are never remembered"
        assert len(line.calls) == 1
        scene.clock.sleep(SETTINGS_S + 1)
        scene.compute.describe(service)
        assert len(line.calls) > 2, "what hangs on a group is read again"


def test_the_first_environment_is_the_users(scene: Scene) -> None:
    """Otherwise there is an environment that nobody's code describes."""
    with pytest.raises(Invalid, match="shop-green"):
        scene.compute.stand_up(scene.account.service(), "green", "ami-1", 1, "t")


def test_an_absent_permanent_slot_is_named(scene: Scene) -> None:
    """Otherwise a group that was deleted by accident is made anew by us, past the user's own tools."""
    service = scene.account.service()
    permanent = Service("shop", {**service.options, "standby": "permanent"})
    with pytest.raises(Invalid, match="no Auto Scaling group shop-green"):
        scene.mirror(permanent)
    assert not scene.compute.describe(permanent)["green"].exists, "a way back is described without it"


def test_an_unknown_service_is_absent_from_what_is_observed(scene: Scene) -> None:
    """Otherwise one typing error blinds the whole fleet."""
    service = scene.account.service()
    nobody = Service("nobody", {**service.options, "blue": "nobody-blue", "green": "nobody-green"})
    assert set(scene.compute.observe([service, nobody])) == {"shop"}


def test_a_users_slot_gets_a_version_of_its_own_template(scene: Scene) -> None:
    """Otherwise the user's group launches from a template that none of their code knows."""
    service = parked(scene)
    before = scene.group("shop-green")
    scene.update("shop-blue", MaxSize=9)
    scene.mirror(service)
    green = scene.group("shop-green")
    assert green["LaunchTemplate"]["LaunchTemplateId"] == before["LaunchTemplate"]["LaunchTemplateId"]
    assert green["LaunchTemplate"]["Version"] == "2"
    assert (green["MinSize"], green["DesiredCapacity"], green["MaxSize"]) == (0, 0, 9)
    new = scene.versions("shop-green")[-1]["LaunchTemplateData"]
    source = scene.versions("shop-blue")[-1]["LaunchTemplateData"]
    assert new["ImageId"] == scene.account.images["base-2"]
    assert new["UserData"] == source["UserData"] and new["MetadataOptions"] == source["MetadataOptions"]
    assert new["TagSpecifications"][0]["Tags"] == [{"Key": "service", "Value": "shop-green"}]
    assert scene.compute.describe(service)["green"].owner is None
    assert len(scene.versions("shop-blue")) == 1, "what serves is left alone"


@pytest.mark.parametrize("group", ["shop-blue", "shop-green"])
def test_a_template_that_floats_is_not_added_to(scene: Scene, group: str) -> None:
    """Otherwise the new version is what the serving group launches next."""
    service = parked(scene)
    latest = {"LaunchTemplateName": "shop-green", "Version": "$Latest"}
    scene.update(group, LaunchTemplate=latest)
    with pytest.raises(Invalid, match="pin it to version 1"):
        scene.mirror(service)
    assert len(scene.versions("shop-green")) == 1


def test_what_serves_is_neither_mirrored_into_nor_parked_nor_deleted(scene: Scene) -> None:
    """Otherwise a rollout takes the service down."""
    service = scene.account.service()
    scene.mirror(service)
    scene.weigh(service, 90)
    for write in (
        lambda: scene.mirror(service, "other"),
        lambda: scene.compute.park(service, "green", "t"),
        lambda: scene.compute.park(service, "blue", "t"),
        lambda: scene.compute.delete_if_owned(service, "green", OWNER, "t"),
    ):
        with pytest.raises(Invalid, match="of the traffic"):
            write()
    assert scene.group("shop-blue")["DesiredCapacity"] == 2


@pytest.mark.parametrize("operation", ["CreateLaunchTemplateVersion", "UpdateAutoScalingGroup", "CreateOrUpdateTags"])
def test_a_mirror_into_a_users_slot_goes_on(scene: Scene, operation: str) -> None:
    """Otherwise a lost reply leaves a version more at each try."""
    service = parked(scene)
    with wire(scene.account) as line:
        line.lose(operation)
        with pytest.raises(Transient):
            scene.mirror(service)
    scene.mirror(service)
    assert len(scene.versions("shop-green")) == 2
    assert scene.tags("shop-green")["rollout-manager:mirror"] == "mirror-1"


def test_a_slow_account_is_worked_on_in_parts(scene: Scene) -> None:
    """Otherwise a write goes on after the engine has lost the right to act."""
    service = scene.account.service()
    with wire(scene.account) as line:
        line.sleep = scene.clock.sleep
        line.slow("CreateLaunchTemplate", BEGIN_WITHIN_S + 1)
        with pytest.raises(Transient, match="not begun"):
            scene.mirror(service)
    assert not scene.group("shop-green")
    scene.mirror(service)
    assert scene.group("shop-green") and len(scene.versions("shop-green")) == 1


def test_a_floor_raises_the_largest_size_only_where_it_must(scene: Scene) -> None:
    """Otherwise a pin fails for a group at its limit, or a limit that the user set is lost."""
    service = scene.account.service()
    scene.compute.set_floor(service, "blue", 3, "t")
    assert (scene.group("shop-blue")["MaxSize"], scene.group("shop-blue")["DesiredCapacity"]) == (6, 3)
    scene.compute.set_floor(service, "blue", 8, "t")
    assert (scene.group("shop-blue")["MaxSize"], scene.group("shop-blue")["MinSize"]) == (8, 8)
    with pytest.raises(Invalid):
        scene.compute.set_floor(service, "blue", -1, "t")


def test_a_floor_writes_no_number_that_was_read(scene: Scene) -> None:
    """Otherwise what an autoscaler added in between is taken away again."""
    service = scene.account.service()
    auto = scene.autoscaling
    with wire(scene.account) as line:
        line.before(
            "UpdateAutoScalingGroup",
            lambda: auto.set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=5),
        )
        scene.compute.set_floor(service, "blue", 2, "t")
    assert scene.group("shop-blue")["DesiredCapacity"] == 5


def test_more_than_the_largest_size_raises_it_together_with_the_capacity(scene: Scene) -> None:
    """Otherwise a way back to the smaller group halts, and the bad side keeps all traffic."""
    service = scene.account.service()
    with wire(scene.account) as line:
        scene.compute.scale(service, "blue", 8, "t")
        made = [each.operation for each in line.writes]
        assert made == ["SetDesiredCapacity", "UpdateAutoScalingGroup"], "the first one is refused: it changes nothing"
    assert (scene.group("shop-blue")["MaxSize"], scene.group("shop-blue")["DesiredCapacity"]) == (8, 8)
    scene.compute.scale(service, "blue", 2, "t")
    assert (scene.group("shop-blue")["MaxSize"], scene.group("shop-blue")["DesiredCapacity"]) == (8, 2)


def test_scaling_an_absent_slot_is_not_found(scene: Scene) -> None:
    """Otherwise nobody learns that there is nothing to scale."""
    with pytest.raises(NotFound, match="shop-green"):
        scene.compute.scale(scene.account.service(), "green", 1, "t")


def test_a_parked_slot_is_not_filled_by_a_schedule(scene: Scene) -> None:
    """Otherwise the old side comes up again each morning, with the old image, and is paid for."""
    service = parked(scene)
    scene.autoscaling.put_scheduled_update_group_action(
        AutoScalingGroupName="shop-green", ScheduledActionName="day", Recurrence="0 8 * * *", MinSize=2
    )
    before = scene.compute.describe(service)["green"].fingerprint
    scene.compute.park(service, "green", "t")
    scene.compute.park(service, "green", "again")
    assert [each["ProcessName"] for each in scene.group("shop-green")["SuspendedProcesses"]] == ["ScheduledActions"]
    assert scene.compute.describe(service)["green"].fingerprint == before
    scene.mirror(service)
    assert scene.group("shop-green")["SuspendedProcesses"] == []
    assert "rollout-manager:suspended" not in scene.tags("shop-green")


def test_protected_hosts_do_not_outlive_a_park(scene: Scene) -> None:
    """Otherwise a slot that was given up keeps its hosts for ever."""
    service = parked(scene)
    scene.update("shop-green", NewInstancesProtectedFromScaleIn=True, MinSize=1, DesiredCapacity=1)
    scene.compute.park(service, "green", "t")
    assert scene.instances(service, "green") == []


def test_delete_takes_its_template_along(scene: Scene) -> None:
    """Otherwise each rollout leaves a launch template."""
    service = scene.account.service()
    scene.mirror(service)
    with wire(scene.account) as line:
        line.lose("DeleteAutoScalingGroup")
        with pytest.raises(Transient):
            scene.compute.delete_if_owned(service, "green", OWNER, "t")
    assert scene.compute.delete_if_owned(service, "green", OWNER, "t") is True
    assert not scene.group("shop-green")
    names = [
        each["LaunchTemplateName"]
        for each in scene.account.client("ec2").describe_launch_templates()["LaunchTemplates"]
    ]
    assert names == ["shop-blue"]


def test_a_template_that_is_left_is_deleted_by_who_comes_next(scene: Scene) -> None:
    """Otherwise a process that was killed between the two deletes leaves a launch template for good."""
    service = scene.account.service()
    scene.mirror(service)
    with wire(scene.account) as line:
        line.lose("DeleteAutoScalingGroup")
        with pytest.raises(Transient):
            scene.compute.delete_if_owned(service, "green", OWNER, "t")
    scene.clock.sleep(70)
    restarted = AwsCompute(Clouds(scene.clouds.context))
    assert not restarted.describe(service)["green"].exists
    assert restarted.delete_if_owned(service, "green", "rollout-manager/another", "t") is False
    assert scene.versions("shop-green"), "what another service left is not ours"
    assert restarted.delete_if_owned(service, "green", OWNER, "t") is True
    assert restarted.delete_if_owned(service, "blue", OWNER, "t") is False
    left = scene.account.client("ec2").describe_launch_templates()["LaunchTemplates"]
    assert [each["LaunchTemplateName"] for each in left] == ["shop-blue"]


def test_what_a_person_suspended_in_their_own_group_stays_so(scene: Scene) -> None:
    """Otherwise a rollout starts what somebody stopped on purpose."""
    service = parked(scene)
    green = {"AutoScalingGroupName": "shop-green"}
    scene.autoscaling.suspend_processes(**green, ScalingProcesses=["AlarmNotification"])
    scene.autoscaling.put_scheduled_update_group_action(
        **green, ScheduledActionName="day", Recurrence="0 8 * * *", MinSize=2
    )
    scene.compute.park(service, "green", "t")
    scene.autoscaling.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["AZRebalance"])
    scene.mirror(service)
    found = {each["ProcessName"] for each in scene.group("shop-green")["SuspendedProcesses"]}
    assert found == {"AlarmNotification", "AZRebalance"}, "what park() held runs again"


def test_a_users_slot_with_a_warm_pool_is_not_filled(scene: Scene) -> None:
    """Otherwise the standby's hosts come out of the pool, with the image of before."""
    service = parked(scene)
    scene.autoscaling.put_warm_pool(AutoScalingGroupName="shop-green", MinSize=0)
    with pytest.raises(Invalid, match="warm pool"):
        scene.mirror(service)
    assert len(scene.versions("shop-green")) == 1


def test_the_next_standby_can_be_made_at_once(scene: Scene) -> None:
    """Otherwise a rollout right after another takes the group that has gone for one that is not shown yet."""
    service = scene.account.service()
    scene.mirror(service, "one")
    assert scene.compute.delete_if_owned(service, "green", OWNER, "t") is True
    assert not scene.compute.describe(service)["green"].exists
    scene.mirror(service, "two")
    assert scene.compute.describe(service)["green"].owner == OWNER


def test_a_foreign_template_stops_the_copy(scene: Scene) -> None:
    """Otherwise a template of the user's gets versions that they never asked for."""
    service = scene.account.service()
    scene.account.template("shop-green", scene.account.images["base-1"])
    with pytest.raises(Conflict):
        scene.mirror(service)
    assert not scene.group("shop-green")


def test_a_target_group_that_no_route_names_stops_the_mirror(scene: Scene) -> None:
    """Otherwise its traffic stays on the side that is given up."""
    service = scene.account.service()
    more = scene.account.target_group("more")
    scene.autoscaling.attach_load_balancer_target_groups(AutoScalingGroupName="shop-blue", TargetGroupARNs=[more])
    with pytest.raises(Invalid, match="targetgroup/more"):
        scene.mirror(service)
    assert not scene.group("shop-green")


def test_a_side_patched_in_place_is_its_composite_image(scene: Scene) -> None:
    """Otherwise the way back to a side that was patched in place is called a way to strangers."""
    service = parked(scene)
    image = f"{scene.account.images['base-1']}+pb-0123456789abcdef0@2026-01-01"
    scene.mirror(service, "one", image=image)
    tag: Any = {"ResourceId": "shop-green", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    tag |= {"Key": "rollout-manager:patched", "Value": image}
    assert scene.compute.describe(service)["green"].image == scene.account.images["base-1"]
    scene.autoscaling.create_or_update_tags(Tags=[tag])
    assert scene.compute.describe(service)["green"].image == image
    scene.mirror(service, "two")
    assert scene.compute.describe(service)["green"].image == scene.account.images["base-2"]
    assert Options.of(service).green == "shop-green"

"""What AWS says would stand in a rollout's way, before anything is begun."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.aws.whole import AGAIN_S, REMEMBERED_S
from tests.aws.insight_kit import SPOT, STANDARD, scene
from tests.aws.wire import wire

MANY = 1000


def subnets_with(free: dict[str, int]) -> Any:
    """An answer of DescribeSubnets with so many free addresses, by zone letter."""

    def made(asked: Any) -> Any:
        zones = sorted(free)
        return {
            "Subnets": [
                {
                    "SubnetId": id,
                    "AvailabilityZone": f"eu-central-1{zones[number]}",
                    "AvailableIpAddressCount": free[zones[number]],
                }
                for number, id in enumerate(asked["SubnetIds"])
            ]
        }

    return made


@pytest.mark.parametrize("on_demand", [False, True])
def test_nothing_is_in_the_way_of_a_service_with_room(on_demand: bool, tmp_path: Path) -> None:
    """Otherwise no rollout begins, or people learn to look past what is foreseen."""
    with scene(tmp_path, on_demand=on_demand) as seen:
        assert seen.foresee() == []


@pytest.mark.parametrize(
    ("free", "blocked"),
    [
        ({"a": 7, "b": 7}, []),
        ({"a": 6, "b": 6}, ["a", "b"]),  # three hosts: one zone has to take two
        ({"a": 7, "b": 6}, []),
        ({"a": 99, "b": 5}, ["b"]),
    ],
)
def test_each_zone_needs_its_share_beyond_the_reserve(free: dict[str, int], blocked: list[str], tmp_path: Path) -> None:
    """Otherwise half of the standby never launches, because one subnet is full."""
    with scene(tmp_path) as seen:
        seen.account.answers.give("ec2", "DescribeSubnets", subnets_with(free))
        texts = seen.texts("blocks", capacity=3)
        assert [text.partition(":")[0] for text in texts] == [f"zone eu-central-1{zone}" for zone in blocked]
        assert all("subnet-" in text and "reserve of 5" in text and "add a subnet" in text for text in texts)


def test_hosts_that_the_standby_gives_up_first_are_room(tmp_path: Path) -> None:
    """Otherwise nobody with a tight quota can start again while a way back is warm."""
    with scene(tmp_path) as seen:
        seen.change("shop-green", MinSize=2, DesiredCapacity=2)
        seen.account.answers.quotas[STANDARD] = 8.0  # two hosts on each side, two vCPUs each
        seen.account.answers.give("ec2", "DescribeSubnets", subnets_with({"a": 5, "b": 7}))
        assert seen.texts("blocks") == []


def test_vcpus_in_use_and_to_come_stay_within_the_quota(tmp_path: Path) -> None:
    """Otherwise the standby stops growing half-way, with VcpuLimitExceeded."""
    with scene(tmp_path) as seen:
        seen.account.answers.quotas[STANDARD] = 8.0
        assert seen.foresee() == []
        seen.account.answers.quotas[STANDARD] = 7.0
        seen.clock.sleep(REMEMBERED_S)
        (text,) = seen.texts("blocks")
        assert "L-1216C47A" in text and "7 in eu-central-1, 4 in use, 4 more" in text and "raise it" in text


def test_what_the_account_may_have_is_asked_once_for_a_fleet_and_again_before_it_refuses(tmp_path: Path) -> None:
    """A wave asks for the same quota with each service; or one that was just raised goes on refusing."""
    asked = ("GetServiceQuota", "DescribeAccountLimits", "DescribeInstanceTypes")
    with scene(tmp_path) as seen, wire(seen.account) as line:
        for _ in range(3):
            assert seen.foresee() == []
        assert [line.count(each) for each in asked] == [1, 1, 1]
        seen.account.answers.quotas[STANDARD] = 7.0
        seen.clock.sleep(REMEMBERED_S)
        assert seen.texts("blocks")
        seen.account.answers.quotas[STANDARD] = 8.0
        seen.clock.sleep(AGAIN_S)
        assert seen.texts("blocks") == []


def test_spot_counts_for_the_spot_quota(tmp_path: Path) -> None:
    """Otherwise a group of spot hosts is judged by a quota that it does not use."""
    with scene(tmp_path) as seen:
        seen.account.client("ec2").create_launch_template_version(
            LaunchTemplateName="shop-blue",
            SourceVersion="1",
            LaunchTemplateData={
                "ImageId": seen.account.images["base-1"],
                "InstanceType": "t3.micro",
                "InstanceMarketOptions": {"MarketType": "spot"},
            },
        )
        seen.change(LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "2"})
        seen.account.answers.quotas |= {STANDARD: 0.0, SPOT: 3.0}
        (text,) = seen.texts("blocks")
        assert "L-34B43A08" in text and "0 in use, 4 more" in text


def test_a_type_that_may_be_chosen_and_does_not_fit_is_told(tmp_path: Path) -> None:
    """Otherwise a mixed group is refused for its largest type, or fails without a word."""
    with scene(tmp_path) as seen:
        template = {"LaunchTemplateSpecification": {"LaunchTemplateName": "shop-blue", "Version": "1"}}
        kinds = [{"InstanceType": "t3.micro"}, {"InstanceType": "m5.4xlarge"}]
        seen.account.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName="mixed",
            MixedInstancesPolicy={"LaunchTemplate": {**template, "Overrides": kinds}},
            MinSize=0,
            MaxSize=4,
            DesiredCapacity=0,
            VPCZoneIdentifier=",".join(seen.account.subnets),
        )
        seen.service.options["blue"] = "mixed"  # type: ignore[index]
        seen.account.answers.quotas[STANDARD] = 20.0
        assert not seen.texts("blocks")
        (text,) = (text for text in seen.texts("notice") if "L-1216C47A" in text)
        assert "up to 32 more" in text


def test_a_group_that_is_too_small_is_told_and_does_not_block(tmp_path: Path) -> None:
    """Otherwise no rollout begins for what the program does itself, or a person's limit is raised without a word."""
    with scene(tmp_path) as seen:
        seen.change("shop-green", MaxSize=1)
        assert seen.texts("blocks") == []
        assert "shop-green: its MaxSize of 1 is raised to 6, and stays so" in seen.texts("notice")
        assert "shop-green: its MaxSize of 1 is raised to 8, and stays so" in seen.texts("notice", capacity=8)


def test_the_largest_size_of_a_copy_is_no_news(tmp_path: Path) -> None:
    """Otherwise each plan on demand is warned of a limit that is its own."""
    with scene(tmp_path, on_demand=True) as seen:
        assert not [one for one in seen.foresee(capacity=9) if "MaxSize" in one.text]


def test_a_shared_limit_counts_both_sides(tmp_path: Path) -> None:
    """Otherwise the database refuses connections as soon as the standby is up, to both sides."""
    limits = [{"name": "database", "each": 25, "limit": 99}]
    with scene(tmp_path, shared_limits=limits) as seen:
        (text,) = seen.texts("blocks")
        assert "shared limit database: 4 hosts on both sides take 100" in text
        assert seen.texts("blocks", capacity=1) == []


def test_a_balancer_takes_only_so_many_targets(tmp_path: Path) -> None:
    """Otherwise the last hosts of the standby are never registered."""
    limits = {"Limits": [{"Name": "targets-per-application-load-balancer", "Max": "3"}]}
    with scene(tmp_path) as seen:
        seen.account.answers.give("elbv2", "DescribeAccountLimits", limits)
        (text,) = seen.texts("blocks")
        assert "balancer front: 2 targets and 2 more" in text and "which is 3" in text
        assert seen.texts("blocks", capacity=1) == []


def test_a_target_group_that_is_no_route_blocks(tmp_path: Path) -> None:
    """Otherwise traffic that comes another way stays on the old side, which is then given up."""
    with scene(tmp_path) as seen:
        stray = seen.account.target_group("stray")
        seen.account.client("autoscaling").attach_load_balancer_target_groups(
            AutoScalingGroupName="shop-blue", TargetGroupARNs=[stray]
        )
        (text,) = seen.texts("blocks")
        assert text.startswith("shop-blue is also behind") and stray in text and "declare it" in text


@pytest.mark.parametrize(("version", "blocked"), [("$Latest", True), ("1", False), ("$Default", False)])
def test_nobody_else_launches_the_patch_by_taking_the_latest_version(
    version: str, blocked: bool, tmp_path: Path
) -> None:
    """Otherwise a service that nobody patched runs the unproven image the next time that it scales."""
    with scene(tmp_path) as seen:
        client = seen.account.client("autoscaling")
        for number in range(3):
            client.create_auto_scaling_group(
                AutoScalingGroupName=f"other-{number}",
                LaunchTemplate={"LaunchTemplateName": "shop-green", "Version": version if number == 2 else "1"},
                MinSize=0,
                MaxSize=1,
                VPCZoneIdentifier=seen.account.subnets[0],
            )
        seen.account.manner.page_size = 2
        texts = seen.texts("blocks")
        assert [text.partition(" ")[0] for text in texts] == (["other-2"] if blocked else [])


def test_what_acts_by_itself_meanwhile_is_told(tmp_path: Path) -> None:
    """Otherwise the nightly scale-in takes the standby's hosts away at three in the morning."""
    with scene(tmp_path) as seen:
        client, now = seen.account.client("autoscaling"), seen.clock.now()
        at = {"soon": now + 3600, "late": now + 3 * 86400}
        for name, when in at.items():
            client.put_scheduled_update_group_action(
                AutoScalingGroupName="shop-blue",
                ScheduledActionName=name,
                StartTime=datetime.fromtimestamp(when, UTC),
                MinSize=0,
                DesiredCapacity=0,
            )
        client.put_scheduled_update_group_action(
            AutoScalingGroupName="shop-green", ScheduledActionName="nightly", Recurrence="0 3 * * *", MaxSize=1
        )
        soon, nightly = (text for text in seen.texts("notice") if "scheduled action" in text)
        assert "shop-blue: scheduled action soon is due at" in soon and "MinSize 0" in soon
        assert "nightly recurs 0 3 * * *" in nightly
        assert len([text for text in seen.texts("notice", ahead_s=4 * 86400.0) if "scheduled" in text]) == 3


def test_protected_hosts_and_suspended_processes_are_told(tmp_path: Path) -> None:
    """Otherwise a side is never empty, or a standby never comes, and nobody knows why."""
    with scene(tmp_path) as seen:
        client = seen.account.client("autoscaling")
        ids = [one["InstanceId"] for one in seen.group("shop-blue")["Instances"]]
        client.set_instance_protection(AutoScalingGroupName="shop-blue", InstanceIds=ids[:1], ProtectedFromScaleIn=True)
        client.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["AZRebalance"])
        client.suspend_processes(AutoScalingGroupName="shop-green", ScalingProcesses=["Launch"])
        assert [text for text in seen.texts("blocks") if "Launch" in text and text.startswith("shop-green")]
        notices = seen.texts("notice")
        assert [text for text in notices if ids[0] in text and "protected from scale-in" in text]
        assert [text for text in notices if "AZRebalance" in text]


def test_clients_that_stay_are_told(tmp_path: Path) -> None:
    """Otherwise clients are thought to have moved with the weights."""
    with scene(tmp_path) as seen:
        elbv2 = seen.account.client("elbv2")
        slow = [
            {"Key": "deregistration_delay.timeout_seconds", "Value": "900"},
            {"Key": "stickiness.enabled", "Value": "true"},
        ]
        elbv2.modify_target_group_attributes(TargetGroupArn=seen.target_group("green"), Attributes=slow)
        told = [text for text in seen.texts("notice") if "target group shop-green" in text]
        assert len(told) == 2 and "900 s" in told[0] and "stickiness" in told[1]


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ("DescribeSubnets", "free addresses"),
        ("GetServiceQuota", "vCPU quotas"),
        ("DescribeAccountLimits", "targets that the balancer"),
        ("DescribeScheduledActions", "scheduled actions"),
        ("DescribeAlarms", "alarms"),
        ("DescribeTargetGroupAttributes", "drain"),
    ],
)
def test_what_may_not_be_read_is_unknown_and_hides_nothing(operation: str, told: str, tmp_path: Path) -> None:
    """Otherwise one missing permission hides a block, or keeps every plan from being made."""
    with scene(tmp_path) as seen, wire(seen.account) as line:
        client = seen.account.client("autoscaling")
        client.suspend_processes(AutoScalingGroupName="shop-green", ScalingProcesses=["Launch"])
        line.fail(operation, code="AccessDenied", status=403, times=MANY)
        found = seen.foresee()
        assert [one.text for one in found if one.kind == "blocks"] == [
            "shop-green: suspended: Launch; a standby needs them; resume them first"
        ]
        unknown = [one.text for one in found if one.kind == "unknown"]
        assert len(unknown) == 1 and told in unknown[0] and "Denied" in unknown[0]
        assert found[0].kind == "blocks"


def test_without_the_groups_the_rest_is_still_told(tmp_path: Path) -> None:
    """Otherwise nothing at all is said because one call was throttled."""
    with scene(tmp_path) as seen, wire(seen.account) as line:
        line.fail("DescribeAutoScalingGroups", times=MANY)
        seen.account.client("autoscaling").put_scheduled_update_group_action(
            AutoScalingGroupName="shop-blue", ScheduledActionName="nightly", Recurrence="0 3 * * *", MinSize=0
        )
        assert [one.kind for one in seen.foresee()] == ["unknown", "notice"]


def test_looking_ahead_takes_few_calls(tmp_path: Path) -> None:
    """Otherwise a fleet's plans use up the calls that its rollouts need."""
    with scene(tmp_path) as seen, wire(seen.account) as line:
        seen.foresee()
        assert len([call for call in line.calls if call.reads]) <= 22
        assert all(call.reads or call.operation == "GetCallerIdentity" for call in line.calls)

"""The test cloud, launches and balancing: it refuses what AWS refuses and shows what AWS shows."""

from __future__ import annotations

from typing import Any

import pytest

from providers.aws.options import Options, RouteOptions
from providers.base import Service
from tests.aws.account import Account, in_process
from tests.aws.test_truer import _group, _ids, _refused, account, shop

__all__ = ["account", "shop"]


def _route(service: Service) -> RouteOptions:
    return Options.of(service).routes[0]


def _health(account: Account, target_group: str) -> dict[str, str]:
    found = account.client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in found}


def _forward(*groups: tuple[str, int]) -> list[dict[str, Any]]:
    listed = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": listed}}]


# ---- launch templates -----------------------------------------------------------------------------------------


def test_a_version_builds_on_its_source(account: Account, shop: Service) -> None:
    """Otherwise a mirror loses what it does not name, and no test tells."""
    asked = account.client("ec2")
    made = asked.create_launch_template_version(
        LaunchTemplateName="shop-blue", SourceVersion="1", LaunchTemplateData={"ImageId": account.images["base-2"]}
    )["LaunchTemplateVersion"]["LaunchTemplateData"]
    assert made["ImageId"] == account.images["base-2"] and made["MetadataOptions"] == {"HttpTokens": "required"}
    alone = asked.create_launch_template_version(
        LaunchTemplateName="shop-blue", LaunchTemplateData={"ImageId": account.images["base-2"]}
    )
    assert alone["LaunchTemplateVersion"]["LaunchTemplateData"] == {"ImageId": account.images["base-2"]}


@pytest.mark.parametrize("operation", ["create_launch_template", "create_launch_template_version"])
def test_a_token_is_honoured(account: Account, shop: Service, operation: str) -> None:
    """Otherwise a lost reply and a retry make two, and a test of it cannot pass."""
    name = "shop-blue" if operation.endswith("version") else "another"
    call = getattr(account.client("ec2"), operation)
    given = {"LaunchTemplateName": name, "ClientToken": "once", "LaunchTemplateData": {"InstanceType": "t3.micro"}}
    first, again = call(**given), call(**given)
    assert [{**one, "ResponseMetadata": None} for one in (first, again)] == [{**first, "ResponseMetadata": None}] * 2
    other = {**given, "LaunchTemplateData": {"InstanceType": "t3.small"}}
    assert _refused(call, **other)[0] == "IdempotentParameterMismatch"


def test_tags_of_a_template_are_not_launched(account: Account) -> None:
    """Otherwise our owner tag is part of a template's data, and two templates never have equal fingerprints."""
    account.client("ec2").create_launch_template(
        LaunchTemplateName="tagged",
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "ours", "Value": "yes"}]}],
        LaunchTemplateData={"InstanceType": "t3.micro"},
    )
    found = account.client("ec2").describe_launch_template_versions(LaunchTemplateName="tagged")
    assert found["LaunchTemplateVersions"][0]["LaunchTemplateData"] == {"InstanceType": "t3.micro"}
    (template,) = account.client("ec2").describe_launch_templates(LaunchTemplateNames=["tagged"])["LaunchTemplates"]
    assert template["Tags"] == [{"Key": "ours", "Value": "yes"}]


def test_versions_are_deleted_and_never_numbered_again(account: Account, shop: Service) -> None:
    """Otherwise clean-up of versions cannot be tested, and version 2 is two different things."""
    asked = account.client("ec2")

    def make() -> int:
        made = asked.create_launch_template_version(
            LaunchTemplateName="shop-blue", SourceVersion="1", LaunchTemplateData={}
        )
        return int(made["LaunchTemplateVersion"]["VersionNumber"])

    assert make() == 2
    told = asked.delete_launch_template_versions(LaunchTemplateName="shop-blue", Versions=["1", "2", "9"])
    assert [one["VersionNumber"] for one in told["SuccessfullyDeletedLaunchTemplateVersions"]] == [2]
    assert len(told["UnsuccessfullyDeletedLaunchTemplateVersions"]) == 2
    assert make() == 3
    assert (
        "NotFound"
        in _refused(asked.describe_launch_template_versions, LaunchTemplateName="shop-blue", Versions=["2"])[0]
    )


def test_instances_have_what_their_version_says(account: Account) -> None:
    """Otherwise a template whose groups, profile or metadata options were lost launches just as well."""
    asked = account.client("ec2")
    firewall = asked.create_security_group(GroupName="web", Description="web", VpcId=account.vpc)["GroupId"]
    account.client("iam").create_instance_profile(InstanceProfileName="shop")
    account.client("ssm").put_parameter(Name="/image", Type="String", Value=account.images["base-2"])
    template = account.template("wide", account.images["base-1"])
    asked.create_launch_template_version(
        LaunchTemplateId=template,
        LaunchTemplateData={
            "ImageId": "resolve:ssm:/image",
            "InstanceType": "t3.small",
            "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": [firewall]}],
            "IamInstanceProfile": {"Name": "shop"},
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "Monitoring": {"Enabled": True},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "tier", "Value": "web"}]}],
        },
    )
    account.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName="wide",
        LaunchTemplate={"LaunchTemplateId": template, "Version": "2"},
        MinSize=2,
        MaxSize=2,
        VPCZoneIdentifier=",".join(account.subnets),
    )
    found = [one for held in asked.describe_instances()["Reservations"] for one in held["Instances"]]
    assert {one["SubnetId"] for one in found} == set(account.subnets)
    for one in found:
        assert (one["ImageId"], one["InstanceType"]) == (account.images["base-2"], "t3.small")
        assert [group["GroupId"] for group in one["SecurityGroups"]] == [firewall]
        assert one["IamInstanceProfile"]["Arn"].endswith("instance-profile/shop")
        assert one["MetadataOptions"]["HttpTokens"] == "required" and one["Monitoring"]["State"] == "enabled"
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        assert (tags["tier"], tags["aws:ec2launchtemplate:version"]) == ("web", "2") and "service" not in tags


def test_an_instance_tells_the_version_of_its_launch(account: Account, shop: Service) -> None:
    """Otherwise old instances seem to be of the new version as soon as the group is."""
    account.client("ec2").create_launch_template_version(
        LaunchTemplateName="shop-blue", SourceVersion="1", LaunchTemplateData={"ImageId": account.images["base-2"]}
    )
    asked = account.client("autoscaling")
    specification = {"LaunchTemplateName": "shop-blue", "Version": "$Latest"}
    asked.update_auto_scaling_group(AutoScalingGroupName="shop-blue", LaunchTemplate=specification)
    asked.set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=3)
    assert [one["LaunchTemplate"]["Version"] for one in _group(account)["Instances"]] == ["1", "1", "2"]


def test_an_image_must_exist(account: Account, shop: Service) -> None:
    """Otherwise a typing error in an image is only found when a host is needed."""
    account.client("ec2").create_launch_template_version(
        LaunchTemplateName="shop-blue", SourceVersion="1", LaunchTemplateData={"ImageId": "ami-00000000000000000"}
    )
    code, message = _refused(
        account.client("autoscaling").update_auto_scaling_group,
        AutoScalingGroupName="shop-blue",
        LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "2"},
    )
    assert code == "ValidationError" and "does not exist" in message
    assert _group(account)["LaunchTemplate"]["Version"] == "1"


def test_nothing_is_launched_while_launching_is_suspended(account: Account, shop: Service) -> None:
    """Otherwise a frozen group grows in tests only."""
    asked = account.client("autoscaling")
    asked.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["Launch"])
    asked.set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=3)
    assert len(_ids(account)) == 2


def test_a_launch_takes_its_time(account: Account, shop: Service) -> None:
    """Otherwise nothing that waits for hosts is ever seen waiting."""
    account.manner.starting_for = 1
    account.client("autoscaling").set_desired_capacity(AutoScalingGroupName="shop-green", DesiredCapacity=0)
    account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="shop-green", DesiredCapacity=1)
    states = [[one["LifecycleState"] for one in _group(account, "shop-green")["Instances"]] for _ in range(2)]
    assert states == [["Pending"], ["InService"]]


# ---- weights and tags -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [-1, 1000])
def test_weights_have_bounds(account: Account, shop: Service, weight: int) -> None:
    """Otherwise a write that AWS refuses counts as one that was made."""
    route = _route(shop)
    call = account.client("elbv2").modify_listener
    actions = _forward((route.blue, weight), (route.green, 1))
    assert _refused(call, ListenerArn=route.listener, DefaultActions=actions)[0] == "ValidationError"


def test_target_groups_are_known_and_few(account: Account, shop: Service) -> None:
    """Otherwise traffic is sent to nothing in a test that passes."""
    route = _route(shop)
    call = account.client("elbv2").modify_listener
    gone = _forward((route.blue, 1), (f"{route.green[:-16]}{'0' * 16}", 1))
    assert _refused(call, ListenerArn=route.listener, DefaultActions=gone)[0] == "TargetGroupNotFound"
    many = _forward(*((account.target_group(f"more-{number}"), 1) for number in range(6)))
    assert _refused(call, ListenerArn=route.listener, DefaultActions=many)[0] == "ValidationError"


def test_the_default_rule_is_the_listeners(account: Account, shop: Service) -> None:
    """Otherwise a route that names a default rule seems to move."""
    route, asked = _route(shop), account.client("elbv2")
    (rule,) = asked.describe_rules(ListenerArn=route.listener)["Rules"]
    code, _ = _refused(asked.modify_rule, RuleArn=rule["RuleArn"], Actions=_forward((route.green, 1)))
    assert code == "OperationNotPermitted"


def test_one_target_group_is_shown_both_ways(account: Account, shop: Service) -> None:
    """Otherwise a listener that a person made by hand looks different from the real one."""
    route, asked = _route(shop), account.client("elbv2")
    asked.modify_listener(
        ListenerArn=route.listener, DefaultActions=[{"Type": "forward", "TargetGroupArn": route.blue}]
    )
    (listener,) = asked.describe_listeners(ListenerArns=[route.listener])["Listeners"]
    (action,) = listener["DefaultActions"]
    assert action["TargetGroupArn"] == route.blue
    assert action["ForwardConfig"]["TargetGroups"] == [{"TargetGroupArn": route.blue, "Weight": 1}]


def test_one_unknown_listener_is_told(account: Account, shop: Service) -> None:
    """Otherwise a deleted listener is silently absent from an answer."""
    known = _route(shop).listener
    arns = [known, f"{known[:-16]}{'0' * 16}"]
    assert _refused(account.client("elbv2").describe_listeners, ListenerArns=arns)[0] == "ListenerNotFound"


@pytest.mark.parametrize("value", ['{"by": "ana"}', "x" * 257])
def test_tag_values_have_bounds(account: Account, shop: Service, value: str) -> None:
    """Otherwise a hold mark that AWS refuses is tested as if it were kept."""
    tagged = {"ResourceArns": [_route(shop).listener], "Tags": [{"Key": "mark", "Value": value}]}
    assert _refused(account.client("elbv2").add_tags, **tagged)[0] == "ValidationError"


def test_many_tags_are_kept_and_few_resources_read(account: Account, shop: Service) -> None:
    """Otherwise moto's own bound of ten tags, and none for reading, are what we build for."""
    route, asked = _route(shop), account.client("elbv2")
    tags = [{"Key": f"key-{number}", "Value": "é + - = . _ : / @ 1"} for number in range(50)]
    asked.add_tags(ResourceArns=[route.listener], Tags=tags)
    (told,) = asked.describe_tags(ResourceArns=[route.listener])["TagDescriptions"]
    assert len(told["Tags"]) == 50
    one_more = [{"Key": "more", "Value": ""}]
    assert _refused(asked.add_tags, ResourceArns=[route.listener], Tags=one_more)[0] == "TooManyTags"
    assert _refused(asked.describe_tags, ResourceArns=[route.listener] * 21)[0] == "ValidationError"
    assert _refused(asked.describe_tags, ResourceArns=[f"{route.listener[:-16]}{'0' * 16}"])[0] == "ListenerNotFound"


# ---- targets --------------------------------------------------------------------------------------------------


def test_targets_of_no_listener_are_unused(account: Account, shop: Service) -> None:
    """Otherwise a standby that no rule names turns healthy in tests, and never in the account."""
    route, asked = _route(shop), account.client("elbv2")
    (one, _) = _ids(account)
    asked.register_targets(TargetGroupArn=route.green, Targets=[{"Id": one}])
    assert [_health(account, route.green) for _ in range(3)] == [{one: "unused"}] * 3
    asked.modify_listener(ListenerArn=route.listener, DefaultActions=_forward((route.blue, 100), (route.green, 0)))
    assert [_health(account, route.green) for _ in range(2)] == [{one: "initial"}, {one: "healthy"}]
    arns = asked.describe_target_groups(TargetGroupArns=[route.green])["TargetGroups"][0]["LoadBalancerArns"]
    assert arns == [account.balancer]


def test_who_left_is_no_target_and_who_came_is_one(account: Account, shop: Service) -> None:
    """Otherwise scaled-in hosts stay healthy, and replacements never join."""
    route, asked = _route(shop), account.client("autoscaling")
    first, second = _ids(account)
    account.client("ec2").terminate_instances(InstanceIds=[first])
    (new,) = set(_ids(account)) - {second}
    assert _health(account, route.blue) == {second: "healthy", new: "initial"}
    asked.set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=1)
    assert set(_health(account, route.blue)) == set(_ids(account))
    asked.detach_load_balancer_target_groups(AutoScalingGroupName="shop-blue", TargetGroupARNs=[route.blue])
    assert _health(account, route.blue) == {}


def test_a_group_registers_its_instances_once(account: Account, shop: Service) -> None:
    """Otherwise a target that somebody took out is put back by the next change of a size, in tests only."""
    route, asked = _route(shop), account.client("autoscaling")
    first, second = _ids(account)
    leave = account.client("elbv2").deregister_targets
    for _ in range(2):
        leave(TargetGroupArn=route.blue, Targets=[{"Id": first}])
    asked.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["AddToLoadBalancer"])
    asked.set_desired_capacity(AutoScalingGroupName="shop-blue", DesiredCapacity=3)
    assert set(_health(account, route.blue)) == {second}


def test_unknown_target_groups_are_not_attached(account: Account, shop: Service) -> None:
    """Otherwise a group keeps an attachment that never was."""
    asked = account.client("autoscaling")
    unknown = f"{_route(shop).green[:-16]}{'0' * 16}"
    for operation in ("attach_load_balancer_target_groups", "detach_load_balancer_target_groups"):
        call = getattr(asked, operation)
        code, _ = _refused(call, AutoScalingGroupName="shop-blue", TargetGroupARNs=[unknown])
        assert code == "ValidationError"
    assert unknown not in _group(account)["TargetGroupARNs"]


def test_a_target_group_has_one_balancer(account: Account, shop: Service) -> None:
    """Otherwise a set-up that AWS does not allow is what we test with."""
    asked = account.client("elbv2")
    made = asked.create_load_balancer(Name="second", Subnets=account.subnets, Type="application")
    code, _ = _refused(
        asked.create_listener,
        LoadBalancerArn=made["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=_forward((_route(shop).blue, 1)),
    )
    assert code == "TargetGroupAssociationLimit"


# ---- pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "api, operation, key, arguments",
    [
        ("elbv2", "describe_target_groups", "TargetGroups", {}),
        ("elbv2", "describe_listeners", "Listeners", {"LoadBalancerArn": "front"}),
        ("elbv2", "describe_load_balancers", "LoadBalancers", {}),
        ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", {}),
        ("autoscaling", "describe_policies", "ScalingPolicies", {}),
        ("autoscaling", "describe_tags", "Tags", {}),
        ("ec2", "describe_images", "Images", {"Owners": ["self"]}),
        ("ec2", "describe_launch_templates", "LaunchTemplates", {}),
        ("ec2", "describe_launch_template_versions", "LaunchTemplateVersions", {"LaunchTemplateName": "shop-blue"}),
    ],
)
def test_lists_come_in_pages(api: str, operation: str, key: str, arguments: dict[str, Any]) -> None:
    """Otherwise a missing paginator is only found in an account that is larger than ours."""
    with in_process() as account:
        account.service("shop", 1, on_demand=False)
        account.client("ec2").create_launch_template_version(
            LaunchTemplateName="shop-blue", SourceVersion="1", LaunchTemplateData={}
        )
        for name in ("cpu", "requests"):
            account.client("autoscaling").put_scaling_policy(
                AutoScalingGroupName="shop-blue",
                PolicyName=name,
                PolicyType="StepScaling",
                AdjustmentType="ChangeInCapacity",
                StepAdjustments=[{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
            )
        account.listener([(account.target_group("other"), 1)])
        account.client("elbv2").create_load_balancer(Name="second", Subnets=account.subnets, Type="application")
        given = {name: account.balancer if value == "front" else value for name, value in arguments.items()}
        asked = account.client(api)
        whole = getattr(asked, operation)(**given)[key]
        account.manner.page_size = 1
        assert len(whole) > 1 and len(getattr(asked, operation)(**given)[key]) == 1
        paged = [item for page in asked.get_paginator(operation).paginate(**given) for item in page[key]]
        assert paged == whole

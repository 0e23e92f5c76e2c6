"""Every permission of a rollout is asked for, or said not to have been: none is silently taken for granted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from providers.aws.permissions import actions, called_by_the_code, needed
from providers.aws.rights import BEFORE
from providers.aws.simulating import ONLY_ON_DEMAND, PATCHES
from providers.base import Service
from tests.aws.account import Account
from tests.aws.calls import Answer, Call, refusal_of
from tests.aws.shapes import SHAPES, shaped
from tests.aws.test_diagnose import ROLE, Found, Look, a_look, an_account, bad, says, simulated  # noqa: F401 - fixtures
from tests.aws.wire import Apply, Line, wire

HOOK_ROLE = "arn:aws:iam::123456789012:role/hooks"
ACTION = re.compile(r"[a-z]+[a-z0-9-]*:[A-Z][A-Za-z]+")


def service_of(account: Account, standby: str, shape: str = "plain") -> Service:
    """In order, but for what the shape brings."""
    made = account.service(on_demand=standby == "on_demand", account="123456789012", role=ROLE)
    account.test_rules(made)
    shaped(account, shape)
    return made


def wanted(role: Any) -> set[str]:
    """All that the role's policy, and those that go with it, allow."""
    return {action for action, _ in needed(role, called_by_the_code())}


def looked_at(line: Line) -> set[str]:
    """The actions that were really tried, run dry or simulated, as the calls on the wire tell."""
    found = set[str]()
    for call in line.calls:
        if call.operation == "SimulatePrincipalPolicy":
            found |= {*call.parameters["ActionNames"], "iam:SimulatePrincipalPolicy"}
        elif call.reads or call.parameters.get("DryRun") is True:
            found |= set(actions(call.name))
    if "ec2:RunInstances" in found:
        found.add("iam:PassRole")  # AWS judges it with the launch
    if "ec2:CreateLaunchTemplate" in found:
        found.add("ec2:CreateTags")  # and this one with the template's tags
    return found


def named(found: list[Found]) -> set[str]:
    """The actions that findings name as not looked at."""
    told = [text for _, text, _ in found if "not looked at" in text or "cannot be checked" in text]
    return {action for text in told for action in ACTION.findall(text)}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("standby", ["permanent", "on_demand"])
def test_no_action_of_the_policies_is_left_out(account: Account, look: Look, standby: str, shape: str) -> None:
    """A rollout stops at its third step for want of a permission that doctor never asked for, and called in order."""
    service = service_of(account, standby, shape)
    with wire(account) as line:
        found = look(service)
        seen = looked_at(line)
    assert not bad(found)
    assert wanted("bake") - seen - named(found) == set()
    assert not (seen & named(found)) - {"iam:PassRole", "ssm:SendCommand"}, (
        "what was looked at is not said to have been left out"
    )
    unneeded = {each for each in wanted("rollout") if each.startswith("kms:")} | {"elasticloadbalancing:ModifyRule"}
    unneeded |= ONLY_ON_DEMAND if standby == "permanent" else PATCHES
    bakes = {"ssm:SendCommand"}  # simulated for bake's own builder, too
    assert named(found) - bakes == unneeded - bakes


@pytest.mark.parametrize("standby", ["permanent", "on_demand"])
def test_each_denied_action_is_said(account: Account, look: Look, standby: str) -> None:
    """Doctor asks, and does not listen to the answer."""
    service, silent = service_of(account, standby), set[str]()
    operations = {action: call for call in called_by_the_code() for action in actions(call)}
    left_out = named(look(service)) | {"sts:GetCallerIdentity", "iam:PassRole", "ec2:CreateTags"}
    for action in sorted(wanted("rollout") - left_out):
        account.answers.give("iam", "SimulatePrincipalPolicy", simulated(frozenset({action})))
        with wire(account) as line:
            if action in operations:
                line.deny(operations[action])
            found = look(service)
        if not [each for each in bad(found) if each[2]]:
            silent.add(action)
    assert not silent


def test_a_launch_of_a_mixed_group_is_tried_with_its_own_type(account: Account, look: Look) -> None:
    """A mixed group's template is not looked at, or is tried with a type that it never launches."""
    service = service_of(account, "permanent", "mixed")
    with wire(account) as line:
        look(service)
        (launch,) = line.asked("RunInstances")
    assert launch.parameters["InstanceType"] == "t3.micro" and launch.parameters["LaunchTemplate"]["Version"] == "1"
    with wire(account) as line:
        line.deny("ec2.RunInstances")
        assert says(look(service), "problem", "ec2:RunInstances is not allowed")


def test_both_groups_are_asked_about_also_the_one_that_is_not_made_yet(account: Account, look: Look) -> None:
    """A role that may change the serving group only finds out when the standby is made."""
    service, asked = service_of(account, "on_demand"), set[tuple[str, str]]()
    every = simulated()

    def note(parameters: Any) -> Any:
        asked.update(
            (action, resource) for action in parameters["ActionNames"] for resource in parameters["ResourceArns"]
        )
        return every(parameters)

    account.answers.give("iam", "SimulatePrincipalPolicy", note)
    look(service)
    names = {
        resource.rpartition("/")[2] for action, resource in asked if action == "autoscaling:UpdateAutoScalingGroup"
    }
    assert names == {"shop-blue", "shop-green"}
    made = {resource.rpartition("/")[2] for action, resource in asked if action == "autoscaling:CreateAutoScalingGroup"}
    assert made == {"shop-green"}
    (arn,) = (resource for action, resource in asked if action == "autoscaling:DeleteAutoScalingGroup")
    assert arn.startswith("arn:aws:autoscaling:eu-central-1:123456789012:autoScalingGroup:")


def test_a_group_without_a_template_says_what_was_not_tried(account: Account, look: Look) -> None:
    """Doctor says nothing of launches where it could try none."""
    service = service_of(account, "permanent")
    account.client("elbv2").modify_listener(
        ListenerArn=service.options["routes"][0]["listener"],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "503"}}],
    )
    assert says(look(service), "warning", "ec2:RunInstances, iam:PassRole cannot be checked")


def test_keys_and_roles_of_what_is_copied_are_asked_about(account: Account, look: Look) -> None:
    """The first host of the new side cannot start, for want of its volume's key; or its hook is refused."""
    service = service_of(account, "on_demand")
    key = account.client("kms").create_key()["KeyMetadata"]["Arn"]
    volumes = [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "KmsKeyId": key}}]
    ec2, auto = account.client("ec2"), account.client("autoscaling")
    data = {"ImageId": account.images["base-1"], "InstanceType": "t3.micro", "BlockDeviceMappings": volumes}
    ec2.create_launch_template_version(LaunchTemplateName="shop-blue", LaunchTemplateData=data)
    auto.update_auto_scaling_group(
        AutoScalingGroupName="shop-blue", LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "2"}
    )
    auto.put_lifecycle_hook(
        AutoScalingGroupName="shop-blue",
        LifecycleHookName="warm",
        LifecycleTransition="autoscaling:EC2_INSTANCE_LAUNCHING",
        RoleARN=HOOK_ROLE,
        NotificationTargetARN="arn:aws:sns:eu-central-1:123456789012:ops",
    )
    assert not [each for each in named(look(service)) if each.startswith("kms:")]
    for action, where in (("kms:CreateGrant", key), ("iam:PassRole", HOOK_ROLE)):
        account.answers.give("iam", "SimulatePrincipalPolicy", simulated(frozenset({action})))
        assert says(look(service), "problem", f"{action} on {where} is not allowed")
    account.answers.give("iam", "SimulatePrincipalPolicy", simulated())
    with wire(account) as line:
        line.deny("kms.DescribeKey")
        found = look(service)
    assert says(found, "problem", "kms describe_key") and any(
        "kms:CreateGrant (its keys cannot" in each[1] for each in found
    )


def test_what_only_in_place_needs_is_a_warning(account: Account, look: Look) -> None:
    """Who never patches in place is told that a rollout cannot work."""
    service = service_of(account, "permanent")
    account.answers.give("iam", "SimulatePrincipalPolicy", simulated(frozenset({"ec2:RebootInstances"})))
    (found,) = bad(look(service))
    assert found[0] == "warning" and "ec2:RebootInstances on arn:aws:ec2:" in found[1] and "in place" in found[2]


def test_what_only_bake_needs_is_said_and_is_no_trouble(account: Account, look: Look) -> None:
    """Who bakes finds out in the middle of it; who does not is told of a problem that is none."""
    service = service_of(account, "permanent")
    account.answers.give("iam", "SimulatePrincipalPolicy", simulated(frozenset({"ec2:CreateImage"})))
    found = look(service)
    assert not bad(found)
    assert any("`rollout bake` could not be used" in text and "ec2:CreateImage" in text for _, text, _ in found)


@pytest.mark.parametrize("standby", ["permanent", "on_demand"])
def test_what_iam_cannot_be_asked_is_named(account: Account, look: Look, standby: str) -> None:
    """Doctor says that something was not checked, and nobody knows what."""
    service = service_of(account, standby)
    with wire(account) as line:
        line.deny("SimulatePrincipalPolicy")
        found = look(service)
        tried = looked_at(line) - {
            action for call in line.asked("SimulatePrincipalPolicy") for action in call.parameters["ActionNames"]
        }
    assert wanted("bake") - tried - BEFORE - named(found) == set()
    assert "elasticloadbalancing:ModifyListener" in named(found)


def test_a_look_that_iam_breaks_off_names_only_what_is_left(account: Account, look: Look) -> None:
    """What was found out is forgotten, or what was not is called in order."""
    service, word = service_of(account, "permanent"), simulated(frozenset({"elasticloadbalancing:ModifyListener"}))
    account.answers.give("iam", "SimulatePrincipalPolicy", word)
    with wire(account) as line:
        refuse_for(line, lambda resource: "autoScalingGroup" in resource)
        found = look(service)
    assert says(found, "problem", "elasticloadbalancing:ModifyListener on arn:")
    assert says(found, "warning", "autoscaling:SetDesiredCapacity")
    assert "elasticloadbalancing:ModifyListener" not in named(found)


def refuse_for(line: Line, which: Callable[[str], bool]) -> None:
    """IAM fails at what is asked about these resources."""

    def some(call: Call, apply: Apply) -> Answer:
        return refusal_of(call, "InternalFailure", "", 500) if which(call.parameters["ResourceArns"][0]) else apply()

    line.plan("SimulatePrincipalPolicy", some, 1_000_000)

"""Doctor on AWS: each thing that would stop a rollout is found before it begins, and said with what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from providers.aws.adapter import diagnose
from providers.aws.options import Options
from providers.aws.simulating import principal_of
from providers.base import Context, Service, plain
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process
from tests.aws.wire import wire

Found = tuple[str, str, str]
Look = Callable[[Service], list[Found]]


def simulated(denied: frozenset[str] = frozenset()) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """IAM's word on what a role may do."""

    def answer(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "EvaluationResults": [
                {"EvalActionName": name, "EvalDecision": "implicitDeny" if name in denied else "allowed"}
                for name in asked["ActionNames"]
            ],
            "IsTruncated": False,
        }

    return answer


@pytest.fixture(name="account")
def an_account() -> Iterator[Account]:
    """An account where IAM answers what it is asked."""
    with in_process() as made:
        made.answers.give("iam", "SimulatePrincipalPolicy", simulated())
        yield made


@pytest.fixture(name="look")
def a_look(tmp_path: Path) -> Look:
    """Doctor's look at a service."""
    return lambda service: diagnose(Context(tmp_path, tmp_path, VirtualClock()), service)


def good(account: Account, **more: Any) -> Service:
    """A permanent pair with all that it needs."""
    service = account.service(on_demand=False, account="123456789012", role=ROLE, **more)
    account.test_rules(service)
    return service


ROLE = "arn:aws:iam::123456789012:role/rollout"


def changed(service: Service, **options: Any) -> Service:
    """The service with other options."""
    return Service(service.name, plain(Options.of(Service(service.name, {**service.options, **options}))))


def bad(found: list[Found]) -> list[Found]:
    """What is not in order."""
    return [each for each in found if each[0] != "ok"]


def says(found: list[Found], level: str, text: str) -> bool:
    """Is there a finding of that level with these words, and with something to do?"""
    return any(each[0] == level and text in each[1] and each[2] for each in found)


def test_a_good_service_is_in_order_and_says_as_whom(account: Account, look: Look) -> None:
    """Doctor cries wolf, and nobody reads it."""
    found = look(good(account))
    assert bad(found) == []
    assert "assumed-role/rollout" in found[0][1] and "credentials from assume-role, until" in found[0][1]


def test_doctor_changes_nothing(account: Account, look: Look) -> None:
    """A look at production changes production."""
    service = good(account)
    with wire(account) as line:
        look(service)
        writes = [call for call in line.writes if call.operation not in ("AssumeRole", "SimulatePrincipalPolicy")]
        assert {call.operation for call in writes} == {"CreateLaunchTemplateVersion", "RunInstances", "CreateTags"}
        assert all(call.parameters["DryRun"] is True for call in writes)


def test_options_that_are_wrong_are_said(look: Look) -> None:
    """Doctor breaks on what it should find."""
    assert says(
        look(Service("shop", {"region": "nowhere", "blue": "a", "green": "b", "routes": []})), "problem", "region"
    )
    assert says(look(Service("shop", {})), "problem", "routes")


def test_lost_credentials_are_one_finding_with_the_command(account: Account, look: Look) -> None:
    """Forty findings, and none of them is the reason."""
    service = good(account)
    with wire(account) as line:
        line.expire()
        (found,) = look(service)
    assert found[0] == "problem" and "log in" in found[1] and found[2]


def test_another_account_and_none_at_all_are_said(account: Account, look: Look) -> None:
    """A rollout begins in the account of whoever logged in last."""
    service = good(account)
    (found,) = look(changed(service, account="999999999999"))
    assert "999999999999" in found[1]
    assert says(look(changed(service, account="")), "warning", "no account is declared")


def test_a_region_that_is_not_known_is_said(account: Account, look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt region is a time-out somewhere far away."""
    monkeypatch.setattr("providers.aws.cloud.Cloud.regions", lambda self: ["us-east-1"])
    assert says(look(good(account)), "warning", "does not know a region")


def test_absent_groups_are_said(account: Account, look: Look) -> None:
    """The rollout finds out after it was approved."""
    service = good(account)
    assert says(look(changed(service, green="not-there")), "problem", "no Auto Scaling group not-there (green)")
    on_demand = changed(service, green="not-there", standby="on_demand")
    assert not says(look(on_demand), "problem", "not-there")
    assert says(look(changed(service, blue="x", green="y")), "problem", "no Auto Scaling group x (blue)")
    assert says(look(changed(service, blue="x", standby="on_demand")), "problem", "blue has all traffic and no")


def test_a_template_that_is_not_pinned_is_said(account: Account, look: Look) -> None:
    """A new version for the standby changes what serves."""
    service = good(account)
    for version, level in (("$Latest", "problem"), ("$Default", "warning")):
        account.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName="shop-blue", LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": version}
        )
        assert says(look(service), level, version)


def test_a_serving_group_without_its_target_group_is_said(account: Account, look: Look) -> None:
    """Hosts that replace dead ones never get traffic."""
    service = good(account)
    account.client("autoscaling").detach_load_balancer_target_groups(
        AutoScalingGroupName="shop-blue", TargetGroupARNs=[service.options["routes"][0]["blue"]]
    )
    assert says(look(service), "problem", "not attached to targetgroup/shop-blue")


def test_a_standby_that_cannot_grow_enough_is_said(account: Account, look: Look) -> None:
    """The standby stops growing half-way."""
    service = good(account)
    account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="shop-green", MinSize=0, MaxSize=1)
    assert says(look(service), "warning", "1 hosts at most")


def test_target_groups_are_looked_at(account: Account, look: Look) -> None:
    """Nothing ever turns healthy, and nobody sees why."""
    service = good(account)
    other_network = account.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    stray = account.client("elbv2").create_target_group(
        Name="stray", Protocol="HTTP", Port=80, VpcId=other_network, TargetType="ip"
    )["TargetGroups"][0]["TargetGroupArn"]
    route = {**service.options["routes"][0], "green": stray}
    found = look(changed(service, routes=[route]))
    assert says(found, "problem", "is of network") and says(found, "problem", "type ip")
    gone = {**route, "green": stray.replace("stray/", "gone/")}
    assert says(look(changed(service, routes=[gone])), "problem", "gone")


def test_a_listener_that_is_gone_is_said(account: Account, look: Look) -> None:
    """Traffic cannot be moved, and the first step finds it."""
    service = good(account)
    account.client("elbv2").delete_listener(ListenerArn=service.options["routes"][0]["listener"])
    assert says(look(service), "problem", "does not exist") or says(look(service), "problem", "not found")


def test_the_way_in_is_looked_at(account: Account, look: Look) -> None:
    """The proof asks the side that serves, and passes."""
    service = account.service(on_demand=False, account="123456789012", role=ROLE)
    assert says(look(service), "problem", "X-Rollout-Slot: green")
    assert says(look(changed(service, test_url="http://front.internal:1")), "warning", "no listener")
    assert says(look(changed(service, test_url="")), "warning", "no way in")
    urls = {"blue": "http://a", "green": "http://b"}
    assert bad(look(changed(service, test_url="", test_urls=urls))) == []


@pytest.mark.parametrize("operation", ["DescribeAutoScalingGroups", "DescribeAlarms", "elbv2.DescribeTargetHealth"])
def test_a_read_that_is_denied_is_said(account: Account, look: Look, operation: str) -> None:
    """A rollout stops at its third step for want of a permission."""
    service = good(account)
    with wire(account) as line:
        line.deny(operation)
        assert any(each[0] == "problem" and "docs/aws/policies" in each[2] for each in look(service))


@pytest.mark.parametrize("operation", ["ec2.RunInstances", "ec2.CreateLaunchTemplateVersion"])
def test_a_launch_that_is_denied_is_said(account: Account, look: Look, operation: str) -> None:
    """A rollout stops at its third step for want of a permission."""
    service = good(account)
    with wire(account) as line:
        line.deny(operation)
        assert says(look(service), "problem", operation.replace(".", ":") + " is not allowed")
    with wire(account) as line:
        line.error(operation)
        assert says(look(service), "warning", "cannot be checked")


def test_a_side_that_replaces_nobody_is_said(account: Account, look: Look) -> None:
    """Hosts of a side that was patched in place are lost one by one, and nobody is told."""
    service, auto = good(account), account.client("autoscaling")
    held = {"ResourceId": "shop-blue", "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    auto.create_or_update_tags(Tags=[{**held, "Key": "rollout-manager:suspended", "Value": "AZRebalance Launch"}])
    assert not bad(look(service))
    auto.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["AZRebalance", "Launch"])
    assert says(look(service), "warning", "shop-blue (blue) serves, patched in place, and launches nobody")


@pytest.mark.parametrize(
    "action",
    [
        "elasticloadbalancing:ModifyListener",
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:DeregisterTargets",
        "autoscaling:UpdateAutoScalingGroup",
    ],
)
def test_a_write_that_is_denied_is_said(account: Account, look: Look, action: str) -> None:
    """Traffic cannot be put back."""
    service = good(account)
    account.answers.give("iam", "SimulatePrincipalPolicy", simulated(frozenset({action})))
    assert says(look(service), "problem", f"{action} on arn:")


def test_what_cannot_be_checked_is_said_to_be_so(account: Account, look: Look) -> None:
    """Doctor calls in order what it never looked at."""
    service = good(account)
    with wire(account) as line:
        line.deny("SimulatePrincipalPolicy")
        found = bad(look(service))
    assert len(found) == 1 and says(found, "warning", "cannot be checked")


@pytest.mark.parametrize(
    "caller, role, principal",
    [
        ("arn:aws:sts::123456789012:assumed-role/ops/me", "", "arn:aws:iam::123456789012:role/ops"),
        ("arn:aws:sts::123456789012:assumed-role/ops/me", ROLE, ROLE),
        ("arn:aws-cn:sts::123456789012:assumed-role/ops/me", "", "arn:aws-cn:iam::123456789012:role/ops"),
        ("arn:aws:iam::123456789012:user/me", "", "arn:aws:iam::123456789012:user/me"),
        ("arn:aws:iam::123456789012:root", "", ""),
    ],
)
def test_the_policies_of_whoever_calls_are_asked_for(caller: str, role: str, principal: str) -> None:
    """The permissions of somebody else are in order."""
    assert principal_of(caller, role) == principal

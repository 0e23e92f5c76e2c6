"""Which permissions a role lacks for a rollout: tried without doing anything, else asked, else said to be unknown.

Reads were made by whoever looked before. EC2 tells by a dry run; for the rest AWS can simulate the role's policies,
if the role may ask for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.errors import code_of
from providers.aws.grants import OWNER
from providers.aws.groups import Group
from providers.aws.options import Options
from providers.aws.permissions import called_by_the_code, needed
from providers.base import SLOTS, Denied, ProviderError

Found = tuple[str, str, str]

WORKS = "DryRunOperation"
ASSUMED = re.compile(r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d+):assumed-role/(?P<name>[^/]+)/.*")
POLICY = "give the role the policy docs/aws/policies/rollout.json"
ASK = "AskWhatThisRoleMayDo"


def missing(cloud: Cloud, options: Options, serving: Group | None) -> list[Found]:
    """What the role may not do, and what cannot be told. `serving` is the group that a copy would be made of."""
    found = [*_reads(cloud, options), *(_dry_runs(cloud, serving) if serving else [])]
    return [*found, *_simulated(cloud, options, serving)]


def _reads(cloud: Cloud, options: Options) -> Iterator[Found]:
    """What only a rollout reads; each is made once, as small as it can be."""
    group, targets = options.blue, options.target_groups("blue")[0]
    asked: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("ec2", "describe_instances", {"MaxResults": 5}),
        ("ec2", "describe_images", {"Owners": ["self"], "MaxResults": 5}),
        ("ec2", "describe_instance_status", {"MaxResults": 5}),
        ("elbv2", "describe_target_health", {"TargetGroupArn": targets}),
        ("elbv2", "describe_tags", {"ResourceArns": [options.routes[-1].resource]}),
        ("autoscaling", "describe_policies", {"AutoScalingGroupName": group, "MaxRecords": 1}),
        ("cloudwatch", "describe_alarms", {"MaxRecords": 1}),
    )
    for api, operation, arguments in asked:
        try:
            cloud.read(api, operation, **arguments)
        except Denied as error:
            yield "problem", str(error), POLICY
        except ProviderError as error:
            yield "warning", f"cannot be checked: {error}", "try again"


def _dry_runs(cloud: Cloud, serving: Group) -> Iterator[Found]:
    """Would EC2 let the role add a template version, and launch from it (with its role, key and tags)?"""
    template = serving.get("LaunchTemplate")
    if not template:
        return
    named = {"LaunchTemplateId": template["LaunchTemplateId"]}
    version = template.get("Version", "$Default")
    subnet = serving.get("VPCZoneIdentifier", "").split(",")[0]
    launch = {"LaunchTemplate": {**named, "Version": version}, "MinCount": 1, "MaxCount": 1}
    if subnet:
        launch["SubnetId"] = subnet
    asked: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("ec2:CreateLaunchTemplateVersion", "create_launch_template_version", {**named, "LaunchTemplateData": {}}),
        ("ec2:RunInstances", "run_instances", launch),
    )
    for action, operation, arguments in asked:
        try:
            cloud.read("ec2", operation, DryRun=True, **arguments)
        except Denied as error:
            yield "problem", f"{action} is not allowed: {error}", f"{POLICY}; it names what a launch needs besides"
        except ProviderError as error:
            if code_of(error) != WORKS:
                yield "warning", f"{action} cannot be checked: {error}", "see the message; nothing was done"


def _simulated(cloud: Cloud, options: Options, serving: Group | None) -> Iterator[Found]:
    """Traffic, targets and groups, on the very resources that the service names."""
    principal = principal_of(cloud.caller()["Arn"], cloud.place.role)
    wanted = {action for action, _ in needed("rollout", called_by_the_code())}
    traffic = sorted(each for each in wanted if re.match("elasticloadbalancing:(Modify|AddTags|RemoveTags)", each))
    targets = sorted(each for each in wanted if re.match("elasticloadbalancing:(Register|Deregister)", each))
    hosts = sorted(each for each in wanted if re.match("autoscaling:(?!Describe)", each))
    resources = [route.resource for route in options.routes]
    asked: list[tuple[Sequence[str], str]] = [
        (_of_resource(traffic, resource), resource) for resource in dict.fromkeys(resources)
    ]
    asked += [(targets, arn) for slot in SLOTS for arn in options.target_groups(slot)]
    if serving:
        asked.append((hosts, serving["AutoScalingGroupARN"]))
    if not principal:
        return
    try:
        for actions, resource in asked:
            for action, decision in _ask(cloud, principal, actions, resource):
                if decision != "allowed":
                    yield "problem", f"{action} on {resource} is not allowed ({decision})", POLICY
    except ProviderError as error:
        text = f"what {principal} may change cannot be checked: {error}"
        yield "warning", text, f"allow it iam:SimulatePrincipalPolicy on itself (statement {ASK}), or try a rollout"


def principal_of(caller: str, role: str) -> str:
    """Whose policies are simulated; empty for one who may do everything (root) or is no role and no user."""
    if role:
        return role
    if match := ASSUMED.fullmatch(caller):
        return f"arn:{match['partition']}:iam::{match['account']}:role/{match['name']}"
    return caller if ":user/" in caller else ""


def _of_resource(actions: Iterable[str], resource: str) -> list[str]:
    kind = "ModifyRule" if ":listener-rule/" in resource else "ModifyListener"
    return [each for each in actions if "Modify" not in each or each.endswith(f":{kind}")]


def _ask(cloud: Cloud, principal: str, actions: Sequence[str], resource: str) -> Iterator[tuple[str, str]]:
    if not actions:
        return
    answer: Mapping[str, Any] = cloud.read(
        "iam",
        "simulate_principal_policy",
        PolicySourceArn=principal,
        ActionNames=list(actions),
        ResourceArns=[resource],
        ContextEntries=[
            _entry(f"aws:ResourceTag/{OWNER}", "rollout-manager/any"),
            _entry(f"aws:RequestTag/{OWNER}", "rollout-manager/any"),
            {**_entry("aws:TagKeys", OWNER), "ContextKeyType": "stringList"},
        ],
        MaxItems=1000,
    )
    for each in answer["EvaluationResults"]:
        yield each["EvalActionName"], each["EvalDecision"]


def _entry(key: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}

"""What IAM says of a role's own policies, for what can be tried by no call that changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.grants import OWNER
from providers.aws.looking import IMAGE, Looked
from providers.base import SLOTS, ProviderError

ASSUMED = re.compile(r"arn:(?P<partition>aws[a-z-]*):sts::(?P<account>\d+):assumed-role/(?P<name>[^/]+)/.*")
PATCHES = frozenset({"ssm:SendCommand", "ec2:RebootInstances"})
"""Only patches that are installed on hosts need these."""
ONLY_ON_DEMAND = frozenset(
    {
        "autoscaling:CreateAutoScalingGroup",
        "autoscaling:DeleteAutoScalingGroup",
        "ec2:CreateLaunchTemplate",
        "ec2:DeleteLaunchTemplate",
    }
)
Pairs = Mapping[str, list[str]]


def principal_of(caller: str, role: str) -> str:
    """Whose policies are simulated; empty for one who may do everything (root) or is no role and no user."""
    if role:
        return role
    if match := ASSUMED.fullmatch(caller):
        return f"arn:{match['partition']}:iam::{match['account']}:role/{match['name']}"
    return caller if ":user/" in caller else ""


class Places:
    """The very resources of a service that an action is simulated on; made up only where there is none yet."""

    def __init__(self, look: Looked) -> None:
        self._look, cloud = look, look.cloud
        partition, place = cloud.caller()["Arn"].split(":")[1], f"{cloud.place.region}:{cloud.account}"
        self._partition, self._place, self._region = partition, place, cloud.place.region

    def unneeded(self, action: str) -> str:
        """Why it is not asked for: mostly, because nothing of this service needs it; empty where something may."""
        look = self._look
        if action in ONLY_ON_DEMAND and not look.on_demand:
            return "standby: permanent"
        if action in PATCHES and look.on_demand:
            return "in-place needs standby: permanent"
        if action.startswith("kms:") and not look.key_arns:
            return "its keys cannot be read" if look.keys else "the launch template names no key"
        if action.endswith((":ModifyRule", ":ModifyListener")) and not self.of(action):
            return "no route is one"
        return ""

    def of(self, action: str) -> list[str]:
        """Their ARNs."""
        api, name = action.split(":")
        look, options = self._look, self._look.options
        if api == "elasticloadbalancing":
            if name.endswith("Targets"):
                return [arn for slot in SLOTS for arn in options.target_groups(slot)]
            every = dict.fromkeys(route.resource for route in options.routes)
            return [arn for arn in every if "Modify" not in name or name.endswith(_kind(arn))]
        if api == "autoscaling" and not name.startswith("Describe"):
            both = [look.standby] if action in ONLY_ON_DEMAND else [options.group(slot) for slot in SLOTS]
            return [self._group(each) for each in both]
        if api == "kms":
            return look.key_arns
        return {
            "ec2:CreateTags": [self._host],
            "ec2:GetConsoleOutput": [self._host],
            "ec2:RebootInstances": [self._host],
            "ec2:DeleteLaunchTemplate": [self._own("ec2:launch-template/lt-0123456789abcdef0")],
            "ssm:SendCommand": [self._host, self._public("ssm:document/AWS-RunPatchBaseline")],
            "ssm:GetParameters": [self._parameter],
            "ec2:CreateImage": [self._host],
            "ec2:TerminateInstances": [self._host],
            "ec2:DeregisterImage": [self._public("ec2:image/ami-0123456789abcdef0")],
        }.get(action, ["*"])

    @property
    def of_a_builder(self) -> list[str]:
        return [self._host]

    @property
    def _host(self) -> str:
        return self._own(f"ec2:instance/{next(iter(self._look.hosts), 'i-0123456789abcdef0')}")

    @property
    def _parameter(self) -> str:
        """The one that the template's image is, if it is one."""
        image = str(self._look.template.get("ImageId", ""))
        path = image.removeprefix("resolve:ssm:").partition(":")[0] if image.startswith("resolve:ssm:/") else IMAGE
        return (self._public if path.startswith("/aws/service/") else self._own)(f"ssm:parameter{path}")

    def _group(self, name: str) -> str:
        if group := self._look.groups.get(name):
            return str(group["AutoScalingGroupARN"])
        return self._own(
            f"autoscaling:autoScalingGroup:00000000-0000-0000-0000-000000000000:autoScalingGroupName/{name}"
        )

    def _own(self, what: str) -> str:
        """Of this account: `api:resource` as an ARN."""
        api, _, resource = what.partition(":")
        return f"arn:{self._partition}:{api}:{self._place}:{resource}"

    def _public(self, what: str) -> str:
        """Of AWS's own, or of no account."""
        api, _, resource = what.partition(":")
        return f"arn:{self._partition}:{api}:{self._region}::{resource}"


def _kind(resource: str) -> str:
    return "ModifyRule" if ":listener-rule/" in resource else "ModifyListener"


class Simulation:
    """One principal's policies; `trouble` once IAM could not be asked, and `asked` what it was asked before."""

    def __init__(self, cloud: Cloud, principal: str, group: str) -> None:
        self._cloud, self._principal, self._group = cloud, principal, group
        self.asked: set[str] = set()
        self.trouble: ProviderError | None = None

    def refused(self, wanted: Pairs) -> Iterator[tuple[str, str, str]]:
        """Action, resource and IAM's word for each that is not allowed; `wanted` has the resources of each action."""
        by_resource: dict[str, list[str]] = {}
        for action, resources in wanted.items():
            for resource in resources:
                by_resource.setdefault(resource, []).append(action)
        late = set[str]()
        for resource, actions in by_resource.items():
            try:
                found = list(self._ask(actions, resource))
            except ProviderError as error:
                self.trouble = self.trouble or error
                late.update(actions)
                continue
            self.asked.update(actions)
            yield from ((action, resource, decision) for action, decision in found if decision != "allowed")
        self.asked -= late

    def _ask(self, actions: list[str], resource: str) -> Iterator[tuple[str, str]]:
        answer: Mapping[str, Any] = self._cloud.read(
            "iam",
            "simulate_principal_policy",
            PolicySourceArn=self._principal,
            ActionNames=sorted(actions),
            ResourceArns=[resource],
            ContextEntries=[
                _entry(f"aws:ResourceTag/{OWNER}", "rollout-manager/any"),
                _entry(f"aws:RequestTag/{OWNER}", "rollout-manager/any"),
                _entry("aws:ResourceTag/aws:autoscaling:groupName", self._group),
                _entry("ec2:CreateAction", "RunInstances"),
                _entry("iam:PassedToService", "autoscaling.amazonaws.com"),
                {**_entry("kms:GrantIsForAWSResource", "true"), "ContextKeyType": "boolean"},
                {**_entry("aws:TagKeys", OWNER), "ContextKeyType": "stringList"},
            ],
            MaxItems=1000,
        )
        for each in answer["EvaluationResults"]:
            yield each["EvalActionName"], each["EvalDecision"]


def _entry(key: str, value: str) -> dict[str, Any]:
    return {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}

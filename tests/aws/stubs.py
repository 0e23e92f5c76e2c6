"""What moto lacks and the product asks for, answered from what a test fills in.

Each answer is checked against botocore's model of the service, and each request was checked by botocore.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.aws.calls import Answer, Call, answer_to, refusal_of

Made = Mapping[str, Any] | Callable[[Mapping[str, Any]], Mapping[str, Any]]
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """Raised by a made answer: the service refuses with this code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Answers:
    """By instance id: patch_states, patches, instances (SSM's word on the agent), inventory (packages as name →
    version), compliance. By group: activities, newest first. quotas by (service, code). coverage and findings of
    Inspector. `give` answers any other operation.

    Values have the members of AWS's answers; what AWS always gives is filled in.
    """

    patch_states: dict[str, dict[str, Any]] = field(default_factory=dict)
    patches: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    instances: dict[str, dict[str, Any]] = field(default_factory=dict)
    inventory: dict[str, dict[str, str]] = field(default_factory=dict)
    compliance: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    activities: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    quotas: dict[tuple[str, str], float] = field(default_factory=dict)
    coverage: list[dict[str, Any]] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)
    inventory_of: Callable[[str], Mapping[str, str] | None] = lambda instance: None
    """What an instance that `inventory` does not name has installed; None: SSM knows nothing of it."""
    captured_at: datetime | None = None
    """When the inventory was collected; None: a moment ago."""
    page_size: int = 50
    given: dict[str, Made] = field(default_factory=dict)

    def give(self, api: str, operation: str, made: Made) -> None:
        """Answer this operation (as AWS names it) with this, or with what this makes of the parameters."""
        self.given[f"{api}.{operation}"] = made

    def packages(self, instance: str) -> Mapping[str, str] | None:
        return self.inventory.get(instance) or self.inventory_of(instance)

    def answer(self, call: Call) -> Answer | None:
        """None: moto answers."""
        if call.name not in self.given and call.name not in BUILT_IN:
            return None
        try:
            if call.name in self.given:
                made = self.given[call.name]
                content = made(call.parameters) if callable(made) else made
            else:
                content = BUILT_IN[call.name](self, call.parameters)
        except Refused as refused:
            return refusal_of(call, refused.code, refused.message, refused.status)
        return answer_to(call, content)

    def page(self, items: list[Any], key: str, asked: Mapping[str, Any], named: str = "NextToken") -> dict[str, Any]:
        start = int(asked.get(named) or 0)
        end = start + self.page_size
        return {key: items[start:end]} | ({named: str(end)} if end < len(items) else {})


def _patch_states(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    always: dict[str, Any] = {"PatchGroup": "default", "BaselineId": "pb-0123456789abcdef0", "Operation": "Scan"}
    always |= {"OperationStartTime": MOMENT, "OperationEndTime": MOMENT}
    wanted = asked["InstanceIds"]
    if len(wanted) > 50:
        raise Refused("ValidationException", "InstanceIds: length must be less than or equal to 50")
    found = [
        {**always, "InstanceId": one, **answers.patch_states[one]} for one in wanted if one in answers.patch_states
    ]
    return answers.page(found, "InstancePatchStates", asked)


def _patches(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    always = {"Classification": "Security", "Severity": "Important", "InstalledTime": MOMENT}
    found = [
        {**always, "Title": one["KBId"], "State": "INSTALLED", **one}
        for one in answers.patches.get(asked["InstanceId"], [])
    ]
    for wanted in asked.get("Filters") or []:
        if wanted["Key"] == "State":
            found = [one for one in found if one["State"] in {_state(value) for value in wanted["Values"]}]
    return answers.page(found, "Patches", asked)


def _state(value: str) -> str:
    """`InstalledPendingReboot`, as filters write it, is INSTALLED_PENDING_REBOOT in answers."""
    return "".join(f"_{letter}" if letter.isupper() and at else letter for at, letter in enumerate(value)).upper()


def _instance_information(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    always = {
        "PingStatus": "Online",
        "AgentVersion": "3.3.0.0",
        "PlatformType": "Linux",
        "PlatformName": "Amazon Linux",
    }
    always |= {"PlatformVersion": "2023", "ResourceType": "EC2Instance"}
    found = [{"InstanceId": one, **always, **more} for one, more in answers.instances.items()]
    for wanted in asked.get("Filters") or []:
        if wanted["Key"] == "InstanceIds":
            named = [one for one in wanted["Values"] if one not in answers.instances and answers.packages(one)]
            found = [one for one in found if one["InstanceId"] in wanted["Values"]]
            found += [{"InstanceId": one, **always} for one in named]
    return answers.page(found, "InstanceInformationList", asked)


def _inventory_entries(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    instance, kind = asked["InstanceId"], asked["TypeName"]
    packages = answers.packages(instance)
    known = {"TypeName": kind, "InstanceId": instance}
    if packages is None or kind != "AWS:Application":
        return {**known, "Entries": []}
    always = {"Publisher": "Amazon Linux", "ApplicationType": "Unspecified", "Architecture": "x86_64", "Epoch": "0"}
    entries = []
    for name, version in packages.items():
        number, _, release = version.partition("-")
        entries.append({**always, "Name": name, "Version": number, **({"Release": release} if release else {})})
    return {
        **known,
        "SchemaVersion": "1.1",
        "CaptureTime": (answers.captured_at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **answers.page(entries, "Entries", asked),
    }


def _put_compliance(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    answers.compliance.setdefault(asked["ResourceId"], []).append(dict(asked))
    return {}


def _activities(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    name = asked.get("AutoScalingGroupName")
    groups = [name] if name else list(answers.activities)
    found = [
        {
            "ActivityId": f"activity-{group}-{number}",
            "AutoScalingGroupName": group,
            "Cause": "a difference between desired and actual capacity",
            "StartTime": MOMENT,
            "StatusCode": "Successful",
            **one,
        }
        for group in groups
        for number, one in enumerate(answers.activities.get(group, []))
    ]
    return answers.page(found, "Activities", asked)


def _quota(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    service, code = asked["ServiceCode"], asked["QuotaCode"]
    if (service, code) not in answers.quotas:
        raise Refused("NoSuchResourceException", f"{service} has no quota {code}")
    return {"Quota": _as_quota(service, code, answers.quotas[service, code])}


def _quotas(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    service = asked["ServiceCode"]
    found = [_as_quota(known, code, value) for (known, code), value in answers.quotas.items() if known == service]
    return answers.page(found, "Quotas", asked)


def _as_quota(service: str, code: str, value: float) -> dict[str, Any]:
    return {"ServiceCode": service, "QuotaCode": code, "QuotaName": code, "Value": value, "Unit": "None"}


def _coverage(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = {one["value"] for one in (asked.get("filterCriteria") or {}).get("resourceId") or []}
    found = [one for one in answers.coverage if not wanted or one["resourceId"] in wanted]
    return answers.page(found, "coveredResources", asked, "nextToken")


def _findings(answers: Answers, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    wanted = {one["value"] for one in (asked.get("filterCriteria") or {}).get("resourceId") or []}
    found = [
        one for one in answers.findings if not wanted or wanted & {resource["id"] for resource in one["resources"]}
    ]
    return answers.page(found, "findings", asked, "nextToken")


BUILT_IN: Mapping[str, Callable[[Answers, Mapping[str, Any]], Mapping[str, Any]]] = {
    "ssm.DescribeInstancePatchStates": _patch_states,
    "ssm.DescribeInstancePatches": _patches,
    "ssm.DescribeInstanceInformation": _instance_information,
    "ssm.ListInventoryEntries": _inventory_entries,
    "ssm.PutComplianceItems": _put_compliance,
    "ssm.GetDefaultPatchBaseline": lambda answers, asked: {"BaselineId": "pb-0123456789abcdef0"},
    "ssm.GetPatchBaselineForPatchGroup": lambda answers, asked: {"BaselineId": "pb-0123456789abcdef0"},
    "ssm.ListCommandInvocations": lambda answers, asked: {"CommandInvocations": []},
    "autoscaling.DescribeScalingActivities": _activities,
    "autoscaling.DescribeInstanceRefreshes": lambda answers, asked: {"InstanceRefreshes": []},
    "service-quotas.GetServiceQuota": _quota,
    "service-quotas.ListServiceQuotas": _quotas,
    "inspector2.ListCoverage": _coverage,
    "inspector2.ListFindings": _findings,
}

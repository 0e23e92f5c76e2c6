"""What doctor has of one service when it asks what a role may do, and the calls that it tries: reads, and dry runs.

A dry run is only ever of what adds something: what ends or restarts a host is never sent to one that serves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.grants import OWNER
from providers.aws.groups import OURS, Group
from providers.aws.options import Options
from providers.aws.outlook import template_specs
from providers.aws.permissions import actions, operations
from providers.aws.units import weights_of
from providers.base import Slot, other

Asked = tuple[str, str, Mapping[str, Any]]
"""An API, its operation in snake case, and the arguments."""

IMAGES = "/aws/service/ami-amazon-linux-latest"
IMAGE = f"{IMAGES}/al2023-ami-kernel-default-x86_64"
PERIOD_S = 60


@dataclass(frozen=True, slots=True)
class Looked:
    """`groups` are those that are there, by name; `active` is the slot with all traffic, if there is one."""

    cloud: Cloud
    options: Options
    groups: Mapping[str, Group]
    active: Slot | None
    template: dict[str, Any] = field(default_factory=dict)
    """The data of the serving group's launch template, once they were read."""
    key_arns: list[str] = field(default_factory=list)
    """Of the keys that the template names, once they were read."""

    @property
    def on_demand(self) -> bool:
        return self.options.standby == "on_demand"

    @property
    def serving(self) -> Group | None:
        return self.groups.get(self.options.group(self.active)) if self.active else None

    @property
    def standby(self) -> str:
        """The name of the group that does not serve, or that will be made."""
        return self.options.group(other(self.active)) if self.active else self.options.green

    @property
    def hosts(self) -> Sequence[str]:
        return [str(each["InstanceId"]) for each in (self.serving or {}).get("Instances", ())]

    @property
    def launches(self) -> Mapping[str, Any]:
        """Arguments that name the serving group's template, and its version; empty where it has none."""
        found = next(iter(template_specs(self.serving or {})), {})
        known = next((key for key in ("LaunchTemplateId", "LaunchTemplateName") if found.get(key)), "")
        return {known: found[known], "Version": found.get("Version") or "$Default"} if known else {}

    @property
    def kind(self) -> str:
        """The first instance type that a mixed group launches; empty where its template names it."""
        return next(filter(None, weights_of(self.serving or {})), "")

    @property
    def keys(self) -> list[str]:
        """The keys of its own that the template encrypts volumes with."""
        volumes = [each.get("Ebs", {}) for each in self.template.get("BlockDeviceMappings", ())]
        return sorted({str(each["KmsKeyId"]) for each in volumes if each.get("KmsKeyId")})


def reads(look: Looked) -> list[Asked]:
    """Every read of a rollout that doctor has not made before, as small as it can be."""
    options, group = look.options, look.options.group(look.active or "blue")
    route, targets = options.routes[-1], options.target_groups("blue")[0]
    now = look.cloud.clock.now()
    metric = {"Namespace": "AWS/ApplicationELB", "MetricName": "RequestCount"}
    figure = {"Id": "asked", "MetricStat": {"Metric": metric, "Period": PERIOD_S, "Stat": "Sum"}}
    some: dict[str, Any] = {"MaxResults": 5}  # as few as EC2 allows
    named = {"AutoScalingGroupName": group, "MaxRecords": 1}
    return [
        ("elbv2", "describe_rules", {"ListenerArn": route.listener, "PageSize": 1}),
        ("elbv2", "describe_load_balancers", {"PageSize": 1}),
        ("elbv2", "describe_target_groups", {"PageSize": 1}),
        ("elbv2", "describe_target_group_attributes", {"TargetGroupArn": targets}),
        ("elbv2", "describe_target_health", {"TargetGroupArn": targets}),
        ("elbv2", "describe_tags", {"ResourceArns": [route.resource]}),
        ("elbv2", "describe_account_limits", {"PageSize": 1}),
        ("autoscaling", "describe_policies", named),
        ("autoscaling", "describe_scheduled_actions", named),
        ("autoscaling", "describe_scaling_activities", named),
        ("autoscaling", "describe_instance_refreshes", named),
        ("autoscaling", "describe_lifecycle_hooks", {"AutoScalingGroupName": group}),
        ("autoscaling", "describe_notification_configurations", {"MaxRecords": 1}),
        ("ec2", "describe_instances", some),
        ("ec2", "describe_images", {"Owners": ["self"], **some}),
        ("ec2", "describe_instance_status", some),
        ("ec2", "describe_instance_types", {"InstanceTypes": [look.kind or "t3.micro"]}),
        ("ec2", "describe_snapshots", {"OwnerIds": ["self"], **some}),
        ("ec2", "describe_subnets", some),
        ("ec2", "describe_launch_templates", {"MaxResults": 1}),
        *_of_the_template(look),
        ("cloudwatch", "describe_alarms", {"MaxRecords": 1}),
        (
            "cloudwatch",
            "get_metric_data",
            {"MetricDataQueries": [figure], "StartTime": now - PERIOD_S, "EndTime": now},
        ),
        ("service-quotas", "get_service_quota", {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}),
        ("ssm", "describe_instance_information", some),
        ("ssm", "describe_parameters", {"MaxResults": 1}),
        ("ssm", "get_default_patch_baseline", {}),
        ("ssm", "get_patch_baseline_for_patch_group", {"PatchGroup": "rollout-manager"}),
        ("ssm", "list_commands", {"MaxResults": 1}),
        ("ssm", "list_command_invocations", {"MaxResults": 1}),
        ("ssm", "get_parameter", {"Name": IMAGE}),
        ("ssm", "get_parameters_by_path", {"Path": IMAGES, "MaxResults": 1}),
        *_of_a_host(look),
    ]


def _of_the_template(look: Looked) -> list[Asked]:
    named = dict(look.launches)
    if not named:
        return []
    return [("ec2", "describe_launch_template_versions", {"Versions": [named.pop("Version")], **named})]


def _of_a_host(look: Looked) -> list[Asked]:
    return [
        asked
        for host in look.hosts[:1]
        for asked in (
            ("ssm", "describe_instance_patch_states", {"InstanceIds": [host]}),
            ("ssm", "list_inventory_entries", {"InstanceId": host, "TypeName": "AWS:Application", "MaxResults": 1}),
        )
    ]


def reads_of_keys(look: Looked) -> list[Asked]:
    """Of the keys that the template's volumes have."""
    return [
        asked
        for key in look.keys
        for asked in (("kms", "describe_key", {"KeyId": key}), ("kms", "list_grants", {"KeyId": key, "Limit": 1}))
    ]


def dry_runs(look: Looked) -> list[Asked]:
    """Would EC2 let the role write a template, launch from it (with its role, key and tags), and mark hosts?"""
    made: list[Asked] = []
    named = dict(look.launches)
    version = named.pop("Version", "")
    if look.on_demand:
        ours = [{"Key": OWNER, "Value": "rollout-manager/any"}]
        tagged = {"TagSpecifications": [{"ResourceType": "launch-template", "Tags": ours}]}
        made.append(("ec2", "create_launch_template", {"LaunchTemplateName": look.standby, **EMPTY, **tagged}))
    if named:
        launch: dict[str, Any] = {"LaunchTemplate": {**named, "Version": version}, "MinCount": 1, "MaxCount": 1}
        if subnet := (look.serving or {}).get("VPCZoneIdentifier", "").split(",")[0]:
            launch["SubnetId"] = subnet
        if look.kind:
            launch["InstanceType"] = look.kind
        made += [
            ("ec2", "create_launch_template_version", {**named, **EMPTY}),
            ("ec2", "run_instances", launch),
        ]
    for host in look.hosts[:1]:
        made.append(("ec2", "get_console_output", {"InstanceId": host}))
        if not look.on_demand:
            made.append(
                ("ec2", "create_tags", {"Resources": [host], "Tags": [{"Key": f"{OURS}patched", "Value": "-"}]})
            )
    return made


EMPTY: Mapping[str, Any] = {"LaunchTemplateData": {}}


@cache
def _operations() -> Mapping[tuple[str, str], str]:
    from botocore import xform_name

    split = ((each, *each.split(".")) for each in operations())
    return {(api, xform_name(name)): each for each, api, name in split}


def action_of(api: str, operation: str) -> str:
    """IAM's name of what is asked."""
    return actions(_operations()[api, operation])[0]

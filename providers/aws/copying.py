"""A standby on demand: a faithful copy of a group, made in steps that can each be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.aws import suspensions
from providers.aws.cloud import Cloud, Writing
from providers.aws.fingerprint import shared_tags, warm_pool
from providers.aws.groups import CREATED, OWNER, Group, is_leaving, own_tags, owner_of, read_groups, tag
from providers.aws.naming import Naming
from providers.aws.options import Options
from providers.aws.templates import launching
from providers.base import Conflict, Invalid, Transient

COPIED = (
    "DefaultCooldown",
    "HealthCheckType",
    "HealthCheckGracePeriod",
    "PlacementGroup",
    "VPCZoneIdentifier",
    "TerminationPolicies",
    "NewInstancesProtectedFromScaleIn",
    "CapacityRebalance",
    "ServiceLinkedRoleARN",
    "MaxInstanceLifetime",
    "Context",
    "DesiredCapacityType",
    "DefaultInstanceWarmup",
    "InstanceMaintenancePolicy",
    "AvailabilityZoneDistribution",
    "AvailabilityZoneImpairmentPolicy",
    "CapacityReservationSpecification",
    "InstanceLifecyclePolicy",
)
"""Fields of a group that its copy is created with as they are."""
NOT_COPIED: Mapping[str, str] = {
    "AutoScalingGroupName": "the slot's own",
    "LaunchConfigurationName": "refused",
    "LaunchTemplate": "the copy has one of its own",
    "MixedInstancesPolicy": "as the source's, with the copy's own template",
    "InstanceId": "says what a group is made from",
    "MinSize": "0",
    "DesiredCapacity": "0",
    "MaxSize": "the source's",
    "AvailabilityZones": "follow from the subnets, else the source's",
    "AvailabilityZoneIds": "the same zones under another name",
    "LoadBalancerNames": "traffic is moved by its own contract",
    "TargetGroupARNs": "traffic is moved by its own contract",
    "TrafficSources": "traffic is moved by its own contract",
    "LifecycleHookSpecificationList": "hooks are put one by one",
    "DeletionProtection": "the copy has to be deleted again",
    "Tags": "the source's and ours",
    "SkipZonalShiftValidation": "says how a call is checked",
    "Operator": "another service's group is refused",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy to be made: into the group of this name, under this owner, by the write of this token."""

    name: str
    owner: str
    token: str
    naming: Naming


def raise_if_not_copyable(group: Group, options: Options) -> None:
    """Invalid where traffic comes some way that no declared route moves, or where a copy could not launch."""
    name = group["AutoScalingGroupName"]
    slot = options.slot_of(name)
    declared = set(options.target_groups(slot))
    sources = [each["Identifier"] for each in group.get("TrafficSources") or ()]
    reached = [*(group.get("TargetGroupARNs") or ()), *(group.get("LoadBalancerNames") or ()), *sources]
    if undeclared := sorted(set(reached) - declared):
        raise Invalid(
            f"{name} also has traffic from {', '.join(undeclared)}, which no route of the service names as {slot}'s; "
            "declare it, or detach it"
        )
    if "Launch" in suspensions.suspended_by_others(group):
        raise Invalid(f"{name} has its process Launch suspended: no host could be launched; resume it first")
    if (group.get("Operator") or {}).get("Principal"):
        raise Invalid(f"{name} is managed by {group['Operator']['Principal']}; only that can change it")


def creation(source: Group, copy: Copy, template: tuple[str, int]) -> dict[str, Any]:
    """Arguments of the call that creates the copy."""
    zones = {} if source.get("VPCZoneIdentifier") else {"AvailabilityZones": source.get("AvailabilityZones") or []}
    tags = [
        {**_key(copy.name, key), "Value": copy.naming.tag(key, each.get("Value", "")), "PropagateAtLaunch": spreads}
        for key, each in shared_tags(source).items()
        for spreads in (bool(each.get("PropagateAtLaunch")),)
    ]
    return {
        "AutoScalingGroupName": copy.name,
        **{key: source[key] for key in COPIED if source.get(key) not in (None, "", [], {})},
        **zones,
        **launching(source, *template),
        "MinSize": 0,
        "MaxSize": source["MaxSize"],
        "DesiredCapacity": 0,
        "Tags": [*tags, *own_tags(copy.name, {OWNER: copy.owner, CREATED: copy.token})],
    }


def create(cloud: Cloud, writing: Writing, wanted: Mapping[str, Any], copy: Copy) -> Group:
    """The copy as it is now: created, or created by an earlier try. Conflict where somebody else was first."""
    try:
        writing.call("autoscaling", "create_auto_scaling_group", **wanted)
    except Conflict as error:
        _raise_if_strange(_seen(cloud, copy.name), copy, error)
    return _seen(cloud, copy.name)


def renew(cloud: Cloud, writing: Writing, wanted: Mapping[str, Any], present: Group, copy: Copy) -> Group:
    """A group of ours from an earlier rollout, made what a new one would be."""
    settings = {key: value for key, value in wanted.items() if key != "Tags"}
    writing.call("autoscaling", "update_auto_scaling_group", **settings)
    keys = {each["Key"] for each in wanted["Tags"]}
    if stale := [_key(copy.name, key) for key in shared_tags(present) if key not in keys]:
        writing.call("autoscaling", "delete_tags", Tags=stale)
    writing.call("autoscaling", "create_or_update_tags", Tags=wanted["Tags"])
    return _seen(cloud, copy.name)


def follow(writing: Writing, source: Group, present: Group) -> None:
    """Metrics, suspended processes and warm pool as the source has them; the warm pool last, for it launches."""
    name = {"AutoScalingGroupName": present["AutoScalingGroupName"]}
    suspensions.follow(writing, source, present)
    _follow_metrics(writing, source, present, name)
    wanted, found = warm_pool(source), warm_pool(present)
    if wanted and wanted != found:
        writing.call("autoscaling", "put_warm_pool", **name, **wanted)
    elif found and not wanted:
        writing.call("autoscaling", "delete_warm_pool", **name, ForceDelete=True)


def _follow_metrics(writing: Writing, source: Group, present: Group, name: Mapping[str, str]) -> None:
    wanted, found = ({each["Metric"] for each in group.get("EnabledMetrics") or ()} for group in (source, present))
    if wanted - found:
        granularity = source["EnabledMetrics"][0]["Granularity"]
        more = {"Metrics": sorted(wanted - found), "Granularity": granularity}
        writing.call("autoscaling", "enable_metrics_collection", **name, **more)
    if found - wanted:
        writing.call("autoscaling", "disable_metrics_collection", **name, Metrics=sorted(found - wanted))


def _seen(cloud: Cloud, name: str) -> Group:
    found = read_groups(cloud, [name], leaving=True).get(name)
    if found is None:
        raise Transient(f"{name} was created a moment ago and is not shown yet")
    if is_leaving(found):
        raise Transient(f"{name} is still being deleted")
    return found


def _raise_if_strange(present: Group, copy: Copy, error: Exception) -> None:
    if owner_of(present) != copy.owner or tag(present, CREATED) != copy.token:
        name = present["AutoScalingGroupName"]
        raise Conflict(f"somebody else created {name} meanwhile; nothing was done to it") from error


def _key(name: str, key: str) -> dict[str, Any]:
    return {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": key}

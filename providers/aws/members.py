"""Who is, and who should be, in a slot's target groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from providers.aws.cloud import Cloud, Writing
from providers.aws.groups import Group
from providers.aws.targets import Listed, registered
from providers.base import Conflict, NotFound, Slot, Transient

ASIDE = ("Terminat", "Detach", "EnteringStandby", "Standby", "Warmed")
"""Beginnings of lifecycle states, such as Terminating:Wait."""
GONE = {"shutting-down", "terminated"}
FILTER_VALUES = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to change in each target group, by ARN."""

    register: Mapping[str, list[str]] = field(default_factory=dict)
    deregister: Mapping[str, list[str]] = field(default_factory=dict)

    def carry_out(self, writing: Writing) -> None:
        for operation, hosts in (("register_targets", self.register), ("deregister_targets", self.deregister)):
            for arn, ids in hosts.items():
                if ids:
                    writing.call("elbv2", operation, TargetGroupArn=arn, Targets=[{"Id": each} for each in ids])


def plan_exactly(cloud: Cloud, slot: Slot, group: Group, named: Iterable[str], listed: Mapping[str, Listed]) -> Plan:
    """These hosts as the targets of each target group, beside those that the group itself keeps in service: Auto
    Scaling registers a host once, and would not bring back one that came into service after the caller had looked.
    Members on their way out, or set aside, leave; so does who is gone.

    NotFound for a named host that never was; Transient for one that has left since the caller looked; Conflict for a
    host that runs as a target, or is named, and is not of the group.
    """
    wanted, members = sorted(set(named)), _members(group)
    there = {arn: registered(items) for arn, items in listed.items()}
    extras = set[str]().union(*there.values()) - set(wanted)
    unknown = (extras | set(wanted)) - members
    hosts = _hosts(cloud, unknown) if unknown else {}
    _raise_if_not_members(slot, group, wanted, members, hosts)
    if strangers := sorted(each for each in extras - members if _runs(hosts, each)):
        name = group["AutoScalingGroupName"]
        raise Conflict(
            f"{', '.join(strangers)}: a target of {slot} that runs and is not of its group {name}; "
            "take it out of the target group, or into the group"
        )
    stay = {each["InstanceId"] for each in group.get("Instances", ()) if not _is_aside(each)}
    return Plan(
        {arn: [each for each in wanted if each not in ids] for arn, ids in there.items()},
        {arn: sorted(ids - set(wanted) - stay) for arn, ids in there.items()},
    )


def plan_none(cloud: Cloud, group: Group | None, listed: Mapping[str, Listed]) -> Plan:
    """Nobody of the group, and nobody who is gone; a host that runs and is somebody else's stays."""
    there = {arn: registered(items) for arn, items in listed.items()}
    members = _members(group) if group else set()
    others = set[str]().union(*there.values()) - members
    hosts = _hosts(cloud, others) if others else {}
    keep = {each for each in others if _runs(hosts, each)}
    return Plan(deregister={arn: sorted(ids - keep) for arn, ids in there.items()})


def _is_aside(member: Mapping[str, Any]) -> bool:
    """Does Auto Scaling itself keep it from serving?"""
    return str(member.get("LifecycleState", "")).startswith(ASIDE)


def _members(group: Group) -> set[str]:
    return {each["InstanceId"] for each in group.get("Instances", ())}


def _raise_if_not_members(
    slot: Slot, group: Group, wanted: Sequence[str], members: set[str], hosts: Mapping[str, Mapping[str, Any]]
) -> None:
    absent = [each for each in wanted if each not in members]
    name = group["AutoScalingGroupName"]
    if never := [each for each in absent if each not in hosts]:
        raise NotFound(f"{slot} has no instance {', '.join(never)} in its group {name}")
    if foreign := [each for each in absent if _runs(hosts, each)]:
        raise Conflict(f"{', '.join(foreign)} runs, but is not of {slot}'s group {name}")
    if absent:
        raise Transient(f"{', '.join(absent)} has left {slot}'s group {name} meanwhile")


def _hosts(cloud: Cloud, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """By id; asked for by a filter, which is silent about those that do not exist."""
    asked = sorted(set(ids))
    found: dict[str, Mapping[str, Any]] = {}
    for at in range(0, len(asked), FILTER_VALUES):
        by_id = [{"Name": "instance-id", "Values": asked[at : at + FILTER_VALUES]}]
        for reservation in cloud.pages("ec2", "describe_instances", "Reservations", Filters=by_id):
            found |= {each["InstanceId"]: each for each in reservation["Instances"]}
    return found


def _runs(hosts: Mapping[str, Mapping[str, Any]], host: str) -> bool:
    return host in hosts and hosts[host]["State"]["Name"] not in GONE

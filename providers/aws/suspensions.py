"""Processes of a group that do not run: those that a person suspended, and, marked by a tag, those that we did."""

from __future__ import annotations

from collections.abc import Iterable

from providers.aws.cloud import Writing
from providers.aws.groups import SUSPENDED, Group, own_tags, tag


def suspended(group: Group) -> set[str]:
    """All of them."""
    return {each["ProcessName"] for each in group.get("SuspendedProcesses") or ()}


def suspended_by_us(group: Group) -> set[str]:
    return set((tag(group, SUSPENDED) or "").split())


def suspended_by_others(group: Group) -> set[str]:
    """Part of the group's configuration."""
    return suspended(group) - suspended_by_us(group)


def hold(writing: Writing, group: Group, processes: Iterable[str]) -> None:
    """Suspend exactly these ourselves. What somebody else suspended stays theirs; the tag is written before."""
    name = {"AutoScalingGroupName": group["AutoScalingGroupName"]}
    held, due = suspended_by_us(group), set(processes) - suspended_by_others(group)
    if held | due != held:
        marks = own_tags(group["AutoScalingGroupName"], {SUSPENDED: " ".join(sorted(held | due))})
        writing.call("autoscaling", "create_or_update_tags", Tags=marks)
    if due - suspended(group):
        writing.call("autoscaling", "suspend_processes", **name, ScalingProcesses=sorted(due - suspended(group)))
    if held - due:
        _resume(writing, group, held - due, due)


def follow(writing: Writing, source: Group, present: Group, keep: Iterable[str] = ()) -> None:
    """What a person suspended in the source is suspended; everything else runs, but for what is to be kept from it.
    Nothing is held by us any more."""
    name = {"AutoScalingGroupName": present["AutoScalingGroupName"]}
    wanted, found = suspended_by_others(source), suspended(present)
    if wanted - found:
        writing.call("autoscaling", "suspend_processes", **name, ScalingProcesses=sorted(wanted - found))
    if found - wanted - set(keep) or suspended_by_us(present):
        _resume(writing, present, found - wanted - set(keep), set())


def _resume(writing: Writing, group: Group, processes: set[str], still: set[str]) -> None:
    """The tag goes last: whoever is cut before finds what is to be resumed."""
    name = group["AutoScalingGroupName"]
    if processes:
        writing.call("autoscaling", "resume_processes", AutoScalingGroupName=name, ScalingProcesses=sorted(processes))
    if still:
        marks = own_tags(name, {SUSPENDED: " ".join(sorted(still))})
        writing.call("autoscaling", "create_or_update_tags", Tags=marks)
    elif suspended_by_us(group):
        key = {"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": SUSPENDED}
        writing.call("autoscaling", "delete_tags", Tags=[key])

"""Policies, scheduled actions, hooks and notifications of a copy: what is missing is put, what is too much removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.aws.cloud import Writing
from providers.aws.fingerprint import one_time
from providers.aws.groups import Group
from providers.aws.naming import Naming, tracked
from providers.aws.settings import Items, Settings
from providers.base import Invalid

ANSWERED_ONLY = {"PolicyARN", "Alarms", "ScheduledActionARN", "Time", "GlobalTimeout"}
"""What AWS tells of these and does not take back."""
Wanted = dict[str, dict[str, Any]]


def raise_if_not_copyable(source: Group, settings: Settings) -> None:
    """Invalid for a policy that alarms of the user's own set off: they watch the source and would not act here."""
    for policy in settings.policies:
        alarms = [alarm["AlarmName"] for alarm in policy.get("Alarms") or ()]
        if policy["PolicyType"] in ("StepScaling", "SimpleScaling") and alarms:
            raise Invalid(
                f"{source['AutoScalingGroupName']}: the policy {policy['PolicyName']} is set off by the alarm "
                f"{', '.join(alarms)}, which a group on demand would not have; use target tracking, or make the "
                "standby permanent with alarms of its own"
            )


def policies(settings: Settings, name: str, naming: Naming, reached: Iterable[str]) -> Wanted:
    """As they are put into the group of that name. One that follows the requests of a target group can be put only
    while the group is in that target group (`reached`, as `targetgroup/name/id`)."""
    found = {}
    for policy in settings.policies:
        renamed = naming.metrics(_plain(policy, name))
        renamed["PolicyName"] = naming.word(policy["PolicyName"])
        if set(tracked(renamed)) <= set(reached):
            found[renamed["PolicyName"]] = renamed
    return found


def schedules(settings: Settings, name: str, naming: Naming, now: float) -> Wanted:
    """As they are put into the group of that name; AWS takes no start in the past, and what is over is left out."""
    found = {}
    for action in settings.schedules:
        renamed = _plain(action, name)
        renamed["ScheduledActionName"] = naming.word(action["ScheduledActionName"])
        start, end = action.get("StartTime"), action.get("EndTime")
        if (end and end.timestamp() <= now) or (one_time(action) and (not start or start.timestamp() <= now)):
            continue
        if not one_time(action) and start and start.timestamp() <= now:
            del renamed["StartTime"]
        found[renamed["ScheduledActionName"]] = renamed
    return found


def hooks(settings: Settings, name: str, naming: Naming) -> Wanted:
    found = {}
    for hook in settings.hooks:
        renamed = _plain(hook, name)
        renamed["LifecycleHookName"] = naming.word(hook["LifecycleHookName"])
        found[renamed["LifecycleHookName"]] = renamed
    return found


def attach(writing: Writing, source: Settings, present: Settings, name: str, naming: Naming, now: float) -> None:
    """Everything of the source's that the copy lacks, except what has to wait for its target groups."""
    wanted_hooks = hooks(source, name, naming)
    for hook in _lacking(wanted_hooks, present.hooks, "LifecycleHookName", name):
        writing.call("autoscaling", "put_lifecycle_hook", **hook)
    for extra in _extra(wanted_hooks, present.hooks, "LifecycleHookName"):
        writing.call("autoscaling", "delete_lifecycle_hook", AutoScalingGroupName=name, LifecycleHookName=extra)
    wanted = schedules(source, name, naming, now)
    for action in _lacking(wanted, present.schedules, "ScheduledActionName", name):
        writing.call("autoscaling", "put_scheduled_update_group_action", **action)
    for extra in _extra(wanted, present.schedules, "ScheduledActionName"):
        writing.call("autoscaling", "delete_scheduled_action", AutoScalingGroupName=name, ScheduledActionName=extra)
    for topic, kinds in source.topics().items():
        if present.topics().get(topic) != kinds:
            more = {"TopicARN": topic, "NotificationTypes": sorted(kinds)}
            writing.call("autoscaling", "put_notification_configuration", AutoScalingGroupName=name, **more)
    for topic in present.topics().keys() - source.topics().keys():
        writing.call("autoscaling", "delete_notification_configuration", AutoScalingGroupName=name, TopicARN=topic)
    add_policies(writing, source, present, name, naming, ())
    everything = {naming.word(policy["PolicyName"]) for policy in source.policies}
    for extra in _extra(everything, present.policies, "PolicyName"):
        writing.call("autoscaling", "delete_policy", AutoScalingGroupName=name, PolicyName=extra)


def add_policies(
    writing: Writing, source: Settings, present: Settings, name: str, naming: Naming, reached: Iterable[str]
) -> None:
    """Those that are missing or differ; what somebody added meanwhile stays."""
    wanted = policies(source, name, naming, reached)
    for policy in _lacking(wanted, present.policies, "PolicyName", name):
        writing.call("autoscaling", "put_scaling_policy", **policy)


def _plain(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    kept = {key: value for key, value in item.items() if key not in ANSWERED_ONLY and value not in (None, [], {}, "")}
    return {**kept, "AutoScalingGroupName": name}


def _lacking(wanted: Wanted, present: Items, key: str, name: str) -> list[dict[str, Any]]:
    found = {item[key]: _timeless(_plain(item, name)) for item in present}
    return [item for label, item in wanted.items() if found.get(label) != _timeless(item)]


def _timeless(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "StartTime" or one_time(item)}


def _extra(wanted: Iterable[str], present: Items, key: str) -> list[str]:
    return sorted({item[key] for item in present} - set(wanted))

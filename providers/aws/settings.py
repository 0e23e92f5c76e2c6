"""What hangs on a group beside the group itself: policies, scheduled actions, lifecycle hooks, notifications."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from providers.aws.cloud import Cloud

Items = tuple[Mapping[str, Any], ...]
DEPLOYMENT_HOOKS = "CodeDeploy-managed-automatic-launch-deployment-hook"
"""Hooks of a deployment service begin so: they belong to its own record of the group, and make no sense elsewhere."""


@dataclass(frozen=True, slots=True)
class Settings:
    """As AWS tells them. `notifications` maps a topic to the kinds of news that it gets."""

    policies: Items = ()
    schedules: Items = ()
    hooks: Items = ()
    notifications: Mapping[str, frozenset[str]] | None = None

    def topics(self) -> Mapping[str, frozenset[str]]:
        return self.notifications or {}


def read_settings(cloud: Cloud, names: Iterable[str]) -> dict[str, Settings]:
    """By group: three calls for each, and one for all."""
    asked = list(names)
    topics: dict[str, dict[str, set[str]]] = {name: {} for name in asked}
    for each in cloud.batches(
        "autoscaling",
        "describe_notification_configurations",
        "NotificationConfigurations",
        "AutoScalingGroupNames",
        asked,
        100,
    ):
        topics[each["AutoScalingGroupName"]].setdefault(each["TopicARN"], set()).add(each["NotificationType"])
    return {name: _read(cloud, name, topics[name]) for name in asked}


def read_schedules(cloud: Cloud, name: str) -> Items:
    """The scheduled actions of one group."""
    asked = {"AutoScalingGroupName": name}
    return tuple(cloud.pages("autoscaling", "describe_scheduled_actions", "ScheduledUpdateGroupActions", **asked))


def _read(cloud: Cloud, name: str, topics: Mapping[str, set[str]]) -> Settings:
    group = {"AutoScalingGroupName": name}
    hooks = cloud.read("autoscaling", "describe_lifecycle_hooks", **group)["LifecycleHooks"]
    return Settings(
        policies=tuple(cloud.pages("autoscaling", "describe_policies", "ScalingPolicies", **group)),
        schedules=read_schedules(cloud, name),
        hooks=tuple(hook for hook in hooks if not hook["LifecycleHookName"].startswith(DEPLOYMENT_HOOKS)),
        notifications={topic: frozenset(kinds) for topic, kinds in topics.items()},
    )

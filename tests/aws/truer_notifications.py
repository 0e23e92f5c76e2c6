"""What moto's groups cannot do at all: tell of notifications, stop collecting metrics."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import AutoScalingBackend
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from tests.aws.truer import Correcting


def groups_notify_topics(correcting: Correcting) -> None:
    """AWS: a topic is told of some kinds of news of a group; they go with the group, and each put replaces them."""

    def told(self: AutoScalingResponse) -> dict[tuple[str, str], list[str]]:
        backend: Any = self.autoscaling_backend
        if not hasattr(backend, "told"):
            backend.told = {}
        found: dict[tuple[str, str], list[str]] = backend.told
        return found

    def key(self: AutoScalingResponse) -> tuple[str, str]:
        return self._get_param("AutoScalingGroupName"), self._get_param("TopicARN")

    def put(self: AutoScalingResponse) -> Any:
        told(self)[key(self)] = list(self._get_param("NotificationTypes"))
        return EmptyResult()

    def delete(self: AutoScalingResponse) -> Any:
        told(self).pop(key(self), None)
        return EmptyResult()

    def describe(self: AutoScalingResponse) -> Any:
        asked = self._get_param("AutoScalingGroupNames", [])
        found = [
            {"AutoScalingGroupName": group, "TopicARN": topic, "NotificationType": kind}
            for (group, topic), kinds in told(self).items()
            for kind in kinds
            if group in self.autoscaling_backend.autoscaling_groups and (not asked or group in asked)
        ]
        return ActionResult({"NotificationConfigurations": found})

    def gone(original: Any, self: AutoScalingBackend, group_name: str) -> None:
        original(self, group_name)
        kept: dict[tuple[str, str], list[str]] = getattr(self, "told", {})
        for each in [each for each in kept if each[0] == group_name]:
            del kept[each]

    correcting.replace(AutoScalingResponse, "put_notification_configuration", put)
    correcting.replace(AutoScalingResponse, "delete_notification_configuration", delete)
    correcting.replace(AutoScalingResponse, "describe_notification_configurations", describe)
    correcting.around(AutoScalingBackend, "delete_auto_scaling_group", gone)


def metrics_can_be_stopped(correcting: Correcting) -> None:
    """AWS: DisableMetricsCollection."""

    def disable(self: AutoScalingResponse) -> Any:
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        asked = self._get_param("Metrics", [])
        group.metrics = [metric for metric in group.metrics if asked and metric not in asked]
        return EmptyResult()

    correcting.replace(AutoScalingResponse, "disable_metrics_collection", disable)


CORRECTIONS = (groups_notify_topics, metrics_can_be_stopped)

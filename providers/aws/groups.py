"""Auto Scaling groups as AWS tells them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from providers.aws.cloud import Cloud

NAMES_A_CALL = 100
Group = dict[str, Any]


def read_groups(cloud: Cloud, names: Iterable[str]) -> dict[str, Group]:
    """By name; groups that do not exist, or are being deleted, are absent."""
    found = cloud.batches(
        "autoscaling",
        "describe_auto_scaling_groups",
        "AutoScalingGroups",
        "AutoScalingGroupNames",
        names,
        NAMES_A_CALL,
        MaxRecords=NAMES_A_CALL,
    )
    return {group["AutoScalingGroupName"]: group for group in found if not group.get("Status")}

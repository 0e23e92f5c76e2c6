"""Auto Scaling groups as AWS tells them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.aws.cloud import Cloud

NAMES_A_CALL = 100
OURS = "rollout-manager:"
OWNER = f"{OURS}owner"
"""Who created the group or template: only such are ever deleted."""
CREATED = f"{OURS}created"
"""The token of the write that created it."""
MIRROR = f"{OURS}mirror"
"""The token of the mirror that was completed last."""
MIRRORED_AT = f"{OURS}mirrored-at"
"""When that was: what failed to launch before it is no concern of this rollout."""
PATCHED = f"{OURS}patched"
"""On an instance, or on a group whose instances all are: the composite image that it became in place."""
SUSPENDED = f"{OURS}suspended"
"""The processes that we suspended, with spaces between them; what a person suspended is not among them."""
Group = dict[str, Any]


def read_groups(cloud: Cloud, names: Iterable[str], *, leaving: bool = False) -> dict[str, Group]:
    """By name; groups that do not exist are absent, and so are those being deleted unless `leaving`."""
    found = cloud.batches(
        "autoscaling",
        "describe_auto_scaling_groups",
        "AutoScalingGroups",
        "AutoScalingGroupNames",
        names,
        NAMES_A_CALL,
        MaxRecords=NAMES_A_CALL,
    )
    return {group["AutoScalingGroupName"]: group for group in found if leaving or not is_leaving(group)}


def is_leaving(group: Mapping[str, Any]) -> bool:
    """Is its deletion in progress?"""
    return bool(group.get("Status"))


def tag(group: Mapping[str, Any], key: str) -> str | None:
    """The value of a tag of a group, or of anything whose `Tags` are Key and Value."""
    return next((each.get("Value", "") for each in group.get("Tags") or () if each["Key"] == key), None)


def owner_of(group: Mapping[str, Any]) -> str | None:
    return tag(group, OWNER)


def own_tags(name: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Tags of ours as the API takes them for the group of that name."""
    return [
        {
            "ResourceId": name,
            "ResourceType": "auto-scaling-group",
            "Key": key,
            "Value": value,
            "PropagateAtLaunch": False,
        }
        for key, value in tags.items()
    ]

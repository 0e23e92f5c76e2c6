"""Why a group does not get the hosts that it asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.groups import MIRRORED_AT, Group, tag
from providers.base import Instance, Slot

LOOK_BACK = 20
"""So many of the latest activities are read."""
RECENT_S = 900.0
"""What failed longer ago says nothing about now."""
SETTLED_S = 30.0
"""Auto Scaling tries the next zone within this time after a launch has failed in one."""
ENDED = {"Successful", "Failed", "Cancelled"}
CAUSES: Sequence[tuple[str, str]] = (
    (
        r"InsufficientInstanceCapacity|InsufficientHostCapacity|sufficient .*capacity|MaxSpotInstanceCount|spot",
        "capacity",
    ),
    (r"LimitExceeded|quota|limit", "a limit"),
    (r"InsufficientFreeAddresses|free addresses|FreeAddress", "no free address"),
    (r"KMS|InvalidKMSKey|Client\.InternalError|encrypt", "an encryption key"),
    (r"UnauthorizedOperation|not authorized|AccessDenied|PassRole|permission", "permissions"),
)


def failed_launch(cloud: Cloud, group: Group, slot: Slot, now: float) -> Instance | None:
    """The launch that failed last, as a host that never was; nothing once a later one is pending or went well."""
    name = group["AutoScalingGroupName"]
    answer = cloud.read("autoscaling", "describe_scaling_activities", AutoScalingGroupName=name, MaxRecords=LOOK_BACK)
    since = max(now - RECENT_S, float(tag(group, MIRRORED_AT) or 0))
    return judge(answer["Activities"], slot, since, now)


def judge(activities: Sequence[Mapping[str, Any]], slot: Slot, since: float, now: float) -> Instance | None:
    """`activities` in any order; those that began before `since` concern nobody any more."""
    launches = [each for each in activities if each["Description"].startswith("Launching")]
    if not launches or any(each["StatusCode"] not in ENDED for each in launches):
        return None
    latest = max(launches, key=lambda each: float(each["StartTime"].timestamp()))
    began = latest["StartTime"].timestamp()
    ended = (latest.get("EndTime") or latest["StartTime"]).timestamp()
    if latest["StatusCode"] != "Failed" or began < since or now - ended < SETTLED_S:
        return None
    reason = why(latest.get("StatusMessage") or latest.get("Cause") or "Auto Scaling does not say why")
    return Instance(f"launch-{latest['ActivityId']}", slot, "failed", None, "", reason, None)


def why(message: str) -> str:
    """The message, and before it what to look at."""
    kind = next((kind for pattern, kind in CAUSES if re.search(pattern, message, re.IGNORECASE)), "")
    return f"the launch failed for {kind}: {message}" if kind else f"the launch failed: {message}"

"""What the two groups have, or are busy with, that does not go together with a rollout."""

from __future__ import annotations

from collections.abc import Iterator

from providers.aws.fingerprint import warm_pool
from providers.aws.groups import Group, owner_of
from providers.aws.in_place import LAUNCHING, is_composite
from providers.aws.outlook import Ahead, blocks, notice
from providers.aws.suspensions import suspended, suspended_by_us
from providers.base import Concern

BUSY = {"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"}


def warm_pools(ahead: Ahead) -> list[Concern]:
    """Hosts of a user's warm pool keep the image that they were prepared with, and are what a group takes first."""
    found = []
    for group in _both(ahead):
        if owner_of(group) is not None or not warm_pool(group):
            continue
        name = group["AutoScalingGroupName"]
        remove = f"aws autoscaling delete-warm-pool --auto-scaling-group-name {name} --force-delete"
        if ahead.options.standby == "permanent" or group is ahead.target:
            found.append(
                blocks(
                    f"{name} has a warm pool: a side that is there for good would take its next hosts from it, with "
                    f"the image of before, and fill it again while it is parked; remove it: {remove}"
                )
            )
        else:
            found.append(
                notice(
                    f"{name} has a warm pool: it is filled, and paid for, also while this side is parked after the "
                    f"rollout, and the next one cannot use the side before it is removed: {remove}"
                )
            )
    return found


def refreshes(ahead: Ahead) -> list[Concern]:
    """An instance refresh replaces hosts by itself, with a template version of its own."""
    found = []
    for group in _both(ahead):
        name = group["AutoScalingGroupName"]
        answer = ahead.cloud.read("autoscaling", "describe_instance_refreshes", AutoScalingGroupName=name)
        found += [
            blocks(
                f"{name}: the instance refresh {one['InstanceRefreshId']} is {one['Status']}: it replaces the hosts "
                "that a rollout starts, or keeps; let it end, or cancel it: aws autoscaling cancel-instance-refresh "
                f"--auto-scaling-group-name {name}"
            )
            for one in answer.get("InstanceRefreshes", ())
            if one["Status"] in BUSY
        ]
    return found


def in_place(ahead: Ahead) -> list[Concern]:
    """A side that is patched in place replaces nobody, before the rollout as after it."""
    found = []
    if launches_nobody(ahead.source):
        found.append(
            notice(
                f"{ahead.source['AutoScalingGroupName']} was patched in place and launches nobody: a host that it "
                "loses is not replaced, and a way back to it finds no more hosts than it has"
            )
        )
    if is_composite(ahead.image):
        found.append(
            notice(
                f"{ahead.options.group(ahead.standby)} is patched in place: from then on it launches nobody by itself "
                f"({', '.join(LAUNCHING)} are suspended, for a new host would be an unpatched one), also when it "
                "serves: a host that is lost is replaced by the next rollout only, so watch how many are in service"
            )
        )
    return found


def launches_nobody(group: Group) -> bool:
    """Because its hosts were patched in place."""
    return "Launch" in suspended_by_us(group) & suspended(group)


def _both(ahead: Ahead) -> Iterator[Group]:
    yield ahead.source
    if ahead.target is not None:
        yield ahead.target

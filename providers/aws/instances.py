"""The hosts of groups as Auto Scaling and EC2 together tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from providers.aws.cloud import Cloud, Writing
from providers.aws.groups import PATCHED, Group, tag
from providers.aws.units import units_of
from providers.base import Instance, InstanceState, Slot

VALUES_A_CALL = 200
PROTECTED_A_CALL = 50
ENDED = {"shutting-down", "terminated"}
PORT = 80
"""The port of an address where nobody knows a better one; targets are known by their ids."""
Machine = Mapping[str, Any]


def read_machines(cloud: Cloud, ids: Iterable[str]) -> dict[str, Machine]:
    """What EC2 says, by id. By filter: an id that EC2 does not know (yet, or any more) is absent and harms no other."""
    asked = list(dict.fromkeys(ids))
    parts = [asked[at : at + VALUES_A_CALL] for at in range(0, len(asked), VALUES_A_CALL)]
    reservations = [
        reservation
        for part in parts
        for reservation in cloud.pages(
            "ec2", "describe_instances", "Reservations", Filters=[{"Name": "instance-id", "Values": part}]
        )
    ]
    return {machine["InstanceId"]: machine for each in reservations for machine in each["Instances"]}


def members(group: Group) -> list[Mapping[str, Any]]:
    """The hosts of a group; those in its warm pool serve nobody and are not counted."""
    return [each for each in group.get("Instances") or () if not each["LifecycleState"].startswith("Warmed")]


def is_alive(member: Mapping[str, Any]) -> bool:
    """Does Auto Scaling itself keep the host, and call it well? Whom it has not judged yet it calls healthy."""
    gone = member["LifecycleState"] == "Terminated"
    failed = member["LifecycleState"] == "InService" and member.get("HealthStatus", "Healthy").lower() != "healthy"
    return not gone and not failed


def hosts(group: Group, slot: Slot, machines: Mapping[str, Machine]) -> list[Instance]:
    """As the contract has them; one that has left is absent."""
    found = [_host(member, slot, machines.get(member["InstanceId"])) for member in members(group)]
    return [host for host in found if host is not None]


def release(writing: Writing, group: Group) -> None:
    """Hosts that are protected from scale-in would stay when nothing is wanted any more."""
    kept = [each["InstanceId"] for each in members(group) if each.get("ProtectedFromScaleIn")]
    for at in range(0, len(kept), PROTECTED_A_CALL):
        writing.call(
            "autoscaling",
            "set_instance_protection",
            AutoScalingGroupName=group["AutoScalingGroupName"],
            InstanceIds=kept[at : at + PROTECTED_A_CALL],
            ProtectedFromScaleIn=False,
        )


def image_of(machine: Machine) -> str | None:
    """What runs: the image that it was launched from, or what a patch in place made of that."""
    launched: str | None = machine.get("ImageId")
    return composite(launched, tag(machine, PATCHED))


def composite(image: str | None, patched: str | None) -> str | None:
    """The composite image, if it is one of this image: the tag may have been copied from another host."""
    if image and patched and base_image(patched) == image:
        return patched
    return image


def base_image(image: str) -> str:
    """The image that hosts of an image are launched from: `ami-1` of the composite `ami-1+…`."""
    return re.split(r"[^A-Za-z0-9-]", image, maxsplit=1)[0]


def _host(member: Mapping[str, Any], slot: Slot, machine: Machine | None) -> Instance | None:
    judged = _judge(member["LifecycleState"], member.get("HealthStatus", "Healthy"), machine)
    if judged is None:
        return None
    state, reason = judged
    known = machine or {}
    started = known.get("LaunchTime")
    return Instance(
        id=member["InstanceId"],
        slot=slot,
        state=state,
        image=image_of(known),
        address=_address(member["InstanceId"], known),
        reason=reason,
        started_at=started.timestamp() if started else None,
        units=units_of(member),
    )


def _judge(lifecycle: str, health: str, machine: Machine | None) -> tuple[InstanceState, str] | None:
    """Its state and why; None for one that has left.

    One that is leaving counts as still there, and neither as running nor as failed: Auto Scaling itself replaces what
    it takes away, and a slot is empty only when the last one has gone.
    """
    power = machine["State"]["Name"] if machine else ""
    if lifecycle.startswith("Terminating") or lifecycle == "Terminated":
        gone = lifecycle == "Terminated" or power in ("", "terminated")
        return None if gone else ("starting", f"leaving ({lifecycle})")
    if power in ENDED or power in ("stopping", "stopped"):
        return "failed", f"EC2 says {power}{_cause(machine)}"
    if lifecycle.startswith("Pending"):
        return "starting", "" if lifecycle == "Pending" else lifecycle
    if lifecycle != "InService":  # standby or detaching: a person took it out
        return "starting", f"out of service ({lifecycle})"
    if not power:
        return "failed", "EC2 does not know it"
    if health.lower() != "healthy":
        return "failed", f"Auto Scaling calls it {health.lower()}"
    return ("running", "") if power == "running" else ("starting", f"EC2 says {power}")


def _cause(machine: Machine | None) -> str:
    message = ((machine or {}).get("StateReason") or {}).get("Message", "")
    return f": {message}" if message else ""


def _address(name: str, machine: Machine) -> str:
    address = machine.get("PrivateIpAddress") or machine.get("Ipv6Address") or name
    return f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"

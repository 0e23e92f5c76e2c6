"""What EC2 itself says of each host of a group, and the last lines of the console of those that are not well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.groups import read_groups
from providers.base import HostStatus, Invalid, ProviderError

IDS_A_CALL = 100
CONSOLES = 3  # at most, a look
LINES, BYTES = 40, 4096
REASON = 400  # characters
OVER = ("[completed]", "[canceled]")  # events that are no longer to come say so in front
CHECKS = (("system", "SystemStatus"), ("instance", "InstanceStatus"), ("volumes", "AttachedEbsStatus"))
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECRET = re.compile(r"(?i)((?:passw\w*|secret\w*|token\w*|api_?key\w*|private_?key\w*|credential\w*)\s*[:=]\s*)\S+")


def examine(cloud: Cloud, group: str) -> list[HostStatus]:
    """One for each instance that the group has and does not give up; none where there is no group."""
    found = read_groups(cloud, [group]).get(group) or {}
    hosts = {
        one["InstanceId"]: one
        for one in found.get("Instances") or ()
        if not str(one.get("LifecycleState", "")).startswith("Terminat")
    }
    told = {
        one["InstanceId"]: one
        for one in cloud.batches(
            "ec2",
            "describe_instance_status",
            "InstanceStatuses",
            "InstanceIds",
            sorted(hosts),
            IDS_A_CALL,
            IncludeAllInstances=True,
        )
    }
    judged = [_judge(id, host, told.get(id)) for id, host in sorted(hosts.items())]
    ill = [one.host for one in judged if one.state == "impaired"][:CONSOLES]
    return [replace(one, console=_console(cloud, one.host)) if one.host in ill else one for one in judged]


def _judge(id: str, host: Mapping[str, Any], status: Mapping[str, Any] | None) -> HostStatus:
    if status is None:
        return HostStatus(id, "unknown", "EC2 does not know it (yet)")
    power = status["InstanceState"]["Name"]
    checks = {name: status.get(key) or {} for name, key in CHECKS}
    bad = [_told(name, check) for name, check in checks.items() if check.get("Status") == "impaired"]
    if power not in ("pending", "running"):
        bad.append(f"it is {power}")
    if host.get("HealthStatus") == "Unhealthy":
        bad.append("Auto Scaling calls it Unhealthy")
    events = [
        f"{one.get('Code')} from {one['NotBefore']:%Y-%m-%d %H:%M} UTC: {one.get('Description', '')}"
        if one.get("NotBefore")
        else f"{one.get('Code')}: {one.get('Description', '')}"
        for one in status.get("Events") or ()
        if not str(one.get("Description", "")).lower().startswith(OVER)
    ]
    if bad:
        return HostStatus(id, "impaired", _bounded([*bad, *events]))
    open_yet = [
        f"{name} check: {check.get('Status') or 'not told'}"
        for name, check in checks.items()
        if check.get("Status") not in ("ok", "not-applicable") and (check or name != "volumes")
    ]
    if power == "pending" or open_yet:
        return HostStatus(
            id, "unknown", _bounded([*([f"it is {power}"] if power == "pending" else []), *open_yet, *events])
        )
    return HostStatus(id, "ok", _bounded(events))


def _told(name: str, check: Mapping[str, Any]) -> str:
    details = ", ".join(
        f"{one.get('Name')} {one.get('Status')}"
        + (f" since {one['ImpairedSince']:%Y-%m-%d %H:%M} UTC" if one.get("ImpairedSince") else "")
        for one in check.get("Details") or ()
    )
    return f"{name} check: impaired" + (f" ({details})" if details else "")


def _bounded(parts: list[str]) -> str:
    return " ".join("; ".join(parts).split())[:REASON]


def _console(cloud: Cloud, id: str) -> str:
    """The last lines as plain text. The SDK has decoded them; the latest are kept for some kinds of host only."""
    try:
        try:
            answer = cloud.read("ec2", "get_console_output", InstanceId=id, Latest=True)
        except Invalid:
            answer = cloud.read("ec2", "get_console_output", InstanceId=id)
    except ProviderError as error:
        return f"(the console cannot be read: {type(error).__name__})"
    return plain_console(str(answer.get("Output") or ""))


def plain_console(text: str) -> str:
    """The last lines, without what would move a cursor, and without the values of what is called a secret."""
    lines = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    shown = [_SECRET.sub(r"\1…", _CONTROL.sub("", line)).rstrip() for line in lines]
    tail = "\n".join([line for line in shown if line][-LINES:])
    return tail.encode()[-BYTES:].decode(errors="ignore")

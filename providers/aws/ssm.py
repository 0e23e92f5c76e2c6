"""Systems Manager's words: agents, patch baselines, commands, and what its agent found on each host."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from providers.aws.cloud import Cloud, Writing
from providers.base import Invalid, PatchState

IDS_A_CALL = 50
DOCUMENT = "AWS-RunPatchBaseline"
ENDED = {"Success", "Cancelled", "TimedOut", "Failed"}
CLOCK_ERROR_S = 300
OUTPUT = 400  # characters of what the agent wrote

SYSTEMS: Mapping[str, str] = {
    "amazon linux 2023": "AMAZON_LINUX_2023",
    "amazon linux 2022": "AMAZON_LINUX_2022",
    "amazon linux 2": "AMAZON_LINUX_2",
    "amazon linux": "AMAZON_LINUX",
    "ubuntu": "UBUNTU",
    "debian": "DEBIAN",
    "red hat": "REDHAT_ENTERPRISE_LINUX",
    "centos": "CENTOS",
    "rocky": "ROCKY_LINUX",
    "almalinux": "ALMA_LINUX",
    "oracle": "ORACLE_LINUX",
    "sles": "SUSE",
    "suse": "SUSE",
}
"""What patch baselines call the platform that an agent tells, by how that begins."""


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a command on one host."""

    command: str
    host: str
    status: str
    requested_at: float
    said: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def failed(self) -> bool:
        return self.ended and self.status != "Success"


def agents(cloud: Cloud, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """What Systems Manager knows of these hosts, by id; those that it does not know are absent."""
    asked, found = list(ids), list[Mapping[str, Any]]()
    for at in range(0, len(asked), IDS_A_CALL):
        wanted = [{"Key": "InstanceIds", "Values": asked[at : at + IDS_A_CALL]}]
        found += cloud.pages("ssm", "describe_instance_information", "InstanceInformationList", Filters=wanted)
    return {str(agent["InstanceId"]): agent for agent in found if agent["InstanceId"] in asked}


def offline(cloud: Cloud, ids: Iterable[str]) -> list[str]:
    """The hosts whose agent does not answer."""
    asked = list(ids)
    known = agents(cloud, asked)
    return [host for host in asked if known.get(host, {}).get("PingStatus") != "Online"]


def raw_states(cloud: Cloud, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The last patch operation of each host, by id; hosts that never had one are absent."""
    found = cloud.batches(
        "ssm", "describe_instance_patch_states", "InstancePatchStates", "InstanceIds", ids, IDS_A_CALL
    )
    return {str(state["InstanceId"]): state for state in found}


def patch_state(raw: Mapping[str, Any] | None) -> PatchState | None:
    """None where it never ended, or where one of the numbers that decide is not there: then nothing is known."""
    deciding = ("MissingCount", "FailedCount", "InstalledPendingRebootCount")
    if raw is None or "OperationEndTime" not in raw or any(raw.get(key) is None for key in deciding):
        return None
    missing, failed, pending = (int(raw[key]) for key in deciding)
    # Not compliant are also those that failed or wait for a reboot: an upper bound, and all where it is not told.
    security = min(missing, int(raw.get("SecurityNonCompliantCount", missing)))
    return PatchState(
        at=timestamp(raw["OperationEndTime"]),
        installed=int(raw.get("InstalledCount", 0)) + int(raw.get("InstalledOtherCount", 0)),
        missing=missing,
        missing_security=security,
        failed=failed,
        pending_reboot=pending,
        baseline=short_baseline(str(raw.get("BaselineId", ""))),
    )


def timestamp(value: Any) -> float:
    """Seconds since 1970 of a time as boto3 gives it, or as ISO 8601."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return float(value.timestamp())


def short_baseline(name: str) -> str:
    """`pb-…`, also of a baseline's ARN."""
    return name.rpartition("/")[2]


def operating_system(agent: Mapping[str, Any]) -> str:
    """What patch baselines call it. Raises Invalid for what they do not know."""
    name = f"{agent.get('PlatformName', '')} {agent.get('PlatformVersion', '')}".lower()
    found = next((system for begin, system in SYSTEMS.items() if name.startswith(begin)), None)
    if found is None:
        raise Invalid(
            f"{agent['InstanceId']} runs {name.strip() or 'an unknown system'}; known are: {', '.join(SYSTEMS)}"
        )
    return found


def effective_baseline(cloud: Cloud, ids: Sequence[str], patch_group: str) -> str:
    """The baseline (`pb-…`) that Systems Manager applies to hosts like these. Raises Invalid when none can tell."""
    known = agents(cloud, ids)
    systems = {operating_system(agent) for agent in known.values()}
    if len(systems) != 1:
        raise Invalid(
            f"Systems Manager knows {len(known)} of the {len(ids)} serving hosts, running {sorted(systems)}: which "
            "baseline applies cannot be told. They need its agent and AmazonSSMManagedInstanceCore in their profile"
        )
    system = systems.pop()
    if patch_group:
        answer = cloud.read("ssm", "get_patch_baseline_for_patch_group", PatchGroup=patch_group, OperatingSystem=system)
        if answer.get("BaselineId"):
            return short_baseline(str(answer["BaselineId"]))
    answer = cloud.read("ssm", "get_default_patch_baseline", OperatingSystem=system)
    return short_baseline(str(answer["BaselineId"]))


def snapshot_of(key: str) -> str:
    """The patch snapshot that all hosts of one deed use: they get the same patches, whenever they are reached."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, key))


def send(writing: Writing, ids: Sequence[str], comment: str, snapshot: str, operation: str = "Install") -> None:
    """Have hosts patched (or only looked at). It takes no client token: what was sent is found by its comment."""
    for at in range(0, len(ids), IDS_A_CALL):
        writing.call(
            "ssm",
            "send_command",
            DocumentName=DOCUMENT,
            InstanceIds=list(ids[at : at + IDS_A_CALL]),
            Comment=comment,
            Parameters={
                "Operation": [operation],
                "SnapshotId": [snapshot],
                # With it the agent looks again after the reboot, and what it then says is of the running kernel.
                "RebootOption": ["RebootIfNeeded"],
            },
        )


def runs(cloud: Cloud, comment: str, since: float) -> dict[str, Run]:
    """What became of the command with this comment, sent after `since`, by host; the newest where it was sent twice."""
    after = datetime.fromtimestamp(since - CLOCK_ERROR_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    filters = [{"key": "DocumentName", "value": DOCUMENT}, {"key": "InvokedAfter", "value": after}]
    sent = [c for c in cloud.pages("ssm", "list_commands", "Commands", Filters=filters) if c.get("Comment") == comment]
    found = dict[str, Run]()
    for command in sorted(sent, key=lambda each: timestamp(each["RequestedDateTime"])):
        at, name = timestamp(command["RequestedDateTime"]), str(command["CommandId"])
        for host in command.get("InstanceIds", ()):
            found[str(host)] = Run(name, str(host), "Pending", at)
        told = cloud.pages("ssm", "list_command_invocations", "CommandInvocations", CommandId=name, Details=True)
        for one in told:
            host = str(one["InstanceId"])
            found[host] = Run(name, host, str(one["Status"]), at, _said(one))
    return found


def _said(invocation: Mapping[str, Any]) -> str:
    parts = [str(plugin.get("Output", "")).strip() for plugin in invocation.get("CommandPlugins", ())]
    text = " … ".join(part[-OUTPUT:] for part in parts if part)
    return f"{invocation.get('StatusDetails') or invocation['Status']}{': ' + text if text else ''}"


def is_proven(raw: Mapping[str, Any] | None, run: Run | None, snapshot: str) -> bool:
    """Did the host's last observed operation come after the command, or belong to it?"""
    state = patch_state(raw)
    if raw is None or state is None or run is None or run.status != "Success":
        return False
    return raw.get("SnapshotId") == snapshot or state.at >= run.requested_at

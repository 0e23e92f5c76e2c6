"""Systems Manager's agents on the hosts of an account: they take commands, and do what the test says they did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tests.aws.account import Account
from tests.aws.stubs import Refused

BASELINE = "pb-0123456789abcdef0"
OF_GROUP = "pb-0fedcba9876543210"
CLEAN = {
    "InstalledCount": 300,
    "InstalledOtherCount": 20,
    "InstalledPendingRebootCount": 0,
    "MissingCount": 0,
    "FailedCount": 0,
    "SecurityNonCompliantCount": 0,
}


class Agents:
    """`online`: do they answer? `sent`: the commands, oldest first. `finish` ends those that are under way."""

    def __init__(self, account: Account) -> None:
        self.account, self.online, self.sent = account, True, list[dict[str, Any]]()
        self.statuses: dict[tuple[str, str], str] = {}
        self.output = "it went well"
        answers = account.answers
        answers.give("ssm", "DescribeInstanceInformation", self._information)
        answers.give("ssm", "SendCommand", self._send)
        answers.give("ssm", "ListCommands", self._commands)
        answers.give("ssm", "ListCommandInvocations", self._invocations)
        answers.give("ssm", "GetDefaultPatchBaseline", {"BaselineId": f"arn:aws:ssm:eu:1:patchbaseline/{BASELINE}"})
        answers.give("ssm", "GetPatchBaselineForPatchGroup", self._baseline_of_group)

    def finish(self, status: str = "Success", host: str = "", **counts: Any) -> None:
        """Commands that are under way (on this host only) end so, with these counts in what is then observed."""
        for command in self.sent:
            for one in command["InstanceIds"]:
                if self.statuses[command["CommandId"], one] == "InProgress" and host in ("", one):
                    self.statuses[command["CommandId"], one] = status
                    self._observe(command, one, counts)

    def _observe(self, command: Mapping[str, Any], host: str, counts: Mapping[str, Any]) -> None:
        told = {
            "Operation": command["Parameters"]["Operation"][0],
            "OperationEndTime": datetime.now(UTC),
            "BaselineId": BASELINE,
            "SnapshotId": command["Parameters"]["SnapshotId"][0],
        }
        self.account.answers.patch_states[host] = {**told, **CLEAN, **counts}

    def _information(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        ids = [one for wanted in asked.get("Filters") or [] for one in wanted["Values"]]
        told = {"PingStatus": "Online" if self.online else "ConnectionLost", "PlatformType": "Linux"}
        told |= {"PlatformName": "Amazon Linux", "PlatformVersion": "2023"}
        return {"InstanceInformationList": [{"InstanceId": one, **told} for one in ids]}

    def _send(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if len(asked["InstanceIds"]) > 50:
            raise Refused("ValidationException", "InstanceIds: at most 50")
        number = f"{len(self.sent):012d}"
        command = {
            "CommandId": f"00000000-0000-4000-8000-{number}",
            "Comment": asked["Comment"],
            "DocumentName": asked["DocumentName"],
            "InstanceIds": list(asked["InstanceIds"]),
            "Parameters": dict(asked["Parameters"]),
            "RequestedDateTime": datetime.now(UTC),
            "Status": "InProgress",
        }
        self.sent.append(command)
        self.statuses |= {(command["CommandId"], one): "InProgress" for one in command["InstanceIds"]}
        return {"Command": command}

    def _commands(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"Commands": self.sent}

    def _invocations(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        found = [
            {
                "CommandId": command,
                "InstanceId": host,
                "Status": status,
                "StatusDetails": status,
                "CommandPlugins": [{"Name": "PatchLinux", "Output": self.output}],
            }
            for (command, host), status in self.statuses.items()
            if command == asked["CommandId"]
        ]
        return {"CommandInvocations": found}

    def _baseline_of_group(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"BaselineId": OF_GROUP, "PatchGroup": asked["PatchGroup"]}

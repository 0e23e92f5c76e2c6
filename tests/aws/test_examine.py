"""What EC2 says of hosts, and what their consoles show."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws.examine import plain_console
from tests.aws.insight_kit import Scene, scene
from tests.aws.wire import wire


def statuses(seen: Scene, **of: Any) -> list[str]:
    """Have EC2 say this of all hosts; their ids."""
    ids = sorted(one["InstanceId"] for one in seen.group("shop-blue")["Instances"])
    well: dict[str, Any] = {
        "InstanceState": {"Code": 16, "Name": "running"},
        "SystemStatus": {"Status": "ok"},
        "InstanceStatus": {"Status": "ok"},
    }
    answer = {"InstanceStatuses": [{"InstanceId": id, **well, **of} for id in ids]}
    seen.account.answers.give("ec2", "DescribeInstanceStatus", answer)
    return ids


@pytest.mark.parametrize(
    ("of", "state", "reason"),
    [
        ({}, "ok", ""),
        ({"SystemStatus": {"Status": "impaired"}}, "impaired", "system check: impaired"),
        ({"AttachedEbsStatus": {"Status": "impaired"}}, "impaired", "volumes check: impaired"),
        ({"InstanceStatus": {"Status": "initializing"}}, "unknown", "instance check: initializing"),
        ({"InstanceStatus": {"Status": "insufficient-data"}}, "unknown", "instance check: insufficient-data"),
        ({"InstanceState": {"Code": 0, "Name": "pending"}}, "unknown", "it is pending"),
        ({"InstanceState": {"Code": 80, "Name": "stopped"}}, "impaired", "it is stopped"),
    ],
)
def test_a_host_is_what_ec2_says(of: dict[str, Any], state: str, reason: str, tmp_path: Path) -> None:
    """Otherwise a sick host is waved through, or one that only starts turns a rollout back."""
    with scene(tmp_path) as seen:
        ids = statuses(seen, **of)
        found = seen.insight.examine(seen.service, "blue")
        assert [(one.host, one.state, one.reason) for one in found] == [(id, state, reason) for id in ids]
        assert all(bool(one.console) is (state == "impaired") for one in found)


def test_details_and_events_are_the_reason(tmp_path: Path) -> None:
    """Otherwise the console has to be opened to learn that the host is retired tomorrow."""
    when = datetime(2026, 5, 1, 10, 30, tzinfo=UTC)
    details = [{"Name": "reachability", "Status": "failed", "ImpairedSince": when}]
    events = [
        {"Code": "instance-retirement", "Description": "The instance is retired", "NotBefore": when},
        {"Code": "system-reboot", "Description": "[Completed] Rebooted", "NotBefore": when},
    ]
    with scene(tmp_path) as seen:
        statuses(seen, InstanceStatus={"Status": "impaired", "Details": details}, Events=events)
        found = seen.insight.examine(seen.service, "blue")[0]
        assert "reachability failed since 2026-05-01 10:30 UTC" in found.reason
        assert "instance-retirement from 2026-05-01 10:30 UTC" in found.reason
        assert "Completed" not in found.reason
        statuses(seen, Events=events)
        assert [one.state for one in seen.insight.examine(seen.service, "blue")] == ["ok", "ok"]


def test_a_host_that_ec2_does_not_tell_of_is_unknown(tmp_path: Path) -> None:
    """Otherwise silence is taken for health."""
    with scene(tmp_path) as seen:
        seen.account.answers.give("ec2", "DescribeInstanceStatus", {"InstanceStatuses": []})
        assert {one.state for one in seen.insight.examine(seen.service, "blue")} == {"unknown"}


@pytest.mark.parametrize("on_demand", [False, True])
def test_an_empty_slot_has_no_hosts(on_demand: bool, tmp_path: Path) -> None:
    """Otherwise asking about a slot that is not there is an error."""
    with scene(tmp_path, on_demand=on_demand) as seen:
        assert list(seen.insight.examine(seen.service, "green")) == []


def test_only_a_few_consoles_are_read(tmp_path: Path) -> None:
    """Otherwise a fleet that is down is asked for a console a host, and the way back waits for its turn."""
    text = base64.b64encode(b"boot\r\nKernel panic\x07\r\n").decode()
    with scene(tmp_path, capacity=5) as seen, wire(seen.account) as line:
        statuses(seen, SystemStatus={"Status": "impaired"})
        made = {"InstanceId": "i-1", "Output": text}
        seen.account.answers.give("ec2", "GetConsoleOutput", made)
        found = seen.insight.examine(seen.service, "blue")
        assert [one.console for one in found] == ["boot\nKernel panic"] * 3 + [""] * 2
        assert len([call for call in line.calls if call.operation == "GetConsoleOutput"]) == 3


def test_a_console_that_has_no_latest_lines_is_read_as_it_is(tmp_path: Path) -> None:
    """Otherwise hosts of older kinds show nothing, just when they are looked at."""
    with scene(tmp_path) as seen, wire(seen.account) as line:
        statuses(seen, SystemStatus={"Status": "impaired"})
        line.fail("GetConsoleOutput", code="UnsupportedOperation", times=1)
        line.fail("GetConsoleOutput", code="UnauthorizedOperation", status=403, times=9, after=1)
        first, second = seen.insight.examine(seen.service, "blue")
        assert first.console.startswith("Linux version")
        assert second.console == "(the console cannot be read: Denied)"
        assert second.state == "impaired"


@given(st.text(max_size=9000))
def test_a_console_is_plain_and_small(text: str) -> None:
    """Otherwise a host's boot messages move the cursor of whoever reads them, or fill the journal."""
    shown = plain_console(text)
    assert len(shown.encode()) <= 4096 and shown.count("\n") < 40
    assert all(char in "\n\t" or ord(char) >= 32 for char in shown) and "\x1b" not in shown


def test_a_console_shows_its_end_and_no_secrets() -> None:
    """Otherwise the journal keeps a password that a host printed while it started."""
    text = "\n".join(f"line {number}" for number in range(100)) + "\n\x1b[31mdb_password=hunter2 and more\x1b[0m\r\n"
    shown = plain_console(text)
    assert shown.startswith("line 61\n") and shown.endswith("db_password=… and more")

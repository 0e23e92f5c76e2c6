"""What the platform says of hosts, as a verdict."""

from __future__ import annotations

from healthchecks import hosts
from healthchecks.base import Verdict
from healthchecks.hosts import Options
from providers.base import HostStatus
from tests.healthchecks.fakes import World


def ask(*statuses: HostStatus) -> Verdict:
    """About green with these hosts."""
    return hosts.ask(Options(), World(statuses={"green": statuses}).subject())


def test_an_impaired_host_fails_with_its_console() -> None:
    """Otherwise the kernel's last words are gone with the host."""
    verdict = ask(HostStatus("i-1", "ok"), HostStatus("i-2", "impaired", "unreachable", "x" * 9000 + "panic"))
    assert (verdict.answer, verdict.severity) == ("fail", 0.5)
    assert "i-2: unreachable" in verdict.summary
    assert verdict.evidence["consoles"]["i-2"].endswith("panic")
    assert len(verdict.evidence["consoles"]["i-2"]) == hosts.CONSOLE


def test_a_failure_outweighs_what_is_not_known() -> None:
    """Otherwise one host that starts hides the one that is dead."""
    assert ask(HostStatus("i-1", "unknown"), HostStatus("i-2", "impaired")).answer == "fail"


def test_an_unjudged_host_and_no_host_are_unknown() -> None:
    """Otherwise a gate passes before the platform has looked, or over an empty side."""
    assert ask(HostStatus("i-1", "ok"), HostStatus("i-2", "unknown", "initializing")).answer == "unknown"
    assert ask().answer == "unknown"


def test_an_event_to_come_is_told_and_passes() -> None:
    """Otherwise a retirement in two weeks turns every patch back."""
    verdict = ask(HostStatus("i-1", "ok", "instance-retirement from 2026-05-01"))
    assert verdict.answer == "pass" and "instance-retirement" in verdict.summary


def test_few_consoles_are_kept() -> None:
    """Otherwise a fleet that is down fills the journal."""
    verdict = ask(*(HostStatus(f"i-{number}", "impaired", "", "x") for number in range(50)))
    assert len(verdict.evidence["consoles"]) == hosts.CONSOLES
    assert len(verdict.evidence["impaired"]) == hosts.SHOWN

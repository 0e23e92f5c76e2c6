"""Does the platform itself call every host of the slot well?

A host that the platform calls impaired fails, with the last lines of its console; one that it has not judged yet is
unknown, and so is a slot of which it knows no host. Severity: the share of the hosts that are impaired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import HostStatus

SHOWN = 20  # hosts of a kind in the evidence
CONSOLES, CONSOLE = 3, 4096  # consoles in the evidence, characters of each


@dataclass(frozen=True)
class Options:
    """Nothing to choose: the platform decides what is well."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    hosts = list(subject.readings.statuses(subject.slot))
    impaired = [host for host in hosts if host.state == "impaired"]
    open_yet = [host for host in hosts if host.state not in ("ok", "impaired")]
    told = [host for host in hosts if host.state == "ok" and host.reason]
    evidence = {
        "hosts": len(hosts),
        "impaired": [_line(host) for host in impaired[:SHOWN]],
        "unknown": [_line(host) for host in open_yet[:SHOWN]],
        "told": [_line(host) for host in told[:SHOWN]],
        "consoles": {short(host.host): host.console[-CONSOLE:] for host in impaired[:CONSOLES] if host.console},
    }
    if not hosts:
        return Verdict.unknown(f"the platform knows no host of {subject.slot}", **evidence)
    if impaired:
        summary = f"{len(impaired)} of {len(hosts)} hosts impaired: {_line(impaired[0])}"
        return Verdict.failed(summary, severity=len(impaired) / len(hosts), **evidence)
    if open_yet:
        return Verdict.unknown(f"{len(open_yet)} of {len(hosts)} hosts not judged: {_line(open_yet[0])}", **evidence)
    events = f"; {_line(told[0])}" if told else ""
    return Verdict.passed(f"{len(hosts)} hosts well{events}", **evidence)


def _line(host: HostStatus) -> str:
    return f"{short(host.host)}: {short(host.reason) or 'no reason given'}"

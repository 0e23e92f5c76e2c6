"""Does the platform's patch agent find the slot's hosts patched, each of them, and lately?

What is missing, failed, or waits for a reboot fails. A host without a finding, or with an old one, is unknown: no
coverage is never clean. Asked about the original, it judges only whether there are findings: it is what is to be
patched. Severity: the share of the hosts that are not as they should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import HostInventory, PatchState

SHOWN = 20  # hosts in the evidence
CLOCK_ERROR_S = 300.0  # a finding may come from a host whose clock is ahead


@dataclass(frozen=True)
class Options:
    """`max_missing_security` and `max_missing` (None: not judged) are how many patches a host may lack.

    `max_age_s` is how many seconds old what was found on a host may be.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    max_missing_security: int = 0
    max_missing: int | None = None
    max_age_s: float = 86_400.0

    def __post_init__(self) -> None:
        if self.max_missing_security < 0 or (self.max_missing is not None and self.max_missing < 0):
            raise ValueError("max_missing_security and max_missing are 0 or more")
        if not self.max_age_s > 0:
            raise ValueError("max_age_s is more than 0")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    hosts = list(subject.readings.inventory(subject.slot))
    unseen = len(subject.readings.instances(subject.slot)) - len(hosts)
    unclear = [f"{unseen} instances of {subject.slot} have no inventory"] if unseen > 0 else []
    unclear += [why for host in hosts if (why := _unknown(host, options, subject.now))]
    if not hosts:
        unclear.append("there are no hosts")
    wrong = [] if subject.role == "original" else [why for host in hosts if (why := _wrong(host, options))]
    evidence = _evidence(hosts, wrong, unclear)
    if wrong:
        return Verdict.failed(_first(wrong), severity=len(wrong) / len(hosts), **evidence)
    if unclear:
        return Verdict.unknown(_first(unclear), **evidence)
    what = "are known" if subject.role == "original" else "are as they should be"
    return Verdict.passed(f"the patches of {len(hosts)} hosts {what}", **evidence)


def _unknown(host: HostInventory, options: Options, now: float) -> str:
    name, state = short(host.host, 80), host.patches
    if state is None:
        return f"{name}: its patch agent found nothing yet" + (f" ({short(host.problem)})" if host.problem else "")
    age = now - state.at
    if age > options.max_age_s:
        return f"{name}: its patches were looked at {age:.0f} s ago, at most {options.max_age_s:.0f} are allowed"
    if age < -CLOCK_ERROR_S:
        return f"{name}: its patches were looked at {-age:.0f} s in the future"
    counts = (state.installed, state.missing, state.missing_security, state.failed, state.pending_reboot)
    return f"{name}: its patch agent counts fewer than none" if min(counts) < 0 else ""


def _wrong(host: HostInventory, options: Options) -> str:
    """What was found, however old: a host does not get better by not being looked at."""
    state = host.patches
    found = _findings(state, options) if state else []
    return f"{short(host.host, 80)}: {', '.join(found)}" if found else ""


def _findings(state: PatchState, options: Options) -> list[str]:
    found = []
    if state.missing_security > options.max_missing_security:
        found.append(f"{state.missing_security} security patches missing")
    if options.max_missing is not None and state.missing > options.max_missing:
        found.append(f"{state.missing} patches missing")
    if state.failed > 0:
        found.append(f"{state.failed} patches failed")
    if state.pending_reboot > 0:
        found.append(f"{state.pending_reboot} patches wait for a reboot")
    return found


def _evidence(hosts: Sequence[HostInventory], wrong: Sequence[str], unclear: Sequence[str]) -> dict[str, Any]:
    states = [host.patches for host in hosts if host.patches]
    names = ("installed", "missing", "missing_security", "failed", "pending_reboot")
    return {
        "hosts": len(hosts),
        "looked_at": len(states),
        **{name: sum(int(getattr(state, name)) for state in states) for name in names},
        "oldest": min((float(state.at) for state in states), default=None),
        "baselines": sorted({short(state.baseline, 80) for state in states})[:SHOWN],
        "wrong": list(wrong[:SHOWN]),
        "wrong_count": len(wrong),
        "unclear": list(unclear[:SHOWN]),
        "unclear_count": len(unclear),
    }


def _first(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)"

"""Does the balancer itself call enough of the slot's targets healthy?

Own requests are not enough: traffic goes where the balancer believes it can. One unhealthy target fails, one
that was not judged yet is unknown, and a slot without targets fails. Severity: the share of the targets (of those
needed, if there are fewer) that are not healthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import TargetHealth

SHOWN = 20  # reasons in the evidence


@dataclass(frozen=True)
class Options:
    """`min_healthy` targets have to be healthy; None: as many as the capacity that the slot has to have."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    min_healthy: int | None = None

    def __post_init__(self) -> None:
        if self.min_healthy is not None and self.min_healthy < 1:
            raise ValueError("min_healthy is at least 1")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    targets = subject.readings.targets(subject.slot)
    if targets is None:
        return Verdict.unknown(f"the balancer says nothing about the targets of {subject.slot}")
    if min(targets.healthy, targets.unhealthy, targets.unknown) < 0:
        return Verdict.unknown("the balancer counts fewer than no targets")
    needed = max(1, subject.capacity if options.min_healthy is None else options.min_healthy)
    return _judge(targets, needed, _evidence(targets, needed))


def _judge(targets: TargetHealth, needed: int, evidence: Mapping[str, Any]) -> Verdict:
    wanted = max(needed, targets.total)
    severity = (wanted - targets.healthy) / wanted  # what is not there is not healthy either
    if not targets.total:
        return Verdict.failed("the balancer has no targets for this slot", severity=severity, **evidence)
    if targets.unhealthy:
        why = "; ".join(evidence["reasons"][:3]) or "no reason given"
        summary = f"{targets.unhealthy} of {targets.total} targets unhealthy: {why}"
        return Verdict.failed(summary, severity=severity, **evidence)
    if targets.total < needed:
        return Verdict.failed(f"only {targets.total} targets, {needed} are needed", severity=severity, **evidence)
    if targets.unknown:
        summary = f"{targets.unknown} of {targets.total} targets not judged by the balancer yet"
        return Verdict.unknown(summary, **evidence)
    return Verdict.passed(f"{targets.healthy} targets healthy, {needed} needed", **evidence)


def _evidence(targets: TargetHealth, needed: int) -> dict[str, Any]:
    counts = {"healthy": targets.healthy, "unhealthy": targets.unhealthy, "unknown": targets.unknown}
    return {**counts, "needed": needed, "reasons": [short(reason) for reason in targets.reasons[:SHOWN]]}

"""Asking at several places and summing it up: the worst finding counts, and a verdict shows the worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from healthchecks.base import Answer, Subject, Verdict
from healthchecks.guard import short
from providers.base import Instance

SHOWN = 20  # findings in the evidence
AT_ONCE = 16

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Finding:
    """What asking at one place showed; `why` is empty when it is as expected. `bad` is its share in the severity."""

    where: str
    answer: Answer
    why: str
    facts: tuple[tuple[str, Any], ...] = ()
    bad: float = 1.0

    def plain(self) -> dict[str, Any]:
        return {"where": self.where, "answer": self.answer, "why": self.why, **dict(self.facts)}


def ask_each(places: Sequence[Place], ask: Callable[[Place], Finding]) -> list[Finding]:
    """All places, several at once, each once."""
    if not places:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(places))) as pool:
        return list(pool.map(ask, places))


def running(subject: Subject) -> tuple[Sequence[Instance], Finding | None]:
    """The slot's running instances or, when there are none, what that means."""
    instances = subject.readings.instances(subject.slot)
    found = [instance for instance in instances if instance.state == "running"]
    if found:
        return found, None
    starting = any(instance.state == "starting" for instance in instances)
    return [], Finding("instances", "unknown" if starting else "fail", "no instance is running")


def name_of(instance: Instance) -> str:
    return f"instance {short(instance.id, 80)}"


def sum_up(findings: Iterable[Finding]) -> Verdict:
    """The verdict over all places. Nothing that was asked is unknown."""
    order = {"fail": 0, "unknown": 1, "pass": 2}
    ranked = sorted(findings, key=lambda finding: order[finding.answer])
    if not ranked:
        return Verdict.unknown("there was no place to ask")
    wrong = [finding for finding in ranked if finding.answer == ranked[0].answer and finding.why]
    evidence = {"asked": [finding.plain() for finding in ranked[:SHOWN]], "places": len(ranked)}
    if not wrong:
        return Verdict.passed(f"{len(ranked)} of {len(ranked)} answered as expected", **evidence)
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    summary = f"{wrong[0].where} {wrong[0].why}{more}"
    if wrong[0].answer == "unknown":
        return Verdict.unknown(summary, **evidence)
    severity = sum(finding.bad for finding in ranked if finding.answer != "pass") / len(ranked)
    return Verdict.failed(summary, severity=min(1.0, severity), **evidence)

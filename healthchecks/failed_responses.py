"""Do too many of the slot's answers to real traffic fail, by themselves or compared with the side beside it?

Counted from the gate's beginning. An answer is a response of any class or a request that the balancer had to
answer for (`failed`); bad are 5xx and `failed`. Requests without an answer yet count for nothing: a side
that only swallows requests never reaches `min_requests`, and too little traffic is unknown, not good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded
from providers.base import Counters, Reading, Slot

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True)
class Options:
    """Shares are of answers, 0.01 is one in a hundred.

    At most `max_share` may be bad (5xx or failed). At most `max_share_above_other` more than on the side
    beside it may be bad or, with `count_4xx`, 4xx: a patch that breaks requests often shows as 4xx. Fewer
    than `min_requests` answers on this side is unknown; fewer beside it leaves only `max_share`.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    max_share: float = 0.01
    max_share_above_other: float = 0.01
    min_requests: int = 20
    count_4xx: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.max_share <= 1 and 0 <= self.max_share_above_other <= 1):
            raise ValueError("max_share and max_share_above_other are shares from 0 to 1")
        if self.min_requests < 1:
            raise ValueError("min_requests is at least 1: without answers nothing can be judged")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did between two readings. Shares are exact, so that a limit means what it says."""

    requests: int
    answers: int
    refused: int  # 4xx
    bad: int  # 5xx, and what the balancer had to answer for

    @property
    def bad_share(self) -> Fraction:
        return Fraction(self.bad, self.answers) if self.answers else Fraction(0)

    def share(self, count_4xx: bool) -> Fraction:
        counted = self.bad + (self.refused if count_4xx else 0)
        return Fraction(counted, self.answers) if self.answers else Fraction(0)

    def plain(self) -> dict[str, Any]:
        counts = {"requests": self.requests, "answers": self.answers, "4xx": self.refused, "bad": self.bad}
        return {**counts, "share_bad": float(self.bad_share), "share_with_4xx": float(self.share(True))}


def between(before: Counters, after: Counters) -> Side | None:
    """What happened from `before` to `after`; None when a counter ran backwards and means nothing."""
    by_class = {
        name: after.responses.get(name, 0) - before.responses.get(name, 0)
        for name in {*CLASSES, *before.responses, *after.responses}
    }
    failed, requests = after.failed - before.failed, after.requests - before.requests
    if min(failed, requests, *by_class.values()) < 0:
        return None
    answers = sum(by_class.values()) + failed
    return Side(requests, answers, by_class["4xx"], by_class["5xx"] + failed)


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    since, now = subject.readings.since, subject.readings.traffic()
    if since is None:
        return Verdict.unknown("there is no earlier reading to count from")
    if since.counters_id != now.counters_id:
        return Verdict.unknown("the balancer's counters began anew since the gate began")
    here, beside = _side(since, now, subject.slot), _side(since, now, subject.beside)
    if here is None or beside is None:
        missing = subject.slot if here is None else subject.beside
        return Verdict.unknown(f"the balancer's counters for {missing} are missing or ran backwards")
    comparable = beside.answers >= options.min_requests
    evidence = {"this": here.plain(), "beside": beside.plain(), "compared": comparable}
    return _judge(options, here, beside if comparable else None, evidence)


def _side(since: Reading, now: Reading, slot: Slot) -> Side | None:
    if slot not in since.counters or slot not in now.counters:
        return None
    return between(since.counters[slot], now.counters[slot])


def _judge(options: Options, here: Side, beside: Side | None, evidence: Mapping[str, Any]) -> Verdict:
    if here.answers < options.min_requests:
        return Verdict.unknown(f"{here.answers} answers seen, {options.min_requests} needed", **evidence)
    if here.bad_share > _limit(options.max_share):
        failed = f"{_percent(here.bad_share)} of {here.answers} answers failed"
        return Verdict.failed(f"{failed}, {options.max_share:.2%} allowed", **evidence)
    if beside is None:
        return Verdict.passed(f"{_percent(here.bad_share)} failed; too little beside to compare", **evidence)
    ours, theirs = here.share(options.count_4xx), beside.share(options.count_4xx)
    kinds = "4xx, 5xx or failed" if options.count_4xx else "5xx or failed"
    summary = f"{kinds}: {_percent(ours)} of {here.answers} answers, {_percent(theirs)} beside"
    if ours - theirs > _limit(options.max_share_above_other):
        return Verdict.failed(f"{summary}; {options.max_share_above_other:.2%} more is allowed", **evidence)
    return Verdict.passed(summary, **evidence)


def _limit(share: float) -> Fraction:
    return Fraction(str(share))  # as it was written: 0.01 is one in a hundred


def _percent(share: Fraction) -> str:
    return f"{float(share):.2%}"

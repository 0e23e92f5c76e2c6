"""Do too many of the slot's answers to real traffic fail, by themselves or compared with the side beside it?

Counted from the gate's beginning. A request ends with a response of any class, with an answer of the balancer in
the target's stead (`failed`), or unanswered: its client left, or it was broken off. Bad are 5xx, `failed` and
unanswered. What has not ended cannot be judged, but when it piles up on one side only, that side fails.
Severity: the share of bad (with `count_4xx` also of 4xx; what piles up counts as bad) in all that was judged.

With Δ for what changed since the gate began, and `growth` = max(0, Δin_flight):

    unanswered = Δrequests - Δresponses - Δfailed - growth        (0 if that is not above RACING)
    waiting    = growth
    arrived    = Δresponses + Δfailed + unanswered + waiting

Some balancers count a request when it arrives, others when it ends; both are right here. Counted on arrival,
Δrequests - Δresponses - Δfailed is what was given up plus Δin_flight: `unanswered` is exact while in_flight grows,
and too small by the shrinkage when it shrinks. Counted at the end, the difference is what was given up alone:
`unanswered` is then too small by `growth`. So it never counts a request that was answered or may yet be, and with
connections that only stay open, which do not grow for ever, nothing is missed for long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded
from providers.base import Counters, Reading, Slot

FEW = 10  # so many more in flight than before are no pile
RACING = 3
"""So many unanswered requests are none: counters that are not read at one instant miss an answer that just came."""

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


@dataclass(frozen=True)
class Options:
    """Shares are of requests that ended, 0.01 is one in a hundred.

    At most `max_share` may be bad (5xx, failed or unanswered: set it above the share of clients who leave
    early anyway). At most `max_share_above_other` more than on the side
    beside it may be bad or, with `count_4xx`, 4xx: a patch that breaks requests often shows as 4xx. Fewer
    than `min_requests` on this side is unknown; fewer beside it leaves only `max_share`.

    Requests pile up when in-flight ones became more by over 10 and by over `max_in_flight_share` of all that
    arrived. That much more than beside fails; without enough beside, or when they pile up there too, it is
    unknown. 1 switches it off, for clients that keep their connections open and are counted by them.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    max_share: float = 0.01
    max_share_above_other: float = 0.01
    min_requests: int = 20
    count_4xx: bool = True
    max_in_flight_share: float = 0.2

    def __post_init__(self) -> None:
        shares = self.max_share, self.max_share_above_other, self.max_in_flight_share
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("max_share, max_share_above_other and max_in_flight_share are shares from 0 to 1")
        if self.min_requests < 1:
            raise ValueError("min_requests is at least 1: without answers nothing can be judged")


@dataclass(frozen=True, slots=True)
class Side:
    """What one side did between two readings. Shares are exact, so that a limit means what it says."""

    requests: int
    answers: int  # responses, and what the balancer had to answer for
    refused: int  # 4xx
    unanswered: int  # ended without an answer
    waiting: int  # by how much those in flight became more
    bad: int  # 5xx, what the balancer had to answer for, and unanswered

    @property
    def ended(self) -> int:
        return self.answers + self.unanswered

    @property
    def arrived(self) -> int:
        return self.ended + self.waiting

    @property
    def bad_share(self) -> Fraction:
        return _share(self.bad, self.ended)

    @property
    def waiting_share(self) -> Fraction:
        return _share(self.waiting, self.arrived)

    def share(self, count_4xx: bool) -> Fraction:
        return _share(self._counted(count_4xx), self.ended)

    def piles_up(self, limit: Fraction) -> bool:
        return self.waiting > FEW and self.waiting_share > limit

    def severity(self, count_4xx: bool, limit: Fraction) -> float:
        waiting = self.waiting if self.piles_up(limit) else 0
        return float(_share(self._counted(count_4xx) + waiting, self.ended + waiting))

    def plain(self) -> dict[str, Any]:
        counts = {"requests": self.requests, "answers": self.answers, "4xx": self.refused, "bad": self.bad}
        counts |= {"unanswered": self.unanswered, "waiting": self.waiting}
        return {**counts, "share_bad": float(self.bad_share), "share_with_4xx": float(self.share(True))}

    def _counted(self, count_4xx: bool) -> int:
        return self.bad + (self.refused if count_4xx else 0)


def between(before: Counters, after: Counters) -> Side | None:
    """What happened from `before` to `after`; None when a counter ran backwards and means nothing."""
    by_class = {
        name: after.responses.get(name, 0) - before.responses.get(name, 0)
        for name in {*CLASSES, *before.responses, *after.responses}
    }
    failed, requests = after.failed - before.failed, after.requests - before.requests
    if min(failed, requests, before.in_flight, after.in_flight, *by_class.values()) < 0:
        return None
    answers, waiting = sum(by_class.values()) + failed, max(0, after.in_flight - before.in_flight)
    missing = requests - answers - waiting
    unanswered = missing if missing > RACING else 0
    bad = by_class["5xx"] + failed + unanswered
    return Side(requests, answers, by_class["4xx"], unanswered, waiting, bad)


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    since, now = subject.readings.since, subject.readings.traffic()
    if since is None:
        return Verdict.unknown("there is no earlier reading to count from")
    if uncounted := [slot for slot in (subject.slot, subject.beside) if slot not in now.counters]:
        told = "they cannot be read now, or it does not count by side"
        return Verdict.unknown(f"the balancer's counters for {' and '.join(uncounted)} are missing: {told}")
    if since.counters_id != now.counters_id:
        return Verdict.unknown("the balancer's counters began anew since the gate began")
    here, beside = _side(since, now, subject.slot), _side(since, now, subject.beside)
    if here is None or beside is None:
        missing = subject.slot if here is None else subject.beside
        return Verdict.unknown(f"the balancer's counters for {missing} are missing or ran backwards")
    comparable = beside.ended >= options.min_requests
    evidence = {"this": here.plain(), "beside": beside.plain(), "compared": comparable}
    return _judge(options, here, beside if comparable else None, evidence)


def _side(since: Reading, now: Reading, slot: Slot) -> Side | None:
    if slot not in since.counters or slot not in now.counters:
        return None
    return between(since.counters[slot], now.counters[slot])


def _judge(options: Options, here: Side, beside: Side | None, evidence: Mapping[str, Any]) -> Verdict:
    severity = here.severity(options.count_4xx, _limit(options.max_in_flight_share))
    enough = here.ended >= options.min_requests
    if wrong := (_too_many(options, here, beside) if enough else "") or _piles_up_here(options, here, beside):
        return Verdict.failed(wrong, severity=severity, **evidence)
    if here.arrived >= options.min_requests and here.piles_up(_limit(options.max_in_flight_share)):
        why = "too little beside to compare" if beside is None else "they pile up beside as well"
        return Verdict.unknown(f"{_piled(here)}; {why}", **evidence)
    if not enough:
        return Verdict.unknown(f"{here.ended} requests seen, {options.min_requests} needed", **evidence)
    if beside is None:
        return Verdict.passed(f"{_percent(here.bad_share)} failed; too little beside to compare", **evidence)
    return Verdict.passed(_compared(options, here, beside), **evidence)


def _too_many(options: Options, here: Side, beside: Side | None) -> str:
    """Why the requests that ended fail; empty if they do not."""
    if here.bad_share > _limit(options.max_share):
        unanswered = f" ({here.unanswered} had no answer)" if here.unanswered else ""
        failed = f"{_percent(here.bad_share)} of {here.ended} requests failed{unanswered}"
        return f"{failed}, {options.max_share:.2%} allowed"
    if beside is None:
        return ""
    more = here.share(options.count_4xx) - beside.share(options.count_4xx)
    if more > _limit(options.max_share_above_other):
        return f"{_compared(options, here, beside)}; {options.max_share_above_other:.2%} more is allowed"
    return ""


def _piles_up_here(options: Options, here: Side, beside: Side | None) -> str:
    """Why the requests in flight fail: they pile up here, and not beside; empty if they do not."""
    limit = _limit(options.max_in_flight_share)
    if beside is None or here.arrived < options.min_requests or not here.piles_up(limit):
        return ""
    if here.waiting_share - beside.waiting_share <= limit:
        return ""
    return f"{_piled(here)}, {_percent(beside.waiting_share)} beside; {options.max_in_flight_share:.2%} more is allowed"


def _compared(options: Options, here: Side, beside: Side) -> str:
    kinds = "4xx, 5xx or failed" if options.count_4xx else "5xx or failed"
    ours, theirs = here.share(options.count_4xx), beside.share(options.count_4xx)
    return f"{kinds}: {_percent(ours)} of {here.ended} requests, {_percent(theirs)} beside"


def _piled(here: Side) -> str:
    return f"requests pile up: {_percent(here.waiting_share)} of {here.arrived} wait for an answer"


def _share(part: int, whole: int) -> Fraction:
    return Fraction(part, whole) if whole else Fraction(0)


def _limit(share: float) -> Fraction:
    return Fraction(str(share))  # as it was written: 0.01 is one in a hundred


def _percent(share: Fraction) -> str:
    return f"{float(share):.2%}"

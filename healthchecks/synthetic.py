"""Do declared requests, sent through the side's test route, come back as they should?

Each of `requests` is sent `times`; the share of those that failed is judged, all of them together. What had no answer
within `subject.timeout_s` (which bounds the whole ask), or was not sent because the time was over, may have failed or
not: if that makes the difference, the verdict is unknown. Severity: the share that failed.

Warming up: the first `warm_up` requests are sent before those that are judged, in half of the time at most, and their
answers do not count: caches fill, pools open, code is compiled. A side that is still cold in the first look of a gate
is therefore not blamed for it, and a gate wants several passes in a row anyway. Nothing is remembered between two
looks, so each look begins with warming up.

GET, HEAD and OPTIONS change nothing in a sound service. Others do: `unsafe_methods` says that these requests may be
sent any number of times, to both sides, at any time that a gate is open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import cycle, islice
from typing import Any, ClassVar, Literal

from healthchecks import answers, sources
from healthchecks.addresses import Pinned, Refused
from healthchecks.answers import Expected
from healthchecks.base import Answer, Subject, Verdict
from healthchecks.deadline import Deadline
from healthchecks.fetch import fetch, fetch_first
from healthchecks.guard import guarded, short
from healthchecks.jsonpath import Value
from providers.base import TestRoute

SAFE = ("GET", "HEAD", "OPTIONS")
MOST = 1000
MOST_AT_ONCE = 16
BODY_BYTES = 64 * 1024
SHOWN = 20


@dataclass(frozen=True)
class Request:
    """One request (`method`, `path`, `headers`, `body`) and what its answer has to be, as in the check `http`."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    path: str = "/"
    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    expect_status: Sequence[int] = tuple(range(200, 300))
    expect_headers: Mapping[str, str | None] = field(default_factory=dict)
    body_contains: str | None = None
    body_json: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        answers.raise_if_unfit(self.path, self.expect_status, self.headers, self.expected)
        if self.body and self.method in SAFE:
            raise ValueError(f"body: a {self.method} request has none")
        if len(self.body.encode()) > BODY_BYTES:
            raise ValueError(f"body has at most {BODY_BYTES // 1024} KiB")
        if (self.body_contains is not None or self.body_json) and self.method == "HEAD":
            raise ValueError("an answer to HEAD has no body to look into: use GET or leave out what it should have")

    @property
    def expected(self) -> Expected:
        return Expected(self.expect_status, self.expect_headers, self.body_contains, self.body_json)


@dataclass(frozen=True)
class Options:
    """`requests` are sent one after the other, all of them `times`, `at_once` at the same time.

    At most `max_failed_share` of them may fail (0.01 is one in a hundred). An answer that takes longer than
    `max_latency_s` has failed (None: not judged). `warm_up` requests go before them and are not judged.
    `unsafe_methods` says that other methods than GET, HEAD and OPTIONS may be sent.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    requests: Sequence[Request]
    times: int = 1
    at_once: int = 1
    max_failed_share: float = 0.0
    max_latency_s: float | None = None
    warm_up: int = 0
    unsafe_methods: bool = False

    def __post_init__(self) -> None:
        if not self.requests:
            raise ValueError("requests has at least one")
        if self.times < 1 or self.times * len(self.requests) > MOST:
            raise ValueError(f"times is at least 1, and not more than {MOST} requests are sent in all")
        if not 0 <= self.warm_up <= MOST:
            raise ValueError(f"warm_up is from 0 to {MOST}")
        if not 1 <= self.at_once <= MOST_AT_ONCE:
            raise ValueError(f"at_once is from 1 to {MOST_AT_ONCE}")
        if not 0 <= self.max_failed_share <= 1:
            raise ValueError("max_failed_share is a share from 0 to 1")
        if self.max_latency_s is not None and not self.max_latency_s > 0:
            raise ValueError("max_latency_s is more than 0")
        unsafe = [each.method for each in self.requests if each.method not in SAFE]
        if unsafe and not self.unsafe_methods:
            raise ValueError(f"requests: {unsafe[0]} may change something; unsafe_methods: true says that it is safe")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one request."""

    request: Request
    answer: Answer
    why: str
    seconds: float = 0.0


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    route: TestRoute = subject.readings.test_route(subject.slot)
    with Deadline(subject.timeout_s) as deadline:
        try:
            at = sources.of_test_route(route.url, deadline)
        except Refused as refused:
            return Verdict.unknown(f"the test route was not asked: {refused}")
        warmed = _warm_up(options, at, route, subject.timeout_s / 2)
        wanted = list(options.requests) * options.times
        sent = _send(wanted, options, at, route, deadline)
    return _judge(options, sent, warmed)


def _warm_up(options: Options, at: Sequence[Pinned], route: TestRoute, seconds: float) -> int:
    """How many requests were answered at all; nothing else about them matters."""
    if not options.warm_up:
        return 0
    requests = list(islice(cycle(options.requests), options.warm_up))
    with Deadline(seconds) as deadline:
        sent = _send(requests, options, at, route, deadline)
    return sum(each.seconds > 0 and each.answer != "unknown" for each in sent)


def _send(
    requests: Sequence[Request], options: Options, at: Sequence[Pinned], route: TestRoute, deadline: Deadline
) -> list[Sent]:
    with ThreadPoolExecutor(options.at_once) as pool:
        return list(pool.map(lambda each: _send_one(each, options, at, route, deadline), requests))


def _send_one(request: Request, options: Options, at: Sequence[Pinned], route: TestRoute, deadline: Deadline) -> Sent:
    headers = {**request.headers, **route.headers}
    if request.method in SAFE:
        found = fetch_first(at, request.path, headers, request.method, deadline)
    else:
        found = fetch(at[0], request.path, headers, request.method, deadline, request.body.encode())
    answer, why = answers.judge(found, request.expected)
    if answer == "pass" and options.max_latency_s is not None and found.seconds > options.max_latency_s:
        answer, why = "fail", f"took {found.seconds:.2f} s, more than {options.max_latency_s:g} s"
    return Sent(request, answer, why, found.seconds)


def _judge(options: Options, sent: Sequence[Sent], warmed: int) -> Verdict:
    failed = [each for each in sent if each.answer == "fail"]
    unclear = [each for each in sent if each.answer == "unknown"]
    limit = Fraction(str(options.max_failed_share))  # as it was written: 0.01 is one in a hundred
    evidence: dict[str, Any] = {
        "sent": len(sent),
        "failed": len(failed),
        "unanswered": len(unclear),
        "warmed_up": warmed,
        "slowest_s": round(max(each.seconds for each in sent), 4),
        "trouble": _trouble([*failed, *unclear]),
    }
    if Fraction(len(failed), len(sent)) > limit:
        share = f"{len(failed)} of {len(sent)} requests failed, {options.max_failed_share:.2%} may"
        return Verdict.failed(f"{share}: {_told(failed[0])}", severity=len(failed) / len(sent), **evidence)
    if Fraction(len(failed) + len(unclear), len(sent)) > limit:
        return Verdict.unknown(f"{len(unclear)} of {len(sent)} requests: {_told(unclear[0])}", **evidence)
    few = f", {len(failed) + len(unclear)} of them not as expected" if failed or unclear else ""
    return Verdict.passed(f"{len(sent)} requests sent{few}", **evidence)


def _trouble(sent: Sequence[Sent]) -> list[dict[str, Any]]:
    """The kinds of trouble, the most frequent first."""
    counted = Counter(_told(each) for each in sent).most_common(SHOWN)
    return [{"what": what, "times": times} for what, times in counted]


def _told(sent: Sent) -> str:
    return f"{sent.request.method} {short(sent.request.path, 80)} {sent.why}"

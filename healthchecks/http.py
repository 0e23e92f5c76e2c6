"""Does the slot answer HTTP requests as it should, through the test route and at each running instance?

An answer that is not as expected, or a refused connection, is a fail. No complete answer within
`subject.timeout_s` (which bounds the whole ask, all samples included) or a broken way there is unknown. Severity:
the share of the places that did not answer as expected, and of the samples where only some were wrong or too slow;
in a verdict that fails anyway, places that stayed silent count too.

Where it may connect to is said in `addresses`. With `url` it asks one place beyond the slot instead, such as a login
server that both sides need: the answer is then the same for both sides, and its failing is nobody's patch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from healthchecks import answers, sources
from healthchecks.addresses import Pinned, Refused
from healthchecks.answers import Expected
from healthchecks.base import Subject, Verdict
from healthchecks.deadline import Deadline
from healthchecks.fetch import Fetched, fetch_first
from healthchecks.findings import Finding, ask_each, name_of, running, sum_up
from healthchecks.guard import guarded
from healthchecks.jsonpath import Value
from providers.base import Instance

MOST_SAMPLES = 1000


@dataclass(frozen=True)
class Options:
    """`path` is asked below the test route and at each running instance (`each_instance`).

    `method` is how. `expect_status` are the statuses that are right; redirects are not followed, so 302 is one
    only if named. `expect_headers` have to be there, with this value unless it is null.
    `body_contains` (within the first 64 KiB) is not judged when None. `body_json` has the values of a JSON answer by
    plain paths, such as `checks.0.ok: true`.
    `samples` requests are sent to each place, one after the other; each has to be as expected. `max_latency_s`
    (seconds to the complete answer; None: not judged) holds for `latency_percentile` percent of them.
    `headers` are sent to all; secrets among them are references.
    `url` is asked instead of the slot: a public place, or with `allow_private` also one in a private network.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    path: str = "/"
    expect_status: Sequence[int] = tuple(range(200, 300))
    method: Literal["GET", "HEAD"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    max_latency_s: float | None = None
    body_contains: str | None = None
    each_instance: bool = True
    expect_headers: Mapping[str, str | None] = field(default_factory=dict)
    body_json: Mapping[str, Value] = field(default_factory=dict)
    samples: int = 1
    latency_percentile: float = 95.0
    url: str | None = None
    allow_private: bool = False

    def __post_init__(self) -> None:
        answers.raise_if_unfit(self.path, self.expect_status, self.headers, self.expected)
        if self.max_latency_s is not None and not self.max_latency_s > 0:
            raise ValueError("max_latency_s is more than 0")
        if (self.body_contains is not None or self.body_json) and self.method == "HEAD":
            raise ValueError("an answer to HEAD has no body to look into: use GET or leave out what it should have")
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise ValueError(f"samples is from 1 to {MOST_SAMPLES}")
        if not 0 < self.latency_percentile <= 100:
            raise ValueError("latency_percentile is more than 0 and at most 100")
        if self.url is not None:
            sources.raise_if_never_url(self.url, self.allow_private)
            if self.path != "/":
                raise ValueError("url has a path of its own: leave out path")
        elif self.allow_private:
            raise ValueError("allow_private is for url only: instances and test routes may be private anyway")

    @property
    def expected(self) -> Expected:
        return Expected(self.expect_status, self.expect_headers, self.body_contains, self.body_json)

    @property
    def slow_allowed(self) -> int:
        """So many samples may be slower than max_latency_s (the percentile by nearest rank)."""
        return self.samples - math.ceil(self.latency_percentile * self.samples / 100)


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere to ask: `at` judges the address when it is time, `path` comes behind it."""

    where: str
    at: Callable[[Deadline], Sequence[Pinned]]
    headers: Mapping[str, str]
    path: str


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    findings = list[Finding]()
    if options.url is not None:
        places = [_own(options, options.url)]
    else:
        places = [_test_route(options, subject)]
        if options.each_instance:
            instances, finding = running(subject)
            places += [_instance(options, instance) for instance in instances]
            findings += [finding] if finding else []
    with Deadline(subject.timeout_s) as deadline:
        findings += ask_each(places, lambda place: _ask_at(place, options, deadline))
    return sum_up(findings)


def _own(options: Options, url: str) -> Place:
    return Place("url", lambda deadline: sources.of_url(url, options.allow_private, deadline), options.headers, "")


def _test_route(options: Options, subject: Subject) -> Place:
    route = subject.readings.test_route(subject.slot)
    headers = {**options.headers, **route.headers}
    return Place("test route", lambda deadline: sources.of_test_route(route.url, deadline), headers, options.path)


def _instance(options: Options, instance: Instance) -> Place:
    return Place(name_of(instance), lambda _: [sources.of_instance(instance)], options.headers, options.path)


def _ask_at(place: Place, options: Options, deadline: Deadline) -> Finding:
    try:
        at = place.at(deadline)
    except Refused as refused:
        return Finding(place.where, "unknown", f"was not asked: {refused}")
    samples = list[Fetched]()
    while len(samples) < options.samples and (deadline.left or not samples):
        samples.append(fetch_first(at, place.path, place.headers, options.method, deadline))
    return judge(place.where, samples, options)


def judge(where: str, samples: Sequence[Fetched], options: Options) -> Finding:
    """What the samples of one place mean together. There may be fewer than asked for: the time was over."""
    judged = [(found, *answers.judge(found, options.expected)) for found in samples]
    facts = _facts(samples)
    bad = [each for each in judged if each[1] == "fail"]
    if bad:
        of = f" ({len(bad)} of {len(samples)} times)" if options.samples > 1 else ""
        return Finding(where, "fail", f"{bad[0][2]}{of}", _facts([bad[0][0], *samples]), len(bad) / len(samples))
    answered = [found.seconds for found in samples if found.status is not None]
    limit = options.max_latency_s
    slow = [seconds for seconds in answered if limit is not None and seconds > limit]
    if len(slow) > options.slow_allowed:
        return Finding(where, "fail", _slow(slow, len(samples), options), facts, len(slow) / len(samples))
    unclear = [each for each in judged if each[1] == "unknown"]
    if unclear:
        return Finding(where, "unknown", unclear[0][2], facts)
    if len(samples) < options.samples:
        return Finding(where, "unknown", f"{len(samples)} of {options.samples} samples had time", facts)
    return Finding(where, "pass", "", facts)


def _slow(slow: Sequence[float], asked: int, options: Options) -> str:
    took = f"took {max(slow):.2f} s, more than {options.max_latency_s:g} s"
    if options.samples == 1:
        return took
    return f"{took} ({len(slow)} of {asked} requests; {options.slow_allowed} of {options.samples} may)"


def _facts(samples: Sequence[Fetched]) -> tuple[tuple[str, Any], ...]:
    """The status of the first sample, and how long the slowest took."""
    slowest = max(found.seconds for found in samples)
    return ("status", samples[0].status), ("seconds", round(slowest, 4)), ("samples", len(samples))

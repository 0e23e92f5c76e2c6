"""Does the slot answer HTTP requests as it should, through the test route and at each running instance?

An answer that is not as expected, or a refused connection, is a fail. No complete answer within
`subject.timeout_s` (which bounds the whole ask) or a broken way there is unknown. Severity: the share of the
places that did not answer as expected; in a verdict that fails anyway, those that stayed silent count too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from healthchecks.addresses import Pinned, Refused, pin
from healthchecks.base import Answer, Subject, Verdict
from healthchecks.fetch import BODY_BYTES, Deadline, Fetched, fetch
from healthchecks.guard import guarded, short
from providers.base import Instance

SHOWN = 20  # findings in the evidence
AT_ONCE = 16
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATH = re.compile(r"/[\x21-\x7e]*")


@dataclass(frozen=True)
class Options:
    """`path` is asked below the test route and at each running instance (`each_instance`).

    `method` is how. `expect_status` are the statuses that are right; redirects are not followed, so 302 is one
    only if named.
    `max_latency_s` (seconds to the complete answer) and `body_contains` (within the first 64 KiB) are not
    judged when None. `headers` are sent to both; keep secrets out of them.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    path: str = "/"
    expect_status: Sequence[int] = tuple(range(200, 300))
    method: Literal["GET", "HEAD"] = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    max_latency_s: float | None = None
    body_contains: str | None = None
    each_instance: bool = True

    def __post_init__(self) -> None:
        if not _PATH.fullmatch(self.path) or "#" in self.path:
            raise ValueError("path begins with / and is plain ASCII without spaces or #")
        if not self.expect_status or not all(100 <= status <= 599 for status in self.expect_status):
            raise ValueError("expect_status lists statuses from 100 to 599, at least one")
        if self.max_latency_s is not None and not self.max_latency_s > 0:
            raise ValueError("max_latency_s is more than 0")
        if self.body_contains is not None and self.method == "HEAD":
            raise ValueError("an answer to HEAD has no body to look into: use GET or leave out body_contains")
        for name, value in self.headers.items():
            if not _TOKEN.fullmatch(name) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
                raise ValueError("headers have plain names, and values without line breaks")


@dataclass(frozen=True, slots=True)
class Finding:
    """What asking at one place showed; `why` is empty when it is as expected."""

    where: str
    answer: Answer
    why: str
    status: int | None = None
    seconds: float = 0.0

    def plain(self) -> dict[str, Any]:
        timing = {"status": self.status, "seconds": round(self.seconds, 4)}
        return {"where": self.where, "answer": self.answer, "why": self.why, **timing}


Place = tuple[str, Callable[[], Pinned], Mapping[str, str]]


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    places, findings = _test_route(options, subject), list[Finding]()
    if options.each_instance:
        running, finding = _running(subject)
        places += [_instance(options, instance) for instance in running]
        findings += [finding] if finding else []
    with Deadline(subject.timeout_s) as deadline, ThreadPoolExecutor(AT_ONCE) as pool:
        findings += pool.map(lambda place: _ask_at(place, options, deadline), places)
    return _sum_up(findings)


def _test_route(options: Options, subject: Subject) -> list[Place]:
    route = subject.readings.test_route(subject.slot)
    return [("test route", lambda: pin(route.url), {**options.headers, **route.headers})]


def _running(subject: Subject) -> tuple[Sequence[Instance], Finding | None]:
    instances = subject.readings.instances(subject.slot)
    running = [instance for instance in instances if instance.state == "running"]
    if running:
        return running, None
    starting = any(instance.state == "starting" for instance in instances)
    return [], Finding("instances", "unknown" if starting else "fail", "no instance is running")


def _instance(options: Options, instance: Instance) -> Place:
    return f"instance {short(instance.id, 80)}", lambda: pin(f"http://{instance.address}"), options.headers


def _ask_at(place: Place, options: Options, deadline: Deadline) -> Finding:
    where, pinned, headers = place
    try:
        at = pinned()
    except Refused as refused:
        return Finding(where, "unknown", f"was not asked: {refused}")
    found = fetch(at, options.path, headers, options.method, deadline)
    answer, why = _judge(found, options)
    return Finding(where, answer, why, found.status, found.seconds)


def _judge(found: Fetched, options: Options) -> tuple[Answer, str]:
    if found.status is None:
        kinds: dict[str, tuple[Answer, str]] = {
            "refused": ("fail", "refused the connection or hung up"),
            "rubbish": ("fail", "did not answer with HTTP"),
            "timeout": ("unknown", "did not answer in time"),
        }
        answer, why = kinds.get(found.problem, ("unknown", "could not be reached"))
        return answer, f"{why} ({found.detail})"
    if found.status not in options.expect_status:
        return "fail", f"answered {found.status}"
    if options.max_latency_s is not None and found.seconds > options.max_latency_s:
        return "fail", f"took {found.seconds:.2f} s, more than {options.max_latency_s:g} s"
    if options.body_contains is not None and options.body_contains.encode() not in found.body:
        return "fail", f"the text looked for is not in the first {BODY_BYTES // 1024} KiB"
    return "pass", ""


def _sum_up(findings: Iterable[Finding]) -> Verdict:
    order = {"fail": 0, "unknown": 1, "pass": 2}
    ranked = sorted(findings, key=lambda finding: order[finding.answer])
    wrong = [finding for finding in ranked if finding.answer == ranked[0].answer and finding.why]
    evidence = {"asked": [finding.plain() for finding in ranked[:SHOWN]], "places": len(ranked)}
    if not wrong:
        return Verdict.passed(f"{len(ranked)} of {len(ranked)} answered as expected", **evidence)
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    summary = f"{wrong[0].where} {wrong[0].why}{more}"
    if wrong[0].answer == "unknown":
        return Verdict.unknown(summary, **evidence)
    severity = sum(finding.answer != "pass" for finding in ranked) / len(ranked)
    return Verdict.failed(summary, severity=severity, **evidence)

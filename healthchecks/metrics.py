"""Is one figure within its limits for the slot, by itself or compared with the side beside it?

The figure is the platform's own (`namespace`) or comes from a Prometheus server (`prometheus`), for both sides at the
same time. Where it is reported only when something happens, no data may mean nothing bad or nothing at all: zero is
believed only beside enough requests. Too few of them are unknown, whatever the figure. Severity: by how much the
limit is exceeded, as a share of the figure (or, below a `min`, of the limit).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from healthchecks import prometheus, promql
from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded
from providers.base import Metric, Slot

ADDED_UP = ("Sum", "SampleCount")
OVER_S = 300.0


@dataclass(frozen=True)
class Requests:
    """The figure that says how much traffic a side had: a sum of the platform's, or a `query` to Prometheus."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    namespace: str = ""
    name: str = ""
    statistic: Literal["Sum", "SampleCount"] = "Sum"
    dimensions: Mapping[str, str] = field(default_factory=dict)
    query: str | None = None

    def __post_init__(self) -> None:
        if (self.query is None) != bool(self.namespace and self.name) or (self.query and self.dimensions):
            raise ValueError("requests has either namespace and name or, for Prometheus, query")
        if self.query is not None:
            promql.raise_if_unfit(self.query)


@dataclass(frozen=True)
class Options:
    """`name` is what the figure is called. The platform's own: `namespace`, `statistic` (Sum, Average, Minimum,
    Maximum, SampleCount, p99 …) and `dimensions` say which, `over_s` over how long up to now; in dimensions,
    `{group}`, `{target_group}` and `{balancer}` stand for the names of the slot.

    From Prometheus: `prometheus` is the server's base address (public or, with `allow_private`, also in a private
    network), `query` the PromQL, which gives one number. In its quoted strings `{slot}` and `{service}` stand for
    names, and behind =~ `{instances}` for the host:port of each running instance. A sample that is older than
    `max_age_s` is not believed. What is computed has the time of the asking, however old its samples are: `newest` is
    a query for their time, such as max(timestamp(x)). `bearer_token` is a reference to a secret.

    The figure has to be at most `max`, at least `min`, and at most `max_times_other` times that of the side beside; up
    to `tolerated` it is never too much beside the other. With `per_request` it is divided by the side's requests
    first, for all limits.

    `missing`: what no data is, unknown or zero. `requests` is the figure of the traffic; with fewer than
    `min_requests` of them nothing is judged, and a side beside with fewer is not compared with.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    name: str
    namespace: str = ""
    statistic: str = ""
    dimensions: Mapping[str, str] = field(default_factory=dict)
    over_s: float = OVER_S
    max: float | None = None
    min: float | None = None
    max_times_other: float | None = None
    tolerated: float = 0.0
    per_request: bool = False
    missing: Literal["unknown", "zero"] = "unknown"
    requests: Requests | None = None
    min_requests: int = 20
    prometheus: str | None = None
    query: str | None = None
    newest: str | None = None
    max_age_s: float = 60.0
    allow_private: bool = False
    bearer_token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        limits = [limit for limit in (self.max, self.min, self.max_times_other) if limit is not None]
        if not limits:
            raise ValueError("max, min or max_times_other: without a limit nothing can fail")
        if not all(math.isfinite(limit) for limit in (*limits, self.tolerated, self.over_s)):
            raise ValueError("max, min, max_times_other, tolerated and over_s are finite numbers")
        if self.max_times_other is not None and self.max_times_other <= 0:
            raise ValueError("max_times_other is more than 0")
        if not 60 <= self.over_s <= 86400:
            raise ValueError("over_s is from 60 to 86400")
        if self.min_requests < 1:
            raise ValueError("min_requests is at least 1")
        if self.requests is None and (self.missing == "zero" or self.per_request):
            raise ValueError("requests: missing: zero and per_request need the figure of the traffic")
        if self.max_times_other is not None and self.statistic in ADDED_UP and not self.per_request:
            raise ValueError("per_request: sums of two sides with unequal traffic can be compared per request only")
        if self.requests is not None and (self.requests.query is None) != (self.prometheus is None):
            raise ValueError("requests comes from where the figure comes from: query for Prometheus, else namespace")
        if self.prometheus is None:
            self._raise_if_not_of_the_platform()
        else:
            self._raise_if_not_of_prometheus(self.prometheus)

    def _raise_if_not_of_the_platform(self) -> None:
        if not self.name or not self.namespace or not self.statistic:
            raise ValueError("namespace, name and statistic say which figure of the platform's; or use prometheus")
        if self.query or self.newest or self.allow_private or self.bearer_token:
            raise ValueError("query, newest, allow_private and bearer_token are for prometheus only")

    def _raise_if_not_of_prometheus(self, url: str) -> None:
        prometheus.raise_if_never_server(url, self.allow_private)
        if not self.query or self.namespace or self.statistic or self.dimensions or self.over_s != OVER_S:
            raise ValueError(
                "query says which figure of Prometheus: leave out namespace, statistic, dimensions, over_s"
            )
        for query in (self.query, self.newest):
            if query is not None:
                promql.raise_if_unfit(query)
        if self.max_times_other is not None and not promql.used(self.query) & {"slot", "instances"}:
            raise ValueError("query: without {slot} or {instances} both sides have the same figure, and never differ")
        if not 1 <= self.max_age_s <= 86400:
            raise ValueError("max_age_s is from 1 to 86400")
        if self.bearer_token is not None and not re.fullmatch(r"[\x20-\x7e]+", self.bearer_token):
            raise ValueError("bearer_token is plain ASCII")

    @property
    def metric(self) -> Metric:
        return Metric(self.namespace, self.name, self.statistic, dict(self.dimensions))

    @property
    def queries(self) -> list[str]:
        """What is asked of Prometheus for one side: the figure and, where wanted, its requests."""
        traffic = self.requests.query if self.requests else None
        return [query for query in (self.query, traffic) if query is not None]


@dataclass(frozen=True, slots=True)
class Side:
    """One slot's figure. `requests` None: not asked for. `usable` False: nothing can be judged by it, for `why`."""

    value: float
    requests: float | None = None
    usable: bool = True
    why: str = ""


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    evidence: dict[str, Any] = _source(options)
    try:
        figures, requests = _read(options, subject)
    except prometheus.NoFigure as none:
        return Verdict.unknown(f"{options.name}: {none}", **evidence)
    here = _side(options, subject.slot, figures, requests)
    beside = _side(options, subject.beside, figures, requests)
    evidence |= {"this": _plain(here), "beside": _plain(beside)}
    if not here.usable:
        return Verdict.unknown(f"{options.name}: {here.why}", **evidence)
    if found := _excess(options, here, beside):
        why, severity = found
        return Verdict.failed(f"{options.name} {why}", severity=severity, **evidence)
    compared = "" if options.max_times_other is None else _beside(beside)
    return Verdict.passed(f"{options.name} is {_number(here.value)}{compared}", **evidence)


def _source(options: Options) -> dict[str, Any]:
    if options.prometheus is not None:
        return {"figure": options.name[:200], "prometheus": options.prometheus[:200], "query": options.query}
    return {"figure": f"{options.namespace} {options.name} {options.statistic}"[:200], "over_s": options.over_s}


Figures = Mapping[Slot, float | None]


def _read(options: Options, subject: Subject) -> tuple[Figures, Figures | None]:
    """The figure of both slots and their requests, over the same time. Where it comes from is decided here alone."""
    if options.prometheus is not None:
        return _from_prometheus(options, options.prometheus, subject)
    end = subject.now
    figures = subject.readings.measured(options.metric, end - options.over_s, end)
    if options.requests is None:
        return figures, None
    of = options.requests
    traffic = Metric(of.namespace, of.name, of.statistic, dict(of.dimensions))
    return figures, subject.readings.measured(traffic, end - options.over_s, end)


def _from_prometheus(options: Options, url: str, subject: Subject) -> tuple[Figures, Figures | None]:
    server = prometheus.Server(url, options.allow_private, options.bearer_token, options.max_age_s)
    found = prometheus.both_sides(server, subject, options.queries, options.newest)
    figures = {slot: side[0] for slot, side in found.items()}
    return figures, None if options.requests is None else {slot: side[1] for slot, side in found.items()}


def _side(options: Options, slot: Slot, figures: Figures, requests: Figures | None) -> Side:
    value, seen = _finite(figures.get(slot)), None
    if requests is not None:
        seen = _finite(requests.get(slot)) or 0.0
        if seen < options.min_requests:
            why = f"{_number(seen)} requests of {slot} seen, {options.min_requests} needed"
            return Side(value or 0.0, seen, False, why)
    if value is None:
        if options.missing == "unknown":
            source = "the platform" if options.prometheus is None else "prometheus"
            return Side(0.0, seen, False, f"{source} has no data for {slot}")
        value = 0.0
    if options.per_request and seen:
        value /= seen
    return Side(value, seen)


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError(f"the platform tells {value}, which is no figure")
    return value


def _excess(options: Options, here: Side, beside: Side) -> tuple[str, float] | None:
    """Why it fails, and how badly; None where it does not."""
    value, share = _number(here.value), " per request" if options.per_request else ""
    if options.max is not None and here.value > options.max:
        return f"is {value}{share}, at most {_number(options.max)} is allowed", _above(here.value, options.max)
    if options.min is not None and here.value < options.min:
        missing = (options.min - here.value) / options.min if options.min > 0 else 1.0
        return f"is {value}{share}, at least {_number(options.min)} is needed", min(1.0, missing)
    if options.max_times_other is None or not beside.usable or here.value <= options.tolerated:
        return None
    limit = options.max_times_other * beside.value
    if here.value <= limit:
        return None
    told = f"is {value}{share}, {_number(beside.value)} beside; {_number(options.max_times_other)} times is allowed"
    return told, _above(here.value, limit)


def _above(value: float, limit: float) -> float:
    """By what share of the figure the limit is exceeded."""
    return max(0.0, min(1.0, (value - limit) / value)) if value > 0 else 1.0


def _beside(side: Side) -> str:
    return f", {_number(side.value)} beside" if side.usable else f"; not compared: {side.why}"


def _plain(side: Side) -> dict[str, Any]:
    return {"value": side.value, "requests": side.requests, "usable": side.usable, "why": side.why}


def _number(value: float) -> str:
    return f"{value:.6g}"

"""Is one figure of the platform's within its limits for the slot, by itself or compared with the side beside it?

Where a platform reports a figure only when something happens, no data may mean nothing bad or nothing at all: zero is
believed only beside enough requests. Too few of them are unknown, whatever the figure. Severity: by how much the
limit is exceeded, as a share of the figure (or, below a `min`, of the limit).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded
from providers.base import Metric, Slot

ADDED_UP = ("Sum", "SampleCount")


@dataclass(frozen=True)
class Requests:
    """The figure that says how much traffic a side had: a sum."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    namespace: str
    name: str
    statistic: Literal["Sum", "SampleCount"] = "Sum"
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """`namespace`, `name`, `statistic` (Sum, Average, Minimum, Maximum, SampleCount, p99 …) and `dimensions` say which
    figure, `over_s` over how long up to now. In dimensions, `{group}`, `{target_group}` and `{balancer}` stand for the
    names of the slot.

    It has to be at most `max`, at least `min`, and at most `max_times_other` times that of the side beside; up to
    `tolerated` it is never too much beside the other. With `per_request` it is divided by the side's requests first,
    for all limits.

    `missing`: what no data is, unknown or zero. `requests` is the figure of the traffic; with fewer than
    `min_requests` of them nothing is judged, and a side beside with fewer is not compared with.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, str] = field(default_factory=dict)
    over_s: float = 300.0
    max: float | None = None
    min: float | None = None
    max_times_other: float | None = None
    tolerated: float = 0.0
    per_request: bool = False
    missing: Literal["unknown", "zero"] = "unknown"
    requests: Requests | None = None
    min_requests: int = 20

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

    @property
    def metric(self) -> Metric:
        return Metric(self.namespace, self.name, self.statistic, dict(self.dimensions))


@dataclass(frozen=True, slots=True)
class Side:
    """One slot's figure. `requests` None: not asked for. `usable` False: nothing can be judged by it, for `why`."""

    value: float
    requests: float | None = None
    usable: bool = True
    why: str = ""


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    figures, requests = _read(options, subject)
    here = _side(options, subject.slot, figures, requests)
    beside = _side(options, subject.beside, figures, requests)
    evidence = {"figure": f"{options.namespace} {options.name} {options.statistic}"[:200], "over_s": options.over_s}
    evidence |= {"this": _plain(here), "beside": _plain(beside)}
    if not here.usable:
        return Verdict.unknown(f"{options.name}: {here.why}", **evidence)
    if found := _excess(options, here, beside):
        why, severity = found
        return Verdict.failed(f"{options.name} {why}", severity=severity, **evidence)
    compared = "" if options.max_times_other is None else _beside(beside)
    return Verdict.passed(f"{options.name} is {_number(here.value)}{compared}", **evidence)


Figures = Mapping[Slot, float | None]


def _read(options: Options, subject: Subject) -> tuple[Figures, Figures | None]:
    """The figure of both slots and their requests, over the same time. Where it comes from is decided here alone."""
    end = subject.now
    figures = subject.readings.measured(options.metric, end - options.over_s, end)
    if options.requests is None:
        return figures, None
    of = options.requests
    traffic = Metric(of.namespace, of.name, of.statistic, dict(of.dimensions))
    return figures, subject.readings.measured(traffic, end - options.over_s, end)


def _side(options: Options, slot: Slot, figures: Figures, requests: Figures | None) -> Side:
    value, seen = _finite(figures.get(slot)), None
    if requests is not None:
        seen = _finite(requests.get(slot)) or 0.0
        if seen < options.min_requests:
            why = f"{_number(seen)} requests of {slot} seen, {options.min_requests} needed"
            return Side(value or 0.0, seen, False, why)
    if value is None:
        if options.missing == "unknown":
            return Side(0.0, seen, False, f"the platform has no data for {slot}")
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

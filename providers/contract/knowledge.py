"""What a platform may know beyond hosts and traffic: what stands in the way, what it sees of a host, its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Concern:
    """What stands in the way of a rollout (`blocks`), cannot be told (`unknown`), or a person should know of."""

    kind: Literal["blocks", "unknown", "notice"]
    text: str


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What the platform says of one host. `reason` and `console` (its last lines) are evidence, of bounded size."""

    host: str
    state: Literal["ok", "impaired", "unknown"]
    reason: str = ""
    console: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of the platform's own; `state` is unknown where it has too little data."""

    name: str
    state: Literal["ok", "alarm", "unknown"]
    reason: str = ""
    since: float | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """Which figure of the platform's is asked for. In the values of `dimensions`, `{group}`, `{target_group}` and
    `{balancer}` stand for the names that each slot has. `statistic`: Sum, Average, Minimum, Maximum, SampleCount, p99 …
    """

    namespace: str
    name: str
    statistic: str
    dimensions: Mapping[str, str] = field(default_factory=dict)

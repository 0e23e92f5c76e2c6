"""What is said of the traffic of a service: where it is declared to go, and where it is seen to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from providers.contract.slots import SLOTS, Slot, Weights


@dataclass(frozen=True, slots=True)
class HoldMark:
    """What a rollback leaves with the traffic itself, so that every engine turns back, whatever store it reads."""

    rollout: str
    epoch: int
    active: Slot
    by: str
    at: float
    reason: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HoldMark:
        return cls(**{name: data[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Route:
    """Where new traffic is declared to go, read directly. `revision` is what a compare-and-set compares."""

    weights: Weights
    revision: str
    mark: HoldMark | None = None
    note: str = ""  # what the platform says of the write that led here

    def share(self, slot: Slot) -> int:
        return self.weights.get(slot, 0)

    @property
    def active(self) -> Slot | None:
        """The slot that has all traffic, None while it is shared."""
        return next((slot for slot in SLOTS if self.share(slot) == 100), None)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Route:
        mark = HoldMark.from_json(data["mark"]) if data["mark"] else None
        return cls(cast(Weights, dict(data["weights"])), data["revision"], mark, data.get("note", ""))


@dataclass(frozen=True, slots=True)
class Counters:
    """What the balancer saw of one side since `Reading.counters_id` began.

    `requests` are those that have ended, or those that have arrived. `failed` are the ones that the balancer itself
    had to answer for (refused, reset, timed out, broken off): they are in `requests`, not in `responses`. `in_flight`
    are requests and connections that are on the side now.
    """

    requests: int = 0
    responses: Mapping[str, int] = field(default_factory=dict)  # "2xx" … "5xx"
    failed: int = 0
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """How many of a slot's targets the balancer calls healthy, in units of capacity. `unknown` ones have not been
    judged yet.

    `draining` ones are targets no more, and may still end what they began; they are not in the total.
    """

    healthy: int = 0
    unhealthy: int = 0
    unknown: int = 0
    reasons: tuple[str, ...] = ()
    draining: int = 0

    @property
    def total(self) -> int:
        return self.healthy + self.unhealthy + self.unknown


@dataclass(frozen=True, slots=True)
class Reading:
    """The traffic of one service at one instant, as observed: `route` may lag behind what was declared.

    Counters are comparable only under the same `counters_id`.
    """

    route: Route
    targets: Mapping[Slot, TargetHealth]
    counters: Mapping[Slot, Counters]
    counters_id: str
    at: float

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Reading:
        return cls(
            route=Route.from_json(data["route"]),
            targets={
                slot: TargetHealth(**{**found, "reasons": tuple(found["reasons"])})
                for slot, found in data["targets"].items()
            },
            counters={slot: Counters(**found) for slot, found in data["counters"].items()},
            counters_id=data["counters_id"],
            at=data["at"],
        )


@dataclass(frozen=True, slots=True)
class Parts:
    """Which parts of a reading are asked for. One that is not may be missing from it: a slot from its mapping; for the
    route stands `UNREAD`; a route without its mark has none."""

    route: bool = True
    mark: bool = True
    targets: tuple[Slot, ...] = SLOTS
    counters: tuple[Slot, ...] = SLOTS


EVERYTHING = Parts()
UNREAD = Route({}, "unread")


@dataclass(frozen=True, slots=True)
class TestRoute:
    """How a check reaches one slot before it has traffic: a base URL and the headers that select the slot."""

    __test__ = False  # not a pytest class

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

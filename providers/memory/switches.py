"""Everything that can be made to go wrong in the simulated cloud, as plain fields that may change at any moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from providers.base import Conflict, Denied, Invalid, NotFound, ProviderError, Throttled, Transient

from .model import Judgement

ErrorKind = Literal["transient", "throttled", "not_found", "conflict", "denied", "invalid"]
ERRORS: Mapping[ErrorKind, type[ProviderError]] = {
    "transient": Transient,
    "throttled": Throttled,
    "not_found": NotFound,
    "conflict": Conflict,
    "denied": Denied,
    "invalid": Invalid,
}
Kind = Literal["reads", "writes"]
T = TypeVar("T")


@dataclass(slots=True)
class Switches:
    """Keys of calls are a call (`traffic.set_weights`), `reads`, `writes` or `*`; the most exact one counts.

    Keys of places are `shop/green`, `shop` or `*`.
    """

    fail: dict[str, ErrorKind] = field(default_factory=dict)
    """The call raises; nothing is applied."""
    throttle: dict[str, int] = field(default_factory=dict)
    """The next n calls are throttled."""
    silent: dict[str, bool] = field(default_factory=dict)
    """The write is accepted, and nothing happens."""
    lost_reply: dict[str, bool] = field(default_factory=dict)
    """The write is applied, then Transient is raised."""
    slow: dict[str, float] = field(default_factory=dict)
    """The call takes this long; beyond the write time-out it raises Transient, though a write is applied."""
    late: dict[str, float] = field(default_factory=dict)
    """Transient is raised at once; the write lands this much later (at most the write time-out)."""
    stale: dict[str, float] = field(default_factory=dict)
    """A read repeats its previous answer while that is younger than this."""
    times: dict[str, int] = field(default_factory=dict)
    """How often the faults above still strike under this key; always, where nothing is said."""

    health_lies: dict[str, Judgement] = field(default_factory=dict)
    """What the balancer says of all targets of a place, whatever they are."""
    launch_limit: dict[str, int] = field(default_factory=dict)
    """How many instances each slot of a place gets running; the other launches stall."""
    launch_limit_reason: str = "InsufficientInstanceCapacity: no capacity of this kind in the zone"
    balancer_lag_s: float | None = None
    """Instead of each service's own; large for a frozen balancer."""
    mirror_drift: dict[str, str] = field(default_factory=dict)
    """What a mirror gets wrong: overrides in its fingerprint."""

    def strikes(self, faults: Mapping[str, T], call: str, kind: Kind) -> T | None:
        """The fault that strikes this call, used up once where `times` limits it."""
        if not faults:
            return None
        for key in (call, kind, "*"):
            if key in faults:
                left = self.times.get(key)
                if left is None:
                    return faults[key]
                if left > 0:
                    self.times[key] = left - 1
                    return faults[key]
        return None

    def refuse(self, call: str, kind: Kind) -> None:
        """Raise what this call is refused with, if anything."""
        if self.throttle:
            for key in (call, kind, "*"):
                if self.throttle.get(key, 0) > 0:
                    self.throttle[key] -= 1
                    raise Throttled(f"{call}: rate exceeded; nothing was applied")
        if error := self.strikes(self.fail, call, kind):
            raise ERRORS[error](f"{call}: refused by a switch of the simulated cloud ({error})")

    def place(self, values: Mapping[str, T], service: str, slot: str) -> T | None:
        if not values:
            return None
        for key in (f"{service}/{slot}", service, "*"):
            if key in values:
                return values[key]
        return None

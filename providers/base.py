"""What a provider offers: a few small contracts, the plain data that they exchange, and the kinds of error.

Split so that any hosts can be paired with any balancer. Reads never change anything; every write takes a
`token` (the same token with the same arguments is the same write, however often it arrives) and returns once
the platform has accepted it, within `Provider.write_timeout_s`. Adapters and all that use them import from here;
the data and the errors are written down in `providers/contract`, which imports nothing else of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from providers.contract.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    PartlyDone,
    ProviderError,
    Throttled,
    Transient,
)
from providers.contract.hosts import (
    Applied,
    Environment,
    HostInventory,
    Instance,
    InstanceState,
    Patch,
    PatchState,
    Service,
    Size,
)
from providers.contract.knowledge import Alarm, Concern, HostStatus, Metric
from providers.contract.plain import plain
from providers.contract.routing import (
    EVERYTHING,
    UNREAD,
    Counters,
    HoldMark,
    Parts,
    Reading,
    Route,
    TargetHealth,
    TestRoute,
)
from providers.contract.slots import SLOTS, Slot, Weights, other, weights_for

__all__ = [
    "EVERYTHING",
    "SLOTS",
    "UNREAD",
    "Alarm",
    "Applied",
    "Clock",
    "Compute",
    "Concern",
    "Conflict",
    "Context",
    "Counters",
    "Denied",
    "Environment",
    "HoldMark",
    "HostInventory",
    "HostStatus",
    "Insight",
    "Instance",
    "InstanceState",
    "Invalid",
    "Inventory",
    "KeepsCards",
    "Metric",
    "NotFound",
    "PartlyDone",
    "Parts",
    "Patch",
    "PatchState",
    "Patcher",
    "Provider",
    "ProviderError",
    "Reading",
    "Route",
    "Service",
    "Size",
    "Slot",
    "TargetHealth",
    "TestRoute",
    "Throttled",
    "Traffic",
    "Transient",
    "Usage",
    "Weights",
    "other",
    "plain",
    "weights_for",
]


class Clock(Protocol):
    """Time as a parameter: seconds since 1970, UTC."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """What `providers/<name>/adapter.py:build(context) -> Provider` is given.

    `state_dir` is ours to keep files in; relative paths in options are relative to `fleet_dir`. The adapter
    module also has `Options`, a frozen standard dataclass: the provider's part of a service's configuration.
    """

    state_dir: Path
    fleet_dir: Path
    clock: Clock


class Compute(Protocol):
    """The hosts of both slots."""

    def describe(self, service: Service) -> Mapping[Slot, Environment]:
        """Both slots, read directly."""
        ...

    def sizes(self, service: Service) -> Mapping[Slot, Size]:
        """Both slots, read directly: in fewer calls than `describe`, which also says how they are configured."""
        ...

    def observe(self, services: Sequence[Service]) -> Mapping[str, Sequence[Instance]]:
        """The instances of all named services in as few calls as the platform allows; unknown services are absent."""
        ...

    def stand_up(self, service: Service, slot: Slot, image: str, capacity: int, token: str) -> None:
        """Create the user's own first environment, or refuse (Invalid) where other tools own it."""
        ...

    def mirror(self, service: Service, source: Slot, into: Slot, image: str, owner: str, token: str) -> None:
        """Make `into` a faithful copy of `source` with another image and no capacity yet.

        An absent slot is created and tagged with `owner`; one that exists is the user's and stays so.
        """
        ...

    def set_floor(self, service: Service, slot: Slot, floor: int, token: str) -> None:
        """A floor, never a ceiling: the slot may grow, but not shrink below it. May raise the capacity to it."""
        ...

    def scale(self, service: Service, slot: Slot, capacity: int, token: str) -> None:
        """Ask for this capacity; raises Invalid below the floor."""
        ...

    def park(self, service: Service, slot: Slot, token: str) -> None:
        """Floor and capacity to nothing; the environment stays for its owner."""
        ...

    def delete_if_owned(self, service: Service, slot: Slot, owner: str, token: str) -> bool:
        """Delete the slot's environment if it carries this owner tag; False (and nothing done) otherwise."""
        ...


class Traffic(Protocol):
    """The balancer in front of both slots."""

    def route(self, service: Service) -> Route:
        """Weights and hold mark, read directly; raises Transient when they cannot be read."""
        ...

    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> Mapping[str, Reading]:
        """Route, target health and counters of all named services in as few calls as possible."""
        ...

    def attach(self, service: Service, slot: Slot, instances: Sequence[Instance], token: str) -> None:
        """Make exactly these instances the slot's targets; its weight stays. Repeatable.

        What the platform launches later by itself may join by itself; what `scale` launches needs another attach.
        """
        ...

    def set_weights(self, service: Service, weights: Weights, expected: Route, token: str) -> Route:
        """Move new traffic; Conflict when the route is no longer as expected (where the platform can tell)."""
        ...

    def cut(self, service: Service, slot: Slot, token: str) -> int:
        """Close what is still in flight on a slot; how many."""
        ...

    def detach(self, service: Service, slot: Slot, token: str) -> None:
        """Take the slot out of every route; Invalid while it has weight."""
        ...

    def mark(self, service: Service, mark: HoldMark | None, token: str) -> None:
        """Leave a hold mark with the traffic, or clear it (None)."""
        ...

    def test_route(self, service: Service, slot: Slot) -> TestRoute:
        """The way in for checks."""
        ...

    def card_target(self, service: Service) -> Mapping[str, Any]:
        """Plain data from which `providers/<name>/rollback.py` alone can put traffic back."""
        ...


@runtime_checkable
class KeepsCards(Protocol):
    """What a `Traffic` may do besides: keep the way back with the traffic itself, so that it is found from any machine
    that has credentials and nothing else."""

    def keep_card(self, service: Service, card: Mapping[str, Any], token: str) -> None:
        """Keep this rollback card, as plain data, instead of an earlier one; at most one call."""
        ...


class Patcher(Protocol):
    """Where patches come from."""

    def resolve(self, service: Service, reference: str) -> Patch:
        """Pin a reference. Reads only; NotFound lists what is known."""
        ...

    def apply(self, service: Service, slot: Slot, patch: Patch, token: str) -> Applied:
        """Have the patch ready on, or as the image of, a standby slot that serves nothing."""
        ...

    def reboot(self, service: Service, slot: Slot, token: str) -> None: ...


class Inventory(Protocol):
    """What hosts really run: the agent's word is not enough."""

    def read(self, service: Service, slot: Slot) -> Sequence[HostInventory]:
        """One entry for each instance of the slot."""
        ...


class Insight(Protocol):
    """What the platform knows beyond hosts and traffic. Reads only; optional as a whole."""

    def foresee(self, service: Service, original: Slot, patch: Patch, capacity: int, until: float) -> Sequence[Concern]:
        """What would keep `capacity` more units of `patch` from running beside `original` until then, or disturb it."""
        ...

    def examine(self, service: Service, slot: Slot) -> Sequence[HostStatus]:
        """One entry for each instance of the slot."""
        ...

    def alarms(self, service: Service, names: Sequence[str]) -> Mapping[str, Alarm]:
        """The named alarms; those that do not exist are absent."""
        ...

    def measure(self, service: Service, metric: Metric, start: float, end: float) -> Mapping[Slot, float | None]:
        """The figure for each slot over that time; None where the platform has no data at all."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls sent, and those answered with "too often", by `api.Operation`, since the process began."""

    calls: Mapping[str, int]
    throttled: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Provider:
    """The contracts of one platform."""

    name: str
    compute: Compute
    traffic: Traffic
    patcher: Patcher
    inventory: Inventory
    write_timeout_s: float
    """T: after this no write that began earlier can still land."""
    caller: Callable[[Service], str] | None = None
    """Who the platform says that we are, where that service is (a read); None where it knows no callers."""
    insight: Insight | None = None
    """None where the platform knows nothing beyond the four."""
    way_back_lacks: Callable[[Service, Slot, str], Sequence[str]] | None = None
    """What a side needs to serve again with this image, and lacks now, in words (a read): its image, template, targets.
    None where the platform cannot lose any of it."""
    usage: Callable[[], Usage] | None = None
    """How often the platform was called by this process; None where calls cost nothing."""
    at_one_look: Callable[..., AbstractContextManager[Any]] = nullcontext
    """Inside of this, in this thread, a read may be answered by an equal one that was made inside of it before, and no
    longer ago than its argument says (seconds; without one: at all). What a write is decided by inside of that write
    is read for itself; a write, or another look that begins inside, makes all of it old."""

"""What a provider offers: a few small contracts, the plain data that they exchange, and the kinds of error.

Split so that any hosts can be paired with any balancer. Reads never change anything; every write takes a
`token` (the same token with the same arguments is the same write, however often it arrives) and returns once
the platform has accepted it, within `Provider.write_timeout_s`. This module imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

Slot = Literal["blue", "green"]
SLOTS: tuple[Slot, Slot] = ("blue", "green")
Weights = Mapping[Slot, int]
"""Percent of new traffic for each slot; both slots are always named and the sum is 100."""


def other(slot: Slot) -> Slot:
    """The slot beside this one."""
    return "green" if slot == "blue" else "blue"


def weights_for(slot: Slot, percent: int) -> dict[Slot, int]:
    """`percent` of the traffic on `slot`, the rest beside it."""
    return {slot: percent, other(slot): 100 - percent}


class ProviderError(Exception):
    """Anything that a platform answered instead of doing what was asked.

    ProviderError
    ├── Transient      may work in a moment: time-out, lost connection, 5xx. A write may have been applied
    │   └── Throttled  asked too often; nothing was applied
    ├── NotFound       what was named does not exist
    ├── Conflict       someone else changed it since it was read; nothing was applied
    ├── Denied         credentials or permissions; nothing was applied
    ├── PartlyDone     some of several routes; it says which
    └── Invalid        can never succeed as asked; the message says what is allowed
    """


class Transient(ProviderError):
    pass


class Throttled(Transient):
    pass


class NotFound(ProviderError):
    pass


class Conflict(ProviderError):
    pass


class Denied(ProviderError):
    pass


class Invalid(ProviderError):
    pass


class PartlyDone(ProviderError):
    """Some of several routes moved, and some did not: `done` names those, `failed` these, each with the command that
    moves it."""

    def __init__(self, message: str, done: Sequence[str], failed: Mapping[str, str]) -> None:
        super().__init__(message)
        self.done, self.failed = list(done), dict(failed)


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


@dataclass(frozen=True, slots=True)
class Service:
    """A service as its provider knows it. `options` is plain data that the provider's own `Options` accepted."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patch:
    """A reference that was resolved once and pinned.

    `images` maps each member (account/region/architecture, or `local`) to an immutable image id. Denying one
    member's image denies the patch.
    """

    reference: str
    images: Mapping[str, str]
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def image(self) -> str:
        """The image of a patch with one member."""
        (image,) = self.images.values()
        return image

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Patch:
        return cls(data["reference"], dict(data["images"]), dict(data["provenance"]))


@dataclass(frozen=True, slots=True)
class Environment:
    """One slot as it is now.

    `image`, `capacity` (units wanted) and `floor` (units below which nothing may shrink it) are None, 0 and 0
    for a slot that holds nothing. `owner` is the tag of the rollout that created it, None for what is the
    user's. `fingerprint` is the normalised configuration without the patch: equal fingerprints behave alike.
    """

    slot: Slot
    image: str | None = None
    capacity: int = 0
    floor: int = 0
    owner: str | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    app_version: str | None = None

    @property
    def exists(self) -> bool:
        return self.image is not None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Environment:
        return cls(**{**data, "fingerprint": dict(data["fingerprint"])})


@dataclass(frozen=True, slots=True)
class Size:
    """How much of one slot there is now: what `Environment` says of it, and `alive`, the hosts that the platform has
    for it and does not call failed."""

    exists: bool = False
    capacity: int = 0
    floor: int = 0
    alive: int = 0
    owner: str | None = None


InstanceState = Literal["starting", "running", "failed"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A host or process of a slot, as observed. `address` is host:port; `reason` says why it failed.

    `own_fault`: it ended by itself, by its own code; not killed, not kept from starting, not in want of capacity.
    """

    id: str
    slot: Slot
    state: InstanceState
    image: str | None
    address: str
    reason: str = ""
    started_at: float | None = None
    own_fault: bool = False


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
    """How many of a slot's targets the balancer calls healthy. `unknown` ones have not been judged yet.

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


@dataclass(frozen=True, slots=True)
class PatchState:
    """What the platform's patch agent last found on one host, at `at`, in numbers of patches. `missing_security` is
    part of `missing`."""

    at: float
    installed: int = 0
    missing: int = 0
    missing_security: int = 0
    failed: int = 0
    pending_reboot: int = 0
    baseline: str = ""


@dataclass(frozen=True, slots=True)
class HostInventory:
    """What one host really has. `packages` (purls) is None when it could not be read; `problem` says why.

    `listening` is where its service listens, such as `tcp/0.0.0.0:9100`, `udp/[::1]:53`; None: not known. The port
    that its instance serves on is called `service`, one that the system chose for a datagram socket `ephemeral`.
    """

    host: str
    packages: tuple[str, ...] | None
    image: str | None = None
    problem: str = ""
    patches: PatchState | None = None
    listening: tuple[str, ...] | None = None


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


@dataclass(frozen=True, slots=True)
class Applied:
    """What patching left to do. `reboot_needed` None is unknown, and blocks."""

    reboot_needed: bool | None
    evidence: Mapping[str, str] = field(default_factory=dict)


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


def plain(value: Any) -> Any:
    """A dataclass of this module as the plain data that a journal keeps; `from_json` reads it back."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value

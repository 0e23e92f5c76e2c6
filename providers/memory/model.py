"""The plain state of the simulated cloud: images, services, slots, instances, and what was done to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.base import SLOTS, HoldMark, InstanceState, Slot

Judgement = Literal["healthy", "unhealthy", "unknown"]


@dataclass(frozen=True, slots=True)
class ImageBehaviour:
    """How instances of an image behave; the default is a good image."""

    starts: bool = True
    healthy: bool = True
    fails_health_under_traffic: bool = False
    flaps_every_s: float = 0.0
    error_share_live: float = 0.0
    """Share of live requests that it answers with 5xx."""
    failed_share_live: float = 0.0
    """Share of live requests that it resets or lets time out."""


@dataclass(frozen=True, slots=True)
class Image:
    """`packages` None: the inventory of its hosts cannot be read. `reboot_needed` None: nobody can tell.

    `listening` is where its instances listen; None: nobody can tell.
    """

    id: str
    packages: tuple[str, ...] | None = ()
    behaviour: ImageBehaviour = ImageBehaviour()
    app_version: str | None = None
    reboot_needed: bool | None = False
    listening: tuple[str, ...] | None = ("tcp/0.0.0.0:service",)


@dataclass(frozen=True, slots=True)
class Settings:
    """How fast a service's platform is, and how much traffic it has."""

    launch_s: float = 30.0
    launch_jitter_s: float = 0.0
    health_lag_s: float = 10.0
    balancer_lag_s: float = 1.0
    drain_s: float = 30.0
    requests_per_s: float = 100.0
    connections: int = 50
    self_healing: bool = True
    """A killed instance is replaced, and its replacement takes over its place behind the balancer."""


@dataclass(slots=True, eq=False)
class SimInstance:
    """`registered`: a target of the balancer; `judged`: what the balancer honestly thinks of it."""

    id: str
    slot: Slot
    image: Image
    address: str
    state: InstanceState = "starting"
    reason: str = ""
    own_fault: bool = False
    started_at: float | None = None
    registered: bool = False
    judged: Judgement = "unknown"
    flapped: bool = False
    gone: bool = False
    boot: int = 0

    def serves(self, share: int) -> bool:
        """Can it answer, with this share of the traffic on its slot?"""
        behaviour = self.image.behaviour
        under_load = behaviour.fails_health_under_traffic and share > 0
        return self.state == "running" and behaviour.healthy and not under_load and not self.flapped


@dataclass(slots=True, eq=False)
class SimSlot:
    """The environment behind one label; `image` None: there is none."""

    name: Slot
    image: Image | None = None
    capacity: int = 0
    floor: int = 0
    owner: str | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    app_version: str | None = None
    attached: bool = False
    instances: list[SimInstance] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Side:
    """What the balancer counted of one slot. `lingering` connections were left behind at `lingering_since`."""

    requests: float = 0.0
    errors: float = 0.0
    failed: float = 0.0
    lingering: float = 0.0
    lingering_since: float = 0.0


@dataclass(slots=True, eq=False)
class SimService:
    """`weights` are declared, `observed` is where clients' requests really go."""

    name: str
    settings: Settings
    slots: dict[Slot, SimSlot]
    weights: dict[Slot, int]
    observed: dict[Slot, int]
    accrued_at: float
    revision: int = 1
    observed_revision: int = 1
    mark: HoldMark | None = None
    sides: dict[Slot, Side] = field(default_factory=lambda: {slot: Side() for slot in SLOTS})
    counters: int = 1


@dataclass(frozen=True, slots=True)
class Mutation:
    """One write that took effect."""

    at: float
    call: str
    service: str
    slot: Slot | None
    token: str
    args: tuple[Any, ...]
    effect: str


@dataclass(slots=True)
class Calls:
    """How often each call arrived, refused ones too."""

    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.reads.total() + self.writes.total()


def nothing(_: SimService) -> None:
    """The answer of a call that has none."""

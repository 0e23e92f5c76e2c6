"""A campaign that runs, as plain data: its hashed plan, how it stands, and what its services have come to. Pure.

Standard library only: the way back of a whole wave reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from rollout.journal import canonical

State = Literal["running", "paused", "stopped", "aborting", "aborted", "ended"]
OVER: tuple[State, ...] = ("aborted", "ended")
Spread = Literal["none", "zone", "region"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a service is; empty where nobody says so."""

    provider: str = ""
    account: str = ""
    region: str = ""
    zone: str = ""
    architecture: str = ""

    def apart(self, spread: Spread) -> tuple[str, ...]:
        """What has to be the same of two services that are patched at the same time."""
        return {"none": (), "region": (self.provider, self.region), "zone": (self.provider, self.region, self.zone)}[
            spread
        ]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one wave may do at once. `soak_s` passes after it, before the next; `go_on` asked: and a person's word.

    `max_unproven_hosts` are hosts of its replacements that were not accepted yet; `max_extra_instances` all that the
    campaign adds, warm old sides included. None: not limited.
    """

    max_parallel: int = 1
    max_unproven_hosts: int | None = None
    max_extra_instances: int | None = None
    stop_after_failures: int = 1
    soak_s: float = 3600.0
    one_at_a_time: Spread = "none"
    go_on: Literal["automatic", "asked"] = "automatic"


@dataclass(frozen=True, slots=True)
class Wave:
    """Services that are patched together, in order, once the waves in `after` are through."""

    name: str
    after: tuple[str, ...]
    services: tuple[str, ...]
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Pin:
    """What the campaign's reference meant at one place when it was resolved. `service`: it holds for that one only."""

    provider: str
    account: str
    region: str
    architecture: str
    image: str
    service: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return pin_key(Place(self.provider, self.account, self.region, "", self.architecture), self.service)


def pin_key(place: Place, service: str = "") -> str:
    """The name of a place's pin, or of that of one service."""
    named = f" {service}" if service else ""
    return f"{place.provider}/{place.account or '-'}/{place.region or '-'}/{place.architecture or '-'}{named}"


@dataclass(frozen=True)
class CampaignPlan:
    """What a campaign will do: waves, where their services are, and one image for each place. Hashed; never changed."""

    campaign: str
    reference: str
    waves: tuple[Wave, ...]
    places: Mapping[str, Place]
    pins: tuple[Pin, ...]
    deadline_s: float | None = None

    @property
    def hash(self) -> str:
        return hashlib.sha256(canonical(self.to_json()).encode()).hexdigest()

    @property
    def patch_hash(self) -> str:
        """Of the images alone: two campaigns with the same one roll out the same."""
        return hashlib.sha256(canonical([asdict(pin) for pin in self.pins]).encode()).hexdigest()

    @cached_property
    def _pinned(self) -> Mapping[str, Pin]:
        return {pin.key: pin for pin in self.pins}

    @property
    def services(self) -> list[str]:
        return [service for wave in self.waves for service in wave.services]

    def wave(self, name: str) -> Wave:
        return next(wave for wave in self.waves if wave.name == name)

    def pin(self, service: str) -> Pin:
        """KeyError: nothing was pinned for it."""
        place = self.places[service]
        return self._pinned.get(pin_key(place, service)) or self._pinned[pin_key(place)]

    def to_json(self) -> dict[str, Any]:
        return {
            "campaign": self.campaign,
            "reference": self.reference,
            "waves": [asdict(wave) for wave in self.waves],
            "places": {service: asdict(place) for service, place in self.places.items()},
            "pins": [asdict(pin) for pin in self.pins],
            "deadline_s": self.deadline_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CampaignPlan:
        return cls(
            data["campaign"],
            data["reference"],
            tuple(
                Wave(wave["name"], tuple(wave["after"]), tuple(wave["services"]), Limits(**wave["limits"]))
                for wave in data["waves"]
            ),
            {service: Place(**place) for service, place in data["places"].items()},
            tuple(Pin(**pin) for pin in data["pins"]),
            data["deadline_s"],
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """What is on record of a wave that is done: since when, the time of its soak in which nobody looked, when a person
    was asked to let the next one begin, and when one did."""

    done_at: float | None = None
    lost_s: float = 0.0
    went_on_at: float | None = None
    asked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a campaign. `said` is why it stands as it does; `forgiven` counts failures, by wave, that a person
    has let pass; `rollouts` says that a person's pause or abort is meant for what was begun, too."""

    id: str
    campaign: str
    plan: CampaignPlan
    actor: str
    reason: str
    ref: str
    started_at: float
    state: State = "running"
    said: str = ""
    said_by: str = ""
    rollouts: bool = False
    marks: Mapping[str, Mark] = field(default_factory=dict)
    forgiven: Mapping[str, int] = field(default_factory=dict)
    ended_at: float | None = None
    turn: int = 0
    key: str | None = None

    def mark(self, wave: str) -> Mark:
        return self.marks.get(wave, Mark())


Progress = Literal["waiting", "moving", "accepted", "failing", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Member:
    """One service in a run, with its rollout as the store lists it (`phase` empty: none was begun).

    `hosts` is what its replacement has, as far as that is known; `skipped` says why it never gets one (a word of
    SKIPPED). `decided`: it turns back, or did. `paused`: for which run, "-" where a person paused it.
    """

    service: str
    wave: str
    rollout: str = ""
    phase: str = ""
    outcome: str = ""
    closed: bool = False
    decided: bool = False
    paused: str = ""
    hosts: int | None = None
    skipped: str = ""
    why: str = ""
    tries: int = 0
    not_before: float = 0.0

    @property
    def progress(self) -> Progress:
        if self.skipped:
            return "skipped"
        if not self.phase:
            return "waiting"
        if self.decided or self.outcome in ("rolled_back", "aborted", "halted"):
            return "failed" if self.closed else "failing"
        if self.outcome == "promoted":
            return "accepted"
        return "failed" if self.closed else "moving"

    @property
    def is_open(self) -> bool:
        return bool(self.phase) and not self.closed

    @property
    def unproven(self) -> int:
        """Hosts of it that were launched and not accepted."""
        return (self.hosts or 0) if self.is_open and self.progress in ("moving", "failing") else 0

    @property
    def extra(self) -> int:
        """Hosts that are there because of it."""
        return (self.hosts or 0) if self.is_open else 0


SKIPPED = {
    "nothing_to_do": "runs this image already",
    "removed": "is not in the fleet file any more",
    "denied": "the image is denied for it",
    "no_way": "cannot be rolled out as it is",
    "by_a_person": "a person left it out",
    "too_large": "has more hosts than the wave may have unproven or extra at once",
}


def key_of(run: str, service: str) -> str:
    """The key under which a run begins a service's rollout: however often, it is the same one."""
    return f"{run}/{service}"

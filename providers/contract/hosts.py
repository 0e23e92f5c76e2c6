"""What is said of the hosts of a service: what runs in its slots, and the patch that they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from providers.contract.slots import Slot


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
    """How much of one slot there is now: what `Environment` says of it, and `alive`, the units of the hosts that the
    platform has for it and does not call failed."""

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
    `units`: how many units of capacity it is.
    """

    id: str
    slot: Slot
    state: InstanceState
    image: str | None
    address: str
    reason: str = ""
    started_at: float | None = None
    own_fault: bool = False
    units: int = 1


@dataclass(frozen=True, slots=True)
class Applied:
    """What patching left to do. `reboot_needed` None is unknown, and blocks."""

    reboot_needed: bool | None
    evidence: Mapping[str, str] = field(default_factory=dict)


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

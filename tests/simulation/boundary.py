"""The edge of the program: each call to platform, store or card goes through here, is counted, and may go wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from providers.base import Compute, Denied, Inventory, Patcher, Provider, Throttled, Traffic, Transient
from rollout.card import Card, CardFolder
from rollout.lease import Holder
from rollout.means import Means
from rollout.store import Store
from tests.simulation.scene import ask

if TYPE_CHECKING:
    from tests.simulation.world import World

Kind = Literal["read", "write", "store", "card"]
FAULTS: Mapping[Kind, tuple[str, ...]] = {
    "read": ("crash", "transient", "denied"),
    "write": ("crash", "crash after", "transient", "throttled", "denied", "reply lost", "late", "frozen shortly"),
    "store": ("crash", "crash after", "store error", "store reply lost", "frozen"),
    "card": ("crash", "crash after", "disk full"),
}
"""What can happen to a call of each kind. A crash after a read is the crash before the next call."""

WRITES = (
    *("compute.stand_up", "compute.mirror", "compute.set_floor", "compute.scale", "compute.park"),
    *("compute.delete_if_owned", "traffic.attach", "traffic.set_weights", "traffic.cut", "traffic.detach"),
    *("traffic.mark", "patcher.apply", "patcher.reboot"),
)
TRANSACTIONS = ("append", "decide", "save_wait", "take_lease", "renew_lease", "release_lease", "deny")


class Crash(BaseException):
    """The process is gone, between two instructions."""


@dataclass(eq=False)
class Process:
    """One controller process. `read_at`, `intent_at` and `job_began` number its last read of the route, its last
    record, and the first call of its last job."""

    name: str
    holder: Holder
    epoch: int = 0
    read_at: int = -1
    intent_at: int = -1
    job_began: int = -1


class Boundary:
    """Counts the calls and strikes the chosen ones. `before` holds what people do just before a call."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.made: list[tuple[Kind, str]] = []
        self.faults: dict[int, str] = {}
        self.before: dict[int, Callable[[], None]] = {}
        self.late_s = 5.0

    def call(self, process: Process, kind: Kind, label: str, do: Callable[[], Any]) -> Any:
        self.world.people_move()
        number = len(self.made)
        self.made.append((kind, label))
        if number in self.before:
            self.before.pop(number)()
        fault = self.faults.pop(number, None)
        if fault and fault in FAULTS[kind]:
            self.world.tell("fault", f"{fault} at {label} (call {number})")
            return self._strike(process, kind, label, do, fault)
        return self._do(process, label, do)

    def _do(self, process: Process, label: str, do: Callable[[], Any]) -> Any:
        self.world.begins(process, label)
        result = do()
        self.world.did(process, label, result)
        return result

    def _strike(self, process: Process, kind: Kind, label: str, do: Callable[[], Any], fault: str) -> Any:
        if fault in ("frozen", "frozen shortly"):
            self.world.freeze(process, until_lease_ends=fault == "frozen")
            return self._do(process, label, do)
        if fault in ("crash after", "reply lost", "store reply lost"):
            self._do(process, label, do)
        if fault == "late":
            return self._late(process, label, do)
        errors: Mapping[str, BaseException] = {
            "throttled": Throttled("asked too often"),
            "denied": Denied("the role may not do this"),
            "store error": sqlite3.OperationalError("disk I/O error"),
            "store reply lost": sqlite3.OperationalError("disk I/O error"),
            "disk full": OSError(28, "No space left on device"),
            "crash": Crash(f"before {label}"),
            "crash after": Crash(f"after {label}"),
        }
        raise errors.get(fault, Transient("no answer"))

    def _late(self, process: Process, label: str, do: Callable[[], Any]) -> Any:
        """The write lands on its own, up to the write time-out later; its caller is told that it timed out."""
        switches = self.world.cloud.switches
        switches.late[label] = self.late_s
        try:
            return self._do(process, label, do)
        finally:
            switches.late.pop(label)


class Proxy:
    """Stands before a contract or the store."""

    def __init__(self, boundary: Boundary, process: Process, name: str, inner: Any) -> None:
        self._boundary, self._process, self._name, self._inner = boundary, process, name, inner

    def __getattr__(self, method: str) -> Any:
        found, label = getattr(self._inner, method), f"{self._name}.{method}"
        kind: Kind = "write" if label in WRITES else "read"
        if self._name == "store":
            if method not in TRANSACTIONS:
                return found
            kind = "store"

        def call(*args: Any, **named: Any) -> Any:
            return self._boundary.call(self._process, kind, label, lambda: found(*args, **named))

        return call


class Cards(CardFolder):
    """Rollback cards in memory; writes go through the boundary when a process makes them."""

    def __init__(self, kept: dict[str, Card], boundary: Boundary | None = None, process: Process | None = None) -> None:
        super().__init__(Path("/nowhere"))
        self.kept, self._boundary, self._process = kept, boundary, process

    def write(self, card: Card, begun: str = "") -> None:
        def do() -> None:
            self.kept[card.service] = card

        if self._boundary and self._process:
            self._boundary.call(self._process, "card", "card.write", do)
        else:
            do()

    def read(self, service: str) -> Card | None:
        return self.kept.get(service)

    def all(self) -> tuple[list[Card], list[str]]:
        return list(self.kept.values()), []


def means_of(world: World, process: Process) -> Means:
    """What one process works with: everything behind the boundary."""
    boundary, inner = world.boundary, world.provider

    def behind(name: str, contract: Any) -> Any:
        return Proxy(boundary, process, name, contract)

    provider = Provider(
        name=inner.name,
        compute=cast(Compute, behind("compute", inner.compute)),
        traffic=cast(Traffic, behind("traffic", inner.traffic)),
        patcher=cast(Patcher, behind("patcher", inner.patcher)),
        inventory=cast(Inventory, behind("inventory", inner.inventory)),
        write_timeout_s=inner.write_timeout_s,
    )
    store = cast(Store, behind("store", world.store))
    return Means(store, provider, world.clock, Cards(world.cards, boundary, process), ask)

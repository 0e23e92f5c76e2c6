"""What a closed rollout left behind: a side without traffic that this program created, and raised floors.

A side is given up only when all of this is certain: our own tag is on it; the service has no open rollout and its
rollback card is closed and of a rollout that the store knows; the other side has all traffic and is healthy; nothing
is in flight. It is done under the service's lease, so that no rollout can begin to use it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from providers.base import SLOTS, NotFound, Provider, Reading, Service, Slot, other
from rollout.acts import owner_tag_of
from rollout.card import CardUnreadable
from rollout.journal import Entry, Journal
from rollout.lease import this_process
from rollout.leased import leased

if TYPE_CHECKING:
    from rollout.rows import Row
    from rollout.wiring import Installation


@dataclass(frozen=True, slots=True)
class Orphan:
    """`slot` is None where there is nothing to remove; `why_not` is what keeps one from being removed."""

    slot: Slot | None = None
    image: str = ""
    why_not: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Left:
    """Something to put right, in words, and how."""

    text: str
    act: Callable[[], Any]


def orphan_of(installation: Installation, latest: Row, service: Service) -> Orphan:
    """The side that the latest rollout left behind. Raises ProviderError."""
    provider = installation.provider(latest.plan["provider"])
    try:
        environments = provider.compute.describe(service)
    except NotFound:
        return Orphan()  # it was taken down
    ours = [slot for slot in SLOTS if environments[slot].owner == owner_tag_of(service.name)]
    route = provider.traffic.route(service)
    idle = [slot for slot in ours if environments[slot].exists and route.share(slot) == 0]
    if len(idle) != 1:
        return Orphan()
    slot = idle[0]
    name = f"{service.name}: {slot} has no traffic and is ours, but is kept"
    if why := _still_needed(installation, latest):
        return Orphan(why_not=(f"{name}: {why}",))
    if why := _not_safe(provider.traffic.observe([service])[service.name], slot):
        return Orphan(why_not=(f"{name}: {why}. Try again: rollout repair {service.name}",))
    return Orphan(slot, environments[slot].image or "")


def _still_needed(installation: Installation, latest: Row) -> str:
    """Why somebody may want the side still; empty when nobody can."""
    store = installation.store
    if store.rollouts(latest.service, open_only=True):
        return "a rollout is open"
    try:
        card = installation.cards.read(latest.service)
    except CardUnreadable as error:
        return f"{error}. Remove that file, if its way back is not wanted"
    return f"the rollback card of {card.rollout} is open" if card and not card.closed else ""


def _not_safe(reading: Reading, slot: Slot) -> str:
    serving = other(slot)
    counted, targets = reading.counters.get(slot), reading.targets[slot]
    if reading.route.share(slot) or (counted and counted.in_flight):
        return "clients are on it still"
    if counted is None and (targets.total or targets.draining):
        return "nobody can tell whether clients are on it still"
    if reading.route.mark:
        return "a hold mark is with the traffic"
    if reading.targets[serving].healthy == 0:
        return f"{serving} has no healthy target"
    return ""


def reap(installation: Installation, latest: Row, service: Service, orphan: Orphan) -> bool:
    """Take the side out of the route and delete it, if it is still what it was. Raises ProviderError, LeaseHeld."""
    provider, store, clock = installation.provider(latest.plan["provider"]), installation.store, installation.clock
    with leased(store, service.name, this_process(), clock) as epoch:
        rows = store.rollouts(service.name, limit=1)
        if rows[0].id != latest.id or orphan_of(installation, latest, service) != orphan or orphan.slot is None:
            return False
        token = f"{latest.id}/reap/{epoch}"
        provider.traffic.detach(service, orphan.slot, f"{token}/detach")
        store.renew_lease(service.name, epoch, clock.now())
        return provider.compute.delete_if_owned(service, orphan.slot, owner_tag_of(service.name), f"{token}/delete")


def unpin(installation: Installation, latest: Row, service: Service) -> list[Left]:
    """Floors that the latest rollout raised and left: where its journal has the original value, and only then.

    A floor that is another than the last one that the rollout set is somebody else's, and none of ours.
    """
    provider = installation.provider(latest.plan["provider"])
    journal = Journal(installation.store.entries(latest.id))
    captured = journal.value("capture")
    if captured is None:
        return []
    try:
        environments = provider.compute.describe(service)
    except NotFound:
        return []
    original = int(captured["environments"][latest.plan["original"]]["floor"])
    serving = provider.traffic.route(service).active
    if serving is None or not environments[serving].exists:
        return []
    found, ours = environments[serving].floor, _last_floor(journal, serving)
    if ours is None or found != ours or found == original:
        return []
    text = f"{service.name}: put the floor of {serving} back from {found} to {original}, which {latest.id} left"
    return [Left(text, lambda: _set_floor(installation, provider, latest, service, serving, original))]


def _last_floor(journal: Journal, slot: Slot) -> int | None:
    """The floor that the rollout set last on a side; None where it never did."""
    done = {entry.step for entry in journal.entries if entry.kind == "done"}
    pins: list[Entry] = [
        entry
        for entry in journal.entries
        if entry.kind == "intended" and entry.data["args"].get("slot") == slot and "floor" in entry.data["args"]
    ]
    return next((int(pin.data["args"]["floor"]) for pin in reversed(pins) if pin.step in done), None)


def _set_floor(
    installation: Installation, provider: Provider, latest: Row, service: Service, slot: Slot, floor: int
) -> bool:
    store, clock = installation.store, installation.clock
    with leased(store, service.name, this_process(), clock) as epoch:
        if store.rollouts(service.name, limit=1)[0].id != latest.id:
            return False
        provider.compute.set_floor(service, slot, floor, f"{latest.id}/unpin/{epoch}")
        return True

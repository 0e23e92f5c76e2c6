"""`rollout repair --restored`: bring a store that was put back from a backup and the world together again.

Nothing here moves traffic. The services' epochs are raised above every one that was ever seen, so that fencing works
again; what the rollback cards say is over is closed; all else is halted for a person, who has more to go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from providers.base import ProviderError, Route, Service, plain
from rollout.care.checkpoint import CheckpointFile
from rollout.care.restored import ACCEPTED, RESTORED, fact, is_rollback_only, looks_restored, set_fact
from rollout.fleet_journal import append_to_fleet
from rollout.journal import Journal
from rollout.phases import PROMOTED
from rollout.store import KNOW_SERVICE, HeadMoved
from rollout.summary import last_route
from rollout.telling import clock_time as when
from rollout.telling import shares

if TYPE_CHECKING:
    from rollout.card import Card
    from rollout.rows import Row
    from rollout.wiring import Installation


@dataclass
class Rejoined:
    """What was found and done, in words. `left` needs a person; the store moves forward again when `over`."""

    shown: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    over: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """What is true of one service, whatever the store says. `trouble` is why it could not all be read."""

    name: str
    route: Route | None
    card: Card | None
    trouble: str = ""


def rejoin(
    installation: Installation, *, by: str, held: CheckpointFile | None = None, dry_run: bool = False
) -> Rejoined:
    """Go through all services; what cannot be read keeps the store rollback-only. Repeatable.

    Where no restore is on record, only the services that know more than the store does.
    """
    told = Rejoined()
    why = is_rollback_only(installation.store.db)
    services = sorted({*installation.fleet.services, *(row.service for row in _open(installation))})
    worlds = [_world(installation, name) for name in services]
    looks = [looks_restored(installation, each.name, each.route.mark if each.route else None) for each in worlds]
    if why is None and not any(looks):
        told.shown.append("the store was not restored: it is as new as the rollback cards")
        told.over = True
        return told
    if why is None:  # a card that strayed is no reason to halt what is healthy elsewhere
        worlds = [world for world, looks_so in zip(worlds, looks, strict=True) if looks_so]
    for world in worlds:
        _show(installation, world, told)
    if dry_run:
        return told
    for world in worlds:
        _raise_epoch(installation, world, held, by, told)
        _settle(installation, world, told)
    if any(world.trouble for world in worlds):
        told.left.append("the store stays rollback-only until all of this can be read: rollout repair --restored again")
        return told
    _accept(installation, worlds, by)
    told.done.append("the store may move forward again")
    told.over = True
    return told


def _open(installation: Installation) -> list[Row]:
    return installation.store.rollouts(open_only=True)


def _world(installation: Installation, name: str) -> World:
    from rollout.card import CardUnreadable

    trouble, route, card = [], None, None
    try:
        card = installation.cards.read(name)
    except CardUnreadable as error:
        trouble.append(f"{error}. Move it away if its way back is not wanted")
    try:
        provider, service = _service(installation, name)
        route = provider.traffic.route(service)
    except ProviderError as error:
        if card is not None or any(row.service == name for row in _open(installation)):
            trouble.append(f"where its traffic is cannot be read: {error}")
    return World(name, route, card, "; ".join(trouble))


def _service(installation: Installation, name: str) -> tuple[Any, Service]:
    """By the fleet file; one that it no longer has, by the plan of its open rollout."""
    settings = installation.fleet.services.get(name)
    if settings is not None:
        return installation.provider(settings.provider), Service(name, dict(settings.options))
    (row,) = installation.store.rollouts(name, open_only=True)
    return installation.provider(row.plan["provider"]), Service(name, dict(row.plan["service"]["options"]))


def _show(installation: Installation, world: World, told: Rejoined) -> None:
    """Live route, mark, card, and what the restored journal believes."""
    if world.trouble:
        told.left.append(f"{world.name}: {world.trouble}")
    live = shares(plain(world.route.weights)) if world.route else "unknown"
    told.shown.append(f"{world.name}: traffic is {live}")
    if world.route and world.route.mark:
        mark = world.route.mark
        told.shown.append(f"  hold mark  of {mark.by} for {mark.rollout}, epoch {mark.epoch}, {when(mark.at)}")
    if world.card:
        way = f"closed ({world.card.closed})" if world.card.closed else f"open: back to {world.card.original}"
        told.shown.append(f"  card       of {world.card.rollout}, {way}")
    for row in installation.store.rollouts(world.name, open_only=True):
        journal = Journal(installation.store.entries(row.id))
        believed = last_route(journal)
        where = f", traffic {shares(believed)}" if believed else ""
        told.shown.append(f"  journal    {row.id} is open: {row.phase} at entry {journal.head}{where}")


def _raise_epoch(
    installation: Installation, world: World, held: CheckpointFile | None, by: str, told: Rejoined
) -> None:
    """Above every epoch that anybody may still act under."""
    seen = [held.epochs.get(world.name, 0) if held else 0]
    seen += [world.route.mark.epoch] if world.route and world.route.mark else []
    seen += [world.card.epoch] if world.card else []
    with installation.store.db.transaction() as db:
        db.execute(KNOW_SERVICE, (world.name,))
        (epoch,) = db.execute("SELECT epoch FROM services WHERE name = ?", (world.name,)).fetchone()
        raised = max(epoch, *seen) + 1
        change = "UPDATE services SET epoch = ?, holder = NULL, lease_expires_at = NULL WHERE name = ?"
        db.execute(change, (raised, world.name))
        said = {"by": by, "from": epoch, "to": raised, "seen": max(seen)}
        append_to_fleet(db, "epoch_raised", world.name, said, installation.clock.now())
    told.done.append(f"{world.name}: epoch {epoch} → {raised}")


def _settle(installation: Installation, world: World, told: Rejoined) -> None:
    """Close what the card says is over, halt what is open in the journal, name what only the card knows."""
    known = {row.id for row in installation.store.rollouts(world.name)}
    for row in installation.store.rollouts(world.name, open_only=True):
        outcome, why = _ended(world, row)
        if outcome:
            _write(installation, row, "closed", {"outcome": outcome, "by": "repair", "reason": why}, outcome)
            told.done.append(f"{row.id}: closed as {outcome}: {why}")
        else:
            _halt(installation, world, row, told)
    card = world.card
    if card and card.rollout not in known and not card.closed:
        until = f" until {when(card.valid_until)}" if card.valid_until else ""
        told.left.append(
            f"{world.name}: {card.rollout} is not in this store, and its way back to {card.original} is open by its "
            f"card alone: rollout rollback {world.name} works{until}; rollout start {world.name} gives it up"
        )


def _ended(world: World, row: Row) -> tuple[str, str]:
    """The outcome of a rollout that the world knows is over, and how it is known; two empty texts else."""
    card = world.card
    if card is None:
        return "", ""
    if card.rollout == row.id:
        outcomes = {"rolled_back": "rolled_back", "retired": "promoted"}
        outcome = outcomes.get(card.closed, "promoted" if row.phase in PROMOTED else "aborted") if card.closed else ""
        return outcome, f"its rollback card says {card.closed}; how, was lost with the store" if outcome else ""
    if card.written_at > row.opened_at:
        outcome = "promoted" if row.phase in PROMOTED else "aborted"
        return outcome, f"{card.rollout} began after it, so it is over; how it ended was lost with the store"
    return "", ""


def _halt(installation: Installation, world: World, row: Row, told: Rejoined) -> None:
    journal = Journal(installation.store.entries(row.id))
    live = (
        f"traffic is {shares(plain(world.route.weights))} now" if world.route else "where traffic is could not be read"
    )
    reason = (
        f"the store was restored: this journal ends at entry {journal.head} ({row.phase}), and what was done after it "
        f"was lost; {live}"
    )
    if not (journal.halt and journal.halt.data.get("restored")):
        data = {"reason": reason, "restored": True, "route": plain(world.route) if world.route else None}
        _write(installation, row, "halted", data, "halted")
        told.done.append(f"{row.id}: halted")
    told.left.append(
        f"{row.id}: {reason}. Look: rollout status {row.id}; then rollout rollback {row.service}, "
        f"rollout adopt {row.service} --reason TEXT, or rollout resume {row.id}"
    )


def _write(installation: Installation, row: Row, kind: str, data: Mapping[str, Any], outcome: str) -> None:
    store = installation.store
    while True:
        try:
            head = store.rollout(row.id).head_seq
            store.decide(row.id, head, kind, data, installation.clock.now(), outcome=outcome)
            return
        except HeadMoved:
            continue


def _accept(installation: Installation, worlds: list[World], by: str) -> None:
    """From here on the store counts as being as new as the world."""
    db = installation.store.db
    known = {row.id for world in worlds for row in installation.store.rollouts(world.name)}
    said = {"by": by, "restored": fact(db, RESTORED), "services": [world.name for world in worlds]}
    with db.transaction() as one:
        for world in worlds:
            if world.card and world.card.rollout not in known:
                set_fact(one, ACCEPTED + world.name, world.card.rollout)
        set_fact(one, RESTORED, None)
        append_to_fleet(one, "rejoined", "", said, installation.clock.now())

"""Take a service as it is when the store knows of no open rollout: it was lost, or restored from an older backup.

The card and the hold mark of a rollout that nobody can tell any more would block the service for ever. What serves
stays as it is; the other side is given up if it carries our tag. Every part can be done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from providers.base import Provider, ProviderError, Route, Service, Slot, other
from rollout.acts import owner_tag_of
from rollout.card import Card, CardUnreadable
from rollout.care.restored import ACCEPTED, set_fact
from rollout.fleet_journal import append_to_fleet
from rollout.interventions import NotAdoptable
from rollout.lease import HEARTBEAT_S, this_process
from rollout.leased import leased
from rollout.store import KNOW_SERVICE, Claimed
from rollout.wiring import Installation


def adopt_service(
    installation: Installation, name: str, actor: str, reason: str, *, ref: str = "", force: bool = False
) -> Mapping[str, Any]:
    """End what an unknown rollout left of itself; what was done. NotAdoptable and Claimed leave all as it was.

    Takes twice the platform's write time-out: whoever drove it before may have a write on its way.
    """
    settings, store = installation.service(name), installation.store
    _raise_if_open(installation, name)
    provider, service = installation.provider(settings.provider), Service(name, dict(settings.options))
    route = _adoptable_route(provider, service, force=force)
    card = _card(installation, name)
    _catch_up(installation, name, card, route)
    with leased(store, name, this_process(), installation.clock) as epoch:  # whoever begins now cannot act yet
        _raise_if_open(installation, name)
        said = {"by": actor, "reason": reason, "ref": ref, "route": dict(route.weights), "active": route.active}
        _record(installation, "adopting", name, said)
        _close_card(installation, name, card)  # first: nobody goes back to what is given up
        _let_writes_land(installation, name, epoch, 2 * provider.write_timeout_s)
        now = provider.traffic.route(service)
        if dict(now.weights) != dict(route.weights) or route.active is None:
            raise NotAdoptable(
                f"traffic of {name} was moved meanwhile, to {dict(now.weights)}: its way back is closed, and nothing "
                f"was given up. Once it rests: rollout adopt {name} --reason TEXT"
            )
        store.renew_lease(name, epoch, installation.clock.now())  # nobody came between
        removed = _give_up(provider, service, other(route.active), epoch)
        if now.mark:
            provider.traffic.mark(service, None, f"adopt/{name}/{epoch}/mark")
        done = {
            "removed": removed,
            "card_of": card.rollout if card else None,
            "mark_of": now.mark.rollout if now.mark else None,
        }
        _record(installation, "adopted", name, {**said, **done}, accepted=card)
    return {"service": name, "active": route.active, **done}


def _raise_if_open(installation: Installation, name: str) -> None:
    if found := installation.store.rollouts(name, open_only=True):
        raise Claimed(found[0])


def _adoptable_route(provider: Provider, service: Service, *, force: bool) -> Route:
    """Where all traffic is; NotAdoptable where it is split, cannot be read, or meets nothing healthy."""
    name = service.name
    try:
        route = provider.traffic.route(service)
        targets = provider.traffic.observe([service])[name].targets
    except (ProviderError, KeyError) as error:
        raise NotAdoptable(f"{name} cannot be read ({error}); nothing was changed") from error
    if route.active is None:
        raise NotAdoptable(
            f"{name} is served by both slots ({dict(route.weights)}) and no rollout is open that could put that "
            f"right. Put all traffic on one side first: rollout rollback {name} does it if a card is left"
        )
    if not targets[route.active].healthy and not force:
        raise NotAdoptable(f"{route.active} has all traffic of {name} and no healthy target; with --force nevertheless")
    return route


def _card(installation: Installation, name: str) -> Card | None:
    try:
        return installation.cards.read(name)
    except CardUnreadable:
        return None


def _catch_up(installation: Installation, name: str, card: Card | None, route: Route) -> None:
    """The store's epoch up to what the world has seen, so that this word counts as the latest."""
    seen = max(card.epoch if card else 0, route.mark.epoch if route.mark else 0)
    with installation.store.db.transaction() as db:
        db.execute(KNOW_SERVICE, (name,))
        db.execute("UPDATE services SET epoch = ? WHERE name = ? AND epoch < ?", (seen, name, seen))


def _record(
    installation: Installation, kind: str, name: str, said: Mapping[str, Any], accepted: Card | None = None
) -> None:
    """In the fleet's own chain; `accepted`: a card whose rollout the store need not know any more."""
    with installation.store.db.transaction() as db:
        append_to_fleet(db, kind, name, said, installation.clock.now())
        if accepted:
            set_fact(db, ACCEPTED + name, accepted.rollout)


def _close_card(installation: Installation, name: str, card: Card | None) -> None:
    if card is None:
        installation.cards.remove(name)  # there is none, or it cannot be read
    elif not card.closed:
        installation.cards.write(replace(card, closed="adopted"))


def _let_writes_land(installation: Installation, name: str, epoch: int, seconds: float) -> None:
    """Wait with the lease in hand."""
    clock, store = installation.clock, installation.store
    while seconds > 0:
        clock.sleep(min(seconds, HEARTBEAT_S))
        seconds -= HEARTBEAT_S
        store.renew_lease(name, epoch, clock.now())


def _give_up(provider: Provider, service: Service, standby: Slot, epoch: int) -> Slot | None:
    """The side without traffic, if this program created it."""
    tag, environment = owner_tag_of(service.name), provider.compute.describe(service)[standby]
    if not environment.exists or environment.owner != tag:
        return None
    provider.traffic.detach(service, standby, f"adopt/{service.name}/{epoch}/detach")
    provider.compute.delete_if_owned(service, standby, tag, f"adopt/{service.name}/{epoch}/delete")
    return standby

"""Take a service as it is when the store knows of no open rollout: it was lost, or restored from an older backup.

The card and the hold mark of a rollout that nobody can tell any more would block the service for ever. What serves
stays as it is; the other side is given up if it carries our tag. Every part can be done again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from providers.base import Provider, ProviderError, Service, other
from rollout.acts import owner_tag_of
from rollout.card import CardUnreadable
from rollout.fleet_journal import FleetJournal
from rollout.interventions import NotAdoptable
from rollout.lease import this_process
from rollout.store import Claimed
from rollout.wiring import Installation


def adopt_service(
    installation: Installation, name: str, actor: str, reason: str, *, force: bool = False
) -> Mapping[str, Any]:
    """End what an unknown rollout left of itself; what was done. NotAdoptable and Claimed leave all as it was."""
    settings, store = installation.service(name), installation.store
    if open_already := store.rollouts(name, open_only=True):
        raise Claimed(open_already[0])
    provider, service = installation.provider(settings.provider), Service(name, dict(settings.options))
    try:
        route = provider.traffic.route(service)
        healthy = provider.traffic.observe([service])[name].targets
        environments = provider.compute.describe(service)
    except (ProviderError, KeyError) as error:
        raise NotAdoptable(f"{name} cannot be read ({error}); nothing was changed") from error
    if route.active is None:
        raise NotAdoptable(
            f"{name} is served by both slots ({dict(route.weights)}) and no rollout is open that could put that "
            f"right. Put all traffic on one side first: rollout rollback {name} does it if a card is left"
        )
    if not healthy[route.active].healthy and not force:
        raise NotAdoptable(f"{route.active} has all traffic of {name} and no healthy target; with --force nevertheless")
    epoch = store.take_lease(name, this_process(), installation.clock.now())  # nobody begins meanwhile
    said = {"by": actor, "reason": reason, "route": dict(route.weights), "active": route.active}
    record = FleetJournal(store.db)
    record.append("adopting", name, said, installation.clock.now())
    standby = other(route.active)
    owned = environments[standby].exists and environments[standby].owner == owner_tag_of(name)
    if owned:
        provider.traffic.detach(service, standby, f"adopt/{name}/{epoch}/detach")
        provider.compute.delete_if_owned(service, standby, owner_tag_of(name), f"adopt/{name}/{epoch}/delete")
    done = {"removed": standby if owned else None, **_close_what_is_left(installation, provider, service, epoch)}
    record.append("adopted", name, {**said, **done}, installation.clock.now())
    store.end_lease(name, epoch)
    return {"service": name, "active": route.active, **done}


def _close_what_is_left(installation: Installation, provider: Provider, service: Service, epoch: int) -> dict[str, Any]:
    """The card first: no new mark can be written after the old one is cleared."""
    try:
        card = installation.cards.read(service.name)
    except CardUnreadable:
        card = None
        installation.cards.path(service.name).unlink()
    if card and not card.closed:
        installation.cards.write(replace(card, closed="adopted"))
    mark = provider.traffic.route(service).mark
    if mark:
        provider.traffic.mark(service, None, f"adopt/{service.name}/{epoch}/mark")
    return {"card_of": card.rollout if card else None, "mark_of": mark.rollout if mark else None}

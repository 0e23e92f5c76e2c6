"""What surrounds rollouts: stand a service up, take it down, deny an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from providers.base import NotFound, Provider, ProviderError, Service
from rollout.actor import this_actor
from rollout.fleet_journal import FleetJournal
from rollout.interventions import close
from rollout.plan import UnsafePlan
from rollout.wiring import Installation, adapter

UP_LIMIT_S = 60.0


class DidNotComeUp(Exception):
    """The first environment was begun and does not serve; what there is of it stays until `rollout down`."""


def stand_up(
    installation: Installation,
    name: str,
    image: str | None,
    actor: str = "",
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """The first environment of a service, on blue with all the traffic; DidNotComeUp, or what the provider raises."""
    settings = installation.service(name)
    reference = image or (settings.patch.image if settings.patch else None)
    if reference is None:
        raise UnsafePlan(f"{name}: no image was named; say --image REF, or set services.{name}.patch.image")
    provider = installation.provider(settings.provider)
    service = Service(name, dict(settings.options))
    standing = _standing(provider, service)
    if standing:
        raise UnsafePlan(f"{name} stands already on {' and '.join(standing)}; patch it with: rollout start {name}")
    patch = provider.patcher.resolve(service, reference)
    capacity = int(settings.options.get("instances", 2))
    say(f"{name}: standing up {patch.reference} on blue")
    try:
        provider.compute.stand_up(service, "blue", patch.image, capacity, f"up/{name}/{patch.image}")
        healthy = _wait_until_healthy(installation, service, settings.provider, capacity)
    except ProviderError as error:
        if not _standing(provider, service):
            raise
        raise DidNotComeUp(f"{name} did not come up: {error}. {_remove(name)}") from error
    said = {"by": actor or this_actor(), "image": patch.reference, "digest": patch.image}
    FleetJournal(installation.store.db).append("stood_up", name, said, installation.clock.now())
    return {"service": name, "slot": "blue", "image": patch.reference, "digest": patch.image, "healthy": healthy}


def _standing(provider: Provider, service: Service) -> list[str]:
    try:
        environments = provider.compute.describe(service)
    except NotFound:
        return []
    return [slot for slot, environment in environments.items() if environment.exists]


def _wait_until_healthy(installation: Installation, service: Service, provider_name: str, capacity: int) -> int:
    provider, clock = installation.provider(provider_name), installation.clock
    deadline = clock.now() + UP_LIMIT_S
    while True:
        instances = [each for each in provider.compute.observe([service])[service.name] if each.slot == "blue"]
        targets = provider.traffic.observe([service])[service.name].targets["blue"]
        if targets.healthy >= capacity:
            return targets.healthy
        failed = [f"{each.id}: {each.reason}" for each in instances if each.state == "failed"]
        if failed or clock.now() >= deadline:
            why = "; ".join(failed or targets.reasons) or f"{targets.healthy} of {capacity} healthy in time"
            raise DidNotComeUp(f"{service.name} did not come up: {why}. {_remove(service.name)}")
        clock.sleep(0.1)


def _remove(name: str) -> str:
    return f"What there is of it has no traffic yet; remove it with: rollout down {name} --yes {name}"


def tear_down(installation: Installation, name: str, actor: str) -> None:
    """Stop and remove all of a service, where its provider can; UnsafePlan where other tools own it.

    An open rollout of it is closed first, which fences whoever drives it.
    """
    settings = installation.service(name)
    remove = getattr(adapter(settings.provider), "tear_down", None)
    if remove is None:
        raise UnsafePlan(f"{settings.provider} environments are removed with the tool that made them")
    for row in installation.store.rollouts(name, open_only=True):
        close(installation, row, actor, "the service was taken down")
    remove(installation.context, Service(name, dict(settings.options)))
    installation.cards.remove(name)
    FleetJournal(installation.store.db).append("taken_down", name, {"by": actor}, installation.clock.now())


def deny(
    installation: Installation, name: str, reference: str, *, reason: str, lift: bool, actor: str | None = None
) -> None:
    """Keep an image from a service, or allow it again; on record in the fleet's own chain."""
    settings = installation.service(name)
    patch = installation.provider(settings.provider).patcher.resolve(Service(name, dict(settings.options)), reference)
    now = installation.clock.now()
    said = {"reference": reference, "reason": reason, "by": actor or this_actor()}
    for image in patch.images.values():
        if lift:
            installation.store.lift_denial(name, image, said, now)
        else:
            installation.store.deny(name, image, reason, "", now, said)

"""The one patch of a campaign: its reference resolved once for each place, and pinned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from providers.base import Patch, ProviderError, Service
from rollout.campaign.model import Pin, Place, pin_key
from rollout.campaign.several import in_threads
from rollout.wiring import Installation, adapter

TRIES = 3
"""Services of one place that are asked, where the first cannot say what the reference is."""
SHOWN = 5
Each = TypeVar("Each")


class CannotPin(Exception):
    """The reference means nothing somewhere; nothing was started. The message says where, and what to do."""


def as_text(image: str | Mapping[str, str]) -> str:
    """One patch as a run has it: a reference, or one for each provider, `local=base-2 aws=name:self/base-2`."""
    return image if isinstance(image, str) else " ".join(f"{provider}={each}" for provider, each in image.items())


def references(text: str, providers: Iterable[str]) -> dict[str, str]:
    """Provider → what the patch is called there; those for which it has no name are left out."""
    known = list(dict.fromkeys(providers))
    parts = [part.partition("=") for part in text.split()]
    if parts and all(equals and name in known and reference for name, equals, reference in parts):
        return {name: reference for name, _, reference in parts}
    return dict.fromkeys(known, text)


def pinned(
    installation: Installation, reference: str, services: Sequence[str], places: Mapping[str, Place], threads: int = 8
) -> tuple[Pin, ...]:
    """What the reference is now at every place of the services; reads only. CannotPin names each place without it.

    One service of a place stands for the others where the provider says that images are the same for all of them;
    else each is asked for itself.
    """
    groups: dict[str, list[str]] = {}
    named = references(reference, (places[service].provider for service in services))
    if nameless := next((service for service in services if places[service].provider not in named), None):
        provider = places[nameless].provider
        raise CannotPin(
            f"{reference} has no image for {provider}, which {nameless} has, so nothing was started. Name one for each "
            f"provider: {' '.join(f'{each}=REF' for each in (*named, provider))}"
        )
    for service in services:
        place = places[service]
        shared = _shares_images(place.provider, named[place.provider])
        groups.setdefault(pin_key(place, "" if shared else service), []).append(service)
    for provider in {places[service].provider for service in services}:
        installation.provider(provider)  # made once, before several threads ask for it

    def ask(key: str) -> Patch | str:
        return _resolved(installation, named[places[groups[key][0]].provider], groups[key][:TRIES])

    found = in_threads(threads, ask, groups)
    missing = [f"{key}: {answer}" for key, answer in found.items() if isinstance(answer, str)]
    if missing:
        more = f" and {len(missing) - SHOWN} places more" if len(missing) > SHOWN else ""
        raise CannotPin(
            f"{reference} cannot be pinned everywhere, so nothing was started: {'; '.join(missing[:SHOWN])}{more}. "
            f"Make the image available there, or leave these services out of the campaign"
        )
    return tuple(
        _pin(places[groups[key][0]], groups[key][0] if key != pin_key(places[groups[key][0]]) else "", answer)
        for key, answer in found.items()
        if isinstance(answer, Patch)
    )


def _pin(place: Place, service: str, patch: Patch) -> Pin:
    origin = {"member": next(iter(patch.images), ""), "reference": patch.reference, **patch.provenance}
    return Pin(place.provider, place.account, place.region, place.architecture, patch.image, service, origin)


def _shares_images(provider: str, reference: str) -> bool:
    ask: Callable[[str], bool] | None = getattr(adapter(provider), "shares_images", None)
    return bool(ask and ask(reference))


def _resolved(installation: Installation, reference: str, services: Iterable[str]) -> Patch | str:
    """The patch, or why none of the services can say."""
    why = ""
    for name in services:
        settings = installation.service(name)
        try:
            provider = installation.provider(settings.provider)
            return provider.patcher.resolve(Service(name, dict(settings.options)), reference)
        except ProviderError as error:
            why = why or f"{name}: {error}"
        except Exception as error:  # an adapter may fail in any way: it is a place that cannot be asked
            why = why or f"{name}: {type(error).__name__}: {error}"
    return why

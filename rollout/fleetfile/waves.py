"""What only the whole fleet file can say of its campaigns: which services each wave has, and whether that can work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rollout.campaign.model import Limits, Place
from rollout.campaign.selection import Candidate, least_seconds, overlaps, selected, unplaced
from rollout.durations import format_duration
from rollout.fleetfile.campaigns import CampaignSettings, after_of, place_with_tags
from rollout.fleetfile.catalogue import Catalogue
from rollout.fleetfile.explain import Finding
from rollout.fleetfile.problems import KeyPath, listed, nearest

if TYPE_CHECKING:
    from rollout.calendar.hours import Hours
    from rollout.fleetfile.service import ServiceSettings
    from rollout.settings import Fleet

_REFERENCE_AT = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
"""From here it is judged whether hours ever come: what a file says does not hang on the day it is read."""
SHOWN = 5
MOST_UNKNOWN = 100


@dataclass(frozen=True, slots=True)
class Chosen:
    """The waves of one campaign: their services, what each waits for, its limits; and where all services are."""

    services: Mapping[str, tuple[str, ...]]
    after: Mapping[str, tuple[str, ...]]
    limits: Mapping[str, Limits]
    places: Mapping[str, Place]


def candidates(fleet: Fleet, catalogue: Catalogue) -> list[Candidate]:
    """All services of a fleet, as waves are chosen by them."""
    return [
        Candidate(name, _place(settings, catalogue), settings.tags, least_s(settings))
        for name, settings in fleet.services.items()
    ]


def _place(settings: ServiceSettings, catalogue: Catalogue) -> Place:
    found = catalogue.place_of(settings.provider, settings.options)
    return place_with_tags(found, settings.provider, settings.tags)


def least_s(settings: ServiceSettings) -> float:
    """No rollout of this service is promoted in less."""
    proof = settings.gate_rule("replacement")
    steps_s = len(settings.traffic.steps) * settings.traffic.soak_s
    return settings.settle_s + (proof.passes - 1) * proof.interval_s + steps_s + settings.bake_s


def choose(campaign: CampaignSettings, services: list[Candidate]) -> Chosen:
    return Chosen(
        selected({wave.name: wave.select.wanted() for wave in campaign.waves}, services),
        after_of(campaign.waves),
        {wave.name: wave.limits() for wave in campaign.waves},
        {each.name: each.place for each in services},
    )


def problems(fleet: Fleet, catalogue: Catalogue) -> Iterator[Finding]:
    """What is wrong with the campaigns of a file whose every part is right by itself."""
    if not fleet.campaigns:
        return
    services = candidates(fleet, catalogue)
    for name, campaign in fleet.campaigns.items():
        at: KeyPath = ("campaigns", name)
        chosen = choose(campaign, services)
        wrong = list(_of_waves(at, campaign, chosen, fleet))
        yield from wrong
        if not wrong:
            yield from _of_time(at, campaign, chosen, fleet, services)


def _of_waves(at: KeyPath, campaign: CampaignSettings, chosen: Chosen, fleet: Fleet) -> Iterator[Finding]:
    for index, wave in enumerate(campaign.waves):
        here: KeyPath = (*at, "waves", index)
        unknown = [
            (number, named)
            for number, named in enumerate(wave.select.services or ())
            if "*" not in named and named not in fleet.services
        ]
        for count, (number, named) in enumerate(unknown):
            if count < MOST_UNKNOWN:
                near = nearest(named, fleet.services) if count < SHOWN else None  # each is compared with all
                problem = f"no service is called {named!r}" + (f" (did you mean {near}?)" if near else "")
                yield Finding((*here, "select", "services", number), problem=problem, allowed="a service of this file")
        if not chosen.services[wave.name]:
            what = "every service is in another wave" if wave.select.rest else "no service fits all of it"
            yield Finding((*here, "select"), problem=f"wave {wave.name} selects nothing: {what}")
        spread = wave.one_at_a_time
        if nowhere := unplaced(wave.limits(), chosen.services[wave.name], chosen.places):
            allowed = f"a provider that says so, or tags: {{{spread}: …}} at services.{nowhere}"
            yield Finding((*here, "one_at_a_time"), problem=f"nobody knows the {spread} of {nowhere}", allowed=allowed)
    yield from _of_image(at, campaign, chosen)
    waves = [wave.name for wave in campaign.waves]
    for service, one, other in overlaps(chosen.services)[:SHOWN]:
        problem = f"{service} is in wave {one} and in wave {other}"
        yield Finding((*at, "waves", waves.index(other), "select"), problem=problem, allowed="each service once")


def _of_image(at: KeyPath, campaign: CampaignSettings, chosen: Chosen) -> Iterator[Finding]:
    """Where each provider has a name of its own for the patch: those of the campaign's services, and no others."""
    if not isinstance(campaign.image, dict):
        return
    first = dict[str, str]()
    for service in (service for services in chosen.services.values() for service in services):
        first.setdefault(chosen.places[service].provider, service)
    for provider in campaign.image:
        if provider not in first:
            problem = f"no service of the campaign has provider {provider!r}"
            yield Finding((*at, "image", provider), problem=problem, allowed=listed(list(first)))
    for provider, service in first.items():
        if provider not in campaign.image:
            allowed = f"an image for {provider}, too"
            yield Finding((*at, "image"), problem=f"nothing is rolled out to {service} ({provider})", allowed=allowed)


def _of_time(
    at: KeyPath, campaign: CampaignSettings, chosen: Chosen, fleet: Fleet, services: list[Candidate]
) -> Iterator[Finding]:
    hours = campaign.hours(fleet.policy.time_zone) & fleet.policy.hours()
    if never(hours):
        what = "windows" if campaign.windows else "blackouts"
        yield Finding((*at, what), problem="it never opens: blackouts cover all of it", allowed="a time that comes")
        return
    judged = dict[object, bool]()
    for name in (name for names in chosen.services.values() for name in names):
        of = fleet.services[name]
        key = (of.windows, of.blackouts, of.time_zone)
        if key not in judged:
            judged[key] = never(hours & of.hours(fleet.policy.time_zone))
            if judged[key]:
                problem = f"never opens together with the windows of services.{name}"
                yield Finding((*at, "windows"), problem=problem, allowed="a time at which both are open")
    if campaign.deadline_s is not None:
        limits, least = chosen.limits, {each.name: each.least_s for each in services}
        needed_s = least_seconds(chosen.after, limits, chosen.services, least)
        if needed_s > campaign.deadline_s:
            allowed = f"at least {format_duration(needed_s)}, which soaks and gates take until the last one begins"
            problem = f"{format_duration(campaign.deadline_s)} cannot be met"
            yield Finding((*at, "deadline"), problem=problem, allowed=allowed)


def never(hours: Hours) -> bool:
    return not hours.is_always and hours.next_open(_REFERENCE_AT) is None

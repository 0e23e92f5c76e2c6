"""Why campaigns do not patch a service now: part of what `rollout why-not-now` says."""

from __future__ import annotations

from itertools import islice

from rollout.campaign import register
from rollout.campaign.decide import Wait
from rollout.campaign.look import decided
from rollout.campaign.model import Member, Run
from rollout.wiring import Installation


def reasons(installation: Installation, service: str, now: float) -> list[str]:
    """One sentence for each campaign that is to patch the service; none where no campaign has it."""
    told, running = list[str](), set[str]()
    for run in register.runs(installation.store.db) if installation.has_store else ():
        running.add(run.campaign)
        if service in run.plan.places:
            told += _of_run(installation, run, service)
    return told + _of_file(installation, service, now, running)


def image_of(installation: Installation, service: str) -> str | None:
    """What a campaign that is under way, else one of the fleet file, rolls out to a service; None where none does."""
    from rollout.campaign.beginning import chosen_of
    from rollout.campaign.pins import as_text, references

    for run in register.runs(installation.store.db) if installation.has_store else ():
        if service in run.plan.places:
            return run.plan.pin(service).image
    provider = installation.service(service).provider
    for name, campaign in installation.fleet.campaigns.items():
        if campaign.image and any(service in each for each in chosen_of(installation, name).services.values()):
            return references(as_text(campaign.image), [provider]).get(provider)
    return None


def _of_run(installation: Installation, run: Run, service: str) -> list[str]:
    members, deeds = decided(installation, run)
    mine = next(each for each in members if each.service == service)
    named = f"campaign {run.campaign}, wave {mine.wave}"
    if mine.progress == "skipped":
        return [f"{named}: it is left out: {mine.why}"]
    if mine.progress != "waiting":
        return [f"{named}: its rollout is {mine.rollout} ({mine.phase})"]
    waits = [deed for deed in deeds if isinstance(deed, Wait)]
    own = next((each for each in waits if each.service == service), None)
    shared = next((each for each in waits if each.wave == mine.wave and not each.service), None)
    found = own or shared
    if found is None:
        return [f"{named}: it is next" if not mine.why else f"{named}: {mine.why}"]
    return [f"{named}: {found.why}{_ahead(members, mine) if found.kind in ('parallel', 'room') else ''}"]


def _ahead(members: list[Member], mine: Member) -> str:
    """How many of its wave are before it."""
    waiting = [each.service for each in members if each.wave == mine.wave and each.progress == "waiting"]
    before = waiting.index(mine.service)
    return f"; {before} before it" if before else ""


def _of_file(installation: Installation, service: str, now: float, running: set[str]) -> list[str]:
    """Campaigns that are not under way."""
    from rollout.calendar.schedule import occurrences
    from rollout.campaign.beginning import chosen_of
    from rollout.opening import shown_in

    told = []
    fleet = installation.fleet
    for name, campaign in fleet.campaigns.items():
        if name in running:
            continue
        waves = chosen_of(installation, name).services
        wave = next((wave for wave, services in waves.items() if service in services), None)
        if wave is None:
            continue
        if campaign.schedule is None:
            told.append(
                f"campaign {name} has it in wave {wave}, and starts when somebody starts it: rollout wave start {name}"
            )
            continue
        zone = campaign.time_zone or fleet.policy.time_zone
        coming = list(islice(occurrences(campaign.schedule.schedule(zone), now), 1))
        when = f"starts {shown_in(coming[0], zone)}" if coming else "never comes"
        told.append(f"campaign {name} has it in wave {wave}, and {when}")
    return told

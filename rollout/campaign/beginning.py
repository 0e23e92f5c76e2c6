"""From a fleet file to a run: its waves chosen, its patch resolved once and pinned, its plan on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.campaign import register
from rollout.campaign.model import CampaignPlan, Run, Wave
from rollout.campaign.pins import as_text, pinned
from rollout.control import new_id, raise_if_ref_is_missing
from rollout.plan import UnsafePlan
from rollout.wiring import Installation

if TYPE_CHECKING:
    from rollout.fleetfile.campaigns import CampaignSettings
    from rollout.fleetfile.waves import Chosen


class UnknownCampaign(Exception):
    """No such campaign in the fleet file; the message lists the known ones."""


def campaign_of(installation: Installation, name: str) -> CampaignSettings:
    campaigns = installation.fleet.campaigns
    if name not in campaigns:
        from rollout.fleetfile.problems import listed, nearest

        near = nearest(name, campaigns)
        hint = f"; did you mean {near}?" if near else "."
        known = listed(sorted(campaigns)) or "none: write campaigns into it"
        raise UnknownCampaign(f"{installation.fleet_file} has no campaign {name!r}{hint} Known: {known}")
    return campaigns[name]


def chosen_of(installation: Installation, name: str) -> Chosen:
    """The services of each wave, as the fleet file has them now."""
    from rollout.fleetfile.catalogue import Shipped
    from rollout.fleetfile.waves import candidates, choose

    return choose(campaign_of(installation, name), candidates(installation.fleet, Shipped()))


def make_campaign_plan(installation: Installation, name: str, image: str | None, threads: int = 8) -> CampaignPlan:
    """What a run would do: services, limits, and the reference pinned at each place; reads only.

    UnknownCampaign, CannotPin; UnsafePlan where no image is named, or a pinned one is denied to all.
    """
    campaign = campaign_of(installation, name)
    reference = image or (as_text(campaign.image) if campaign.image else "")
    if not reference:
        raise UnsafePlan(f"campaign {name}: no image was named; say --image REF, or set campaigns.{name}.image")
    chosen = chosen_of(installation, name)
    waves = tuple(
        Wave(wave.name, chosen.after[wave.name], chosen.services[wave.name], chosen.limits[wave.name])
        for wave in campaign.waves
    )
    services = [service for wave in waves for service in wave.services]
    places = {service: chosen.places[service] for service in services}
    pins = pinned(installation, reference, services, places, threads)
    return CampaignPlan(name, reference, waves, places, pins, campaign.deadline_s)


def raise_if_denied(installation: Installation, plan: CampaignPlan) -> None:
    """Denying one member of a patch denies all of it."""
    denied = installation.store.denied_everywhere(installation.fleet.policy.deny_after_services)
    for pin in plan.pins:
        if pin.image in denied:
            raise UnsafePlan(
                f"campaign {plan.campaign}: {plan.reference} ({pin.image}) is denied to all: {denied[pin.image]}. "
                f"Nothing was started; choose another image"
            )


def start(
    installation: Installation,
    name: str,
    *,
    image: str | None = None,
    key: str | None = None,
    actor: str,
    reason: str = "",
    ref: str = "",
) -> tuple[Run, bool]:
    """Put a run on record, for `rollout serve` to carry out; True: the key had started it before.

    Register's Running and all that `make_campaign_plan` raises leave everything as it was.
    """
    campaign = campaign_of(installation, name)
    db, ref = installation.store.db, ref or campaign.ref
    known = register.known_key(db, name, key)
    if known:
        return known, True
    raise_if_ref_is_missing(installation, "start", ref)
    present = register.newest(db, name)
    if present and present.ended_at is None:
        raise register.Running(present)
    plan = make_campaign_plan(installation, name, image)
    raise_if_denied(installation, plan)
    now = installation.clock.now()
    run = Run(new_id(name, now), name, plan, actor, reason, ref, now, key=key)
    opened = register.open_run(db, run)
    return opened, opened.id != run.id

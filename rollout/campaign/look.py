"""How a run stands at this moment, as `decide` wants it. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollout.campaign import register
from rollout.campaign.decide import Deed, Now, decide
from rollout.campaign.heard import Heard
from rollout.campaign.model import Member, Run
from rollout.wiring import Installation

if TYPE_CHECKING:
    from rollout.calendar.hours import Hours


def members_of(installation: Installation, run: Run, heard: Heard | None = None) -> list[Member]:
    """Its services, with all that is known of their rollouts."""
    db = installation.store.db
    return (heard or Heard(db)).complete(register.members(db, run.id))


def now_of(installation: Installation, run: Run) -> Now:
    """The fleet file, the denials, the freezes and the time, as they are now."""
    fleet, at = installation.fleet, installation.clock.now()
    denied = installation.store.denied_everywhere(fleet.policy.deny_after_services)
    missing = frozenset(service for service in run.plan.places if service not in fleet.services)
    closed, opens_at = _closed(installation, run, at)
    return Now(at, closed, opens_at, denied, missing)


def decided(installation: Installation, run: Run, heard: Heard | None = None) -> tuple[list[Member], list[Deed]]:
    """Members and deeds of a run."""
    members = members_of(installation, run, heard)
    return members, decide(run, members, now_of(installation, run))


def _closed(installation: Installation, run: Run, at: float) -> tuple[str, float | None]:
    """Why nothing of the run may begin now, and until when that is so; freezes of a part only keep that part."""
    from rollout.freeze import ALL, Freezes
    from rollout.opening import Opening

    for freeze in Freezes(installation.store.db).all(at):
        if freeze.scope == ALL:
            return f"all is frozen by {freeze.actor}: {freeze.reason or 'no reason given'}", freeze.until
    campaign = installation.fleet.campaigns.get(run.campaign)
    if campaign is None:
        return "it is not in the fleet file any more, so that nobody knows its windows: put it back, or abort", None
    zone = installation.fleet.policy.time_zone
    hours: Hours = campaign.hours(zone) & installation.fleet.policy.hours()
    why = Opening(hours, time_zone=campaign.time_zone or zone).why_closed(at)
    span = hours.next_open(at) if why else None
    return why, span.opens if span else None

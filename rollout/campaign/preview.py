"""What a campaign would do if it were started now: service by service, with what it costs. Reads only."""

from __future__ import annotations

from typing import Any

from providers.base import ProviderError
from rollout.campaign.beginning import make_campaign_plan
from rollout.campaign.decide import Room
from rollout.campaign.model import CampaignPlan, Wave
from rollout.campaign.several import in_threads
from rollout.coexist import Forbidden
from rollout.control import denials, make_plan
from rollout.plan import Plan, UnsafePlan, changes_nothing, raise_if_unsafe, seconds_needed
from rollout.wiring import Installation

THREADS = 8


def preview(installation: Installation, name: str, image: str | None, threads: int = THREADS) -> dict[str, Any]:
    """Plain data: waves with their services, totals, and whether anything would change. Raises as starting does."""
    plan = make_campaign_plan(installation, name, image, threads)
    fleetwide = installation.store.denied_everywhere(installation.fleet.policy.deny_after_services)
    denied = next((f"{pin.image}: {fleetwide[pin.image]}" for pin in plan.pins if pin.image in fleetwide), "")

    def of(service: str) -> dict[str, Any]:
        return _service(installation, plan, service)

    found = in_threads(threads, of, plan.services)
    waves = [_wave(wave, [found[service] for service in wave.services]) for wave in plan.waves]
    totals = _totals([row for wave in waves for row in wave["rows"]])
    return {
        "campaign": name,
        "reference": plan.reference,
        "images": {pin.key: pin.image for pin in plan.pins},
        "patch_hash": plan.patch_hash,
        "hash": plan.hash,
        "denied": denied,
        "hours": _hours(installation, name),
        "waves": waves,
        "totals": totals,
        "changes": totals["services"] > 0 and not denied,
    }


def _service(installation: Installation, plan: CampaignPlan, name: str) -> dict[str, Any]:
    """One row: `excluded` says why it would not be patched, by a word of SKIPPED or `held`, and in words."""
    image = plan.pin(name).image
    row: dict[str, Any] = {"service": name, "now": "", "then": image, "hosts": 0, "instance_hours": 0.0}
    row |= {"excluded": "", "why": "", "seconds": 0.0}
    try:
        made = make_plan(installation, name, image)
    except Forbidden:
        return {**row, "excluded": "no_way", "why": "declares coexist: forbidden"}
    except (ProviderError, UnsafePlan) as error:
        return {**row, "excluded": "no_way", "why": str(error)}
    except Exception as error:  # an adapter may fail in any way: the others are planned all the same
        return {**row, "excluded": "no_way", "why": f"{type(error).__name__}: {error}"}
    row |= {"now": made.original_image, "then": made.patch.image, "hosts": made.capacity}
    if excluded := _excluded(installation, made):
        return {**row, "hosts": 0, "excluded": excluded[0], "why": excluded[1]}
    seconds = seconds_needed(made)
    hours = made.capacity * (seconds + made.keep_warm_s) / 3600
    return {**row, "seconds": seconds, "instance_hours": round(hours, 2)}


def _excluded(installation: Installation, plan: Plan) -> tuple[str, str] | None:
    name = plan.service.name
    if changes_nothing(plan):
        return "nothing_to_do", "runs this image already"
    denied = denials(installation, name)
    for image in plan.patch.images.values():
        if image in denied:
            return "denied", denied[image]
    try:
        raise_if_unsafe(plan, denied)
    except UnsafePlan as error:
        return "no_way", str(error)
    hold = installation.store.hold(name, installation.clock.now())
    return ("held", f"held by {hold.actor}: {hold.reason}") if hold else None


def _wave(wave: Wave, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """`rows` with what is too large for the wave, even alone, left out."""
    room = Room(())
    judged = [
        {**row, "excluded": "too_large", "why": room.lacks(wave, row["hosts"]), "instance_hours": 0.0}
        if not row["excluded"] and room.lacks(wave, row["hosts"])
        else row
        for row in rows
    ]
    limits = wave.limits
    return {
        "name": wave.name,
        "after": list(wave.after),
        "max_parallel": limits.max_parallel,
        "max_unproven_hosts": limits.max_unproven_hosts,
        "max_extra_instances": limits.max_extra_instances,
        "stop_after_failures": limits.stop_after_failures,
        "soak_s": limits.soak_s,
        "one_at_a_time": limits.one_at_a_time,
        "go_on": limits.go_on,
        "rows": judged,
        "totals": _totals(judged),
        "seconds": _seconds(wave, judged),
    }


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    patched = [row for row in rows if not row["excluded"]]
    return {
        "services": len(patched),
        "excluded": len(rows) - len(patched),
        "added_instances": sum(row["hosts"] for row in patched),
        "instance_hours": round(sum(row["instance_hours"] for row in patched), 2),
    }


def _seconds(wave: Wave, rows: list[dict[str, Any]]) -> float:
    """How long the wave takes at least, by its parallelism alone."""
    each = [float(row["seconds"]) for row in rows if not row["excluded"]]
    if not each:
        return 0.0
    return max(max(each), sum(each) / wave.limits.max_parallel)


def _hours(installation: Installation, name: str) -> str:
    """Whether it might begin now, in words; empty where nothing limits it."""
    from rollout.campaign.beginning import campaign_of
    from rollout.freeze import ALL, Freezes
    from rollout.opening import Opening

    campaign, policy = installation.fleet.campaigns[name], installation.fleet.policy
    hours = campaign_of(installation, name).hours(policy.time_zone) & policy.hours()
    now = installation.clock.now()
    frozen = next((each for each in Freezes(installation.store.db).all(now) if each.scope == ALL), None)
    if frozen:
        return f"all is frozen by {frozen.actor}: {frozen.reason}; lift it with: rollout freeze off"
    if hours.is_always:
        return ""
    opening = Opening(hours, time_zone=campaign.time_zone or policy.time_zone)
    closes = hours.closes_at(now)
    return opening.why_closed(now) or f"open now{f', until {opening.shown(closes)}' if closes else ''}"

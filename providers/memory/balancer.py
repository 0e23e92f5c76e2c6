"""How the simulated balancer behaves: it judges targets, moves weights with a lag, counts and drains."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from providers.base import SLOTS, Counters, HoldMark, Invalid, Slot, TargetHealth, Weights

from .model import SimInstance, SimService, SimSlot

if TYPE_CHECKING:
    from .cloud import SimCloud


def check_weights(svc: SimService, weights: Weights) -> dict[Slot, int]:
    """The rules that a balancer enforces; what it accepts, in a fixed order."""
    named = ", ".join(f"{slot}={share}" for slot, share in weights.items())
    if set(weights) != set(SLOTS):
        raise Invalid(f"{svc.name}: weights must name {' and '.join(SLOTS)}; got {named or 'none'}")
    if any(share < 0 for share in weights.values()) or sum(weights.values()) != 100:
        raise Invalid(f"{svc.name}: weights must be 0 to 100 and add up to 100, never an empty route; got {named}")
    for slot in SLOTS:
        if weights[slot] > 0 and not svc.slots[slot].attached:
            raise Invalid(f"{svc.name}: {slot} is not attached to the route; attach it first, then give it weight")
    return {slot: weights[slot] for slot in SLOTS}


def declare(cloud: SimCloud, svc: SimService, weights: dict[Slot, int]) -> str:
    """Declare weights; clients follow after the balancer's lag. Says what changed.

    The same weights again are a new revision, too: it fences a compare-and-set that is still on its way.
    """
    svc.revision += 1
    if weights == svc.weights:
        return "no change"
    before, svc.weights = svc.weights, weights
    revision, lag = svc.revision, cloud.switches.balancer_lag_s
    lag = svc.settings.balancer_lag_s if lag is None else lag
    if lag > 0:
        cloud.timeline.after(lag, lambda: _take_effect(cloud, svc, weights, revision))
    else:
        _take_effect(cloud, svc, weights, revision)
    return f"blue {before['blue']} → {weights['blue']}, green {before['green']} → {weights['green']}"


def _take_effect(cloud: SimCloud, svc: SimService, weights: dict[Slot, int], revision: int) -> None:
    if revision < svc.observed_revision:
        return  # a later declaration overtook this one
    now = cloud.timeline.now
    accrue(svc, now)
    open_now = {slot: _connections(svc, slot, now) for slot in SLOTS}
    loaded = [slot for slot in SLOTS if (svc.observed[slot] > 0) != (weights[slot] > 0)]
    svc.observed, svc.observed_revision = weights, revision
    for slot in SLOTS:
        side = svc.sides[slot]
        side.lingering = max(open_now[slot] - svc.settings.connections * weights[slot] / 100, 0.0)
        side.lingering_since = now
    for slot in loaded:
        for instance in svc.slots[slot].instances:
            if instance.image.behaviour.fails_health_under_traffic:
                judge_later(cloud, svc, instance)


def judge_later(cloud: SimCloud, svc: SimService, instance: SimInstance) -> None:
    """The balancer notices a change of a target after its health lag."""
    if svc.settings.health_lag_s > 0:
        cloud.timeline.after(svc.settings.health_lag_s, lambda: _judge(cloud, svc, instance))
    else:
        _judge(cloud, svc, instance)


def _judge(cloud: SimCloud, svc: SimService, instance: SimInstance) -> None:
    if instance.gone or not instance.registered or instance.state == "starting":
        return
    accrue(svc, cloud.timeline.now)
    instance.judged = "healthy" if instance.serves(svc.observed[instance.slot]) else "unhealthy"


def accrue(svc: SimService, now: float) -> None:
    """Count the requests since the last change, split as clients were; call it before anything changes."""
    hundredths = svc.settings.requests_per_s * (now - svc.accrued_at) / 100
    svc.accrued_at = now
    if hundredths <= 0:
        return
    for slot in SLOTS:
        if share := svc.observed[slot]:
            failed, errors = _bad_shares(svc.slots[slot], share)
            side, requests = svc.sides[slot], hundredths * share
            side.requests += requests
            side.failed += requests * failed
            side.errors += requests * errors


def _bad_shares(slot: SimSlot, share: int) -> tuple[float, float]:
    """Of requests to this slot: the part that gets no answer, and the part that gets a 5xx."""
    routed = [i for i in slot.instances if i.registered and i.judged == "healthy"]
    if not routed:
        return 1.0, 0.0
    failed = errors = 0.0
    for instance in routed:
        if instance.serves(share):
            failed += instance.image.behaviour.failed_share_live
            errors += instance.image.behaviour.error_share_live
        else:
            failed += 1.0
    return failed / len(routed), errors / len(routed)


def _connections(svc: SimService, slot: Slot, now: float) -> float:
    side, settings = svc.sides[slot], svc.settings
    left = 1 - (now - side.lingering_since) / settings.drain_s if settings.drain_s > 0 else 0.0
    return settings.connections * svc.observed[slot] / 100 + side.lingering * max(left, 0.0)


def in_flight(svc: SimService, slot: Slot, now: float) -> int:
    return ceil(_connections(svc, slot, now) - 1e-6)


def cut(svc: SimService, slot: Slot, now: float) -> int:
    """Close what is open on a slot; clients that still belong there come back at once."""
    closed = in_flight(svc, slot, now)
    svc.sides[slot].lingering = 0.0
    return closed


def drop(svc: SimService, slot: Slot, now: float) -> None:
    """What still lingers on a slot is broken off, which its clients see as failures."""
    broken = cut(svc, slot, now) - svc.settings.connections * svc.observed[slot] / 100
    if broken > 0:
        svc.sides[slot].requests += broken
        svc.sides[slot].failed += broken


def set_mark(svc: SimService, mark: HoldMark | None) -> str:
    """The mark is part of the route, so a compare-and-set notices it."""
    if mark == svc.mark:
        return "no change"
    svc.mark = mark
    svc.revision += 1
    return "mark cleared" if mark is None else f"marked: {mark.active} stays active"


def counters(svc: SimService, slot: Slot, now: float) -> Counters:
    side = svc.sides[slot]
    requests, errors, failed = (int(count + 1e-6) for count in (side.requests, side.errors, side.failed))
    responses = {"2xx": max(requests - errors - failed, 0), "5xx": errors}
    return Counters(requests, responses, failed, in_flight(svc, slot, now))


def target_health(cloud: SimCloud, svc: SimService, slot: Slot) -> TargetHealth:
    """What the balancer says, which a switch may make a lie."""
    targets = [i for i in svc.slots[slot].instances if i.registered]
    lie = cloud.switches.place(cloud.switches.health_lies, svc.name, slot)
    said = [lie or target.judged for target in targets]
    reasons = sorted({_reason(i) for i, word in zip(targets, said, strict=True) if word == "unhealthy"})
    return TargetHealth(said.count("healthy"), said.count("unhealthy"), said.count("unknown"), tuple(reasons))


def _reason(instance: SimInstance) -> str:
    return instance.reason or "health check answered 503"

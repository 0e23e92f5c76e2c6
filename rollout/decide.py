"""Turning back is one journal entry, whoever asked: a gate, a deadline, an abort, the on-call engineer.

Read first whether the original can serve; then write the decision in the transaction that raises the epoch, if the
journal has not moved since that read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from providers.base import Provider, TargetHealth, Weights, plain
from rollout.journal import Journal
from rollout.phases import can_turn_back
from rollout.plan import Plan, capacity_needed
from rollout.readiness import Side, may_serve
from rollout.store import HeadMoved, Store

Kind = Literal["gate", "abort", "rollback", "interrupt", "mark"]
TRIES = 20


@dataclass(frozen=True, slots=True)
class Readiness:
    """Can traffic go back? `go` with the reason in words, and the route as it was read."""

    go: bool
    why: str
    route: Weights | None


class CannotTurnBack(Exception):
    """The way back is not open; the message says why and what can be done."""


def original_can_serve(plan: Plan, journal: Journal, provider: Provider) -> Readiness:
    """Pass → go. Fail → stay. Unknown → go if it was seen healthy since the card was written, and say so."""
    captured = journal.value("capture")
    try:
        route = provider.traffic.route(plan.service)
        weights: Weights | None = dict(route.weights)
        if captured is None or route.share(plan.original) == 100:
            return Readiness(True, f"all traffic is on {plan.original}", weights)
        reading = provider.traffic.observe([plan.service])[plan.service.name]
    except Exception as error:  # whatever is wrong with the adapter, what was seen before it still counts
        return _if_seen_healthy(plan, captured, f"the balancer cannot be read ({error})", None)
    original, replacement = (_side(reading.targets[slot]) for slot in (plan.original, plan.replacement))
    # Hosts that the original is still launching are no reason to stay: what it had when it served alone is enough.
    registered = reading.targets[plan.original].total
    capacity = min(capacity_needed(plan, journal), max(plan.capacity, registered))
    go, why = may_serve(original, replacement, capacity, was_healthy=was_healthy(captured, plan))
    return Readiness(go, f"{plan.original}: {why}", weights)


def _side(targets: TargetHealth) -> Side:
    return Side(targets.healthy, targets.unhealthy, targets.unknown)


def was_healthy(captured: Mapping[str, Any] | None, plan: Plan) -> bool:
    """Was the original seen healthy when the card was written?"""
    return captured is not None and captured["healthy"] >= plan.capacity


def _if_seen_healthy(plan: Plan, captured: Mapping[str, Any] | None, why: str, route: Weights | None) -> Readiness:
    healthy = was_healthy(captured, plan)
    told = "it was healthy when the card was written" if healthy else "it was not seen healthy"
    return Readiness(healthy, f"{why}; {told}", route)


def decide_roll_back(
    store: Store,
    provider: Provider,
    rollout: str,
    *,
    kind: Kind,
    reason: str,
    actor: str,
    at: float,
    ref: str = "",
    deny: bool = False,
    force: bool = False,
    evidence: Mapping[str, Any] | None = None,
) -> Readiness:
    """Journal the decision; CannotTurnBack past the point of no return. A decision that stands is left as it is,
    but a person's word lets a halted way back go on, over the route that is there now.

    When the original cannot serve, nothing is decided: the rollout is halted at its present weights, and the
    readiness that is returned says why (`go` False).
    """
    plan = Plan.from_json(store.rollout(rollout).plan)
    for _ in range(TRIES):
        journal = Journal(store.entries(rollout))
        by_person = kind in ("abort", "rollback", "interrupt")
        goes_on = bool(journal.decision and journal.halt and by_person)
        if journal.closed or (journal.decision and not goes_on):
            return Readiness(True, "it was decided already", None)
        if journal.adoption:
            raise CannotTurnBack(
                f"{rollout}: {journal.adoption.data['by']} took what serves as it is, and the other side is being "
                f"given up. To go back, start a rollout to the earlier image"
            )
        if not goes_on and not can_turn_back(journal.phase):
            raise CannotTurnBack(
                f"{rollout} is {journal.phase}: its way back was given up; "
                f"to go back now, start a rollout to the earlier image"
            )
        ready = original_can_serve(plan, journal, provider)
        data = {
            "kind": kind,
            "reason": reason,
            "actor": actor,
            "ref": ref,
            "deny": deny,
            "forced": force,
            "by_person": by_person,
            "readiness": ready.why,
            "route": ready.route,
            "evidence": plain(evidence or {}),
        }
        try:
            if ready.go or force:
                decided = "resumed" if goes_on else "roll_back_decided"
                store.decide(rollout, journal.head, decided, data, at, outcome="running")
            elif not (journal.halt and journal.halt.data.get("readiness") == ready.why):  # else it is said already
                store.decide(rollout, journal.head, "halted", {**data, "wanted": "roll back"}, at, outcome="halted")
            return ready
        except HeadMoved:
            continue
    raise CannotTurnBack(f"{rollout} moves too fast to decide over it; try again")

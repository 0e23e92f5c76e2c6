"""Traffic goes back only onto a side that can serve, and the decision is one entry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from providers.base import Counters, Provider, Reading, Route, Service, Slot, TargetHealth, Transient
from rollout import acts
from rollout.decide import CannotTurnBack, Kind, Readiness, decide_roll_back, original_can_serve
from rollout.journal import Journal
from tests.core.scene import ROLLOUT, World

ON_GREEN: dict[Slot, int] = {"blue": 0, "green": 100}


class Seen:
    """A balancer that says exactly this."""

    def __init__(self, blue: TargetHealth, green: TargetHealth, weights: dict[Any, int], fails: str = "") -> None:
        self.route_seen, self.fails = Route(weights, "r1"), fails
        self.reading = Reading(
            self.route_seen, {"blue": blue, "green": green}, {"blue": Counters(), "green": Counters()}, "c", 0.0
        )

    def route(self, service: Service) -> Route:
        """The route, if it can be read."""
        if self.fails == "route":
            raise Transient("no answer")
        return self.route_seen

    def observe(self, services: Sequence[Service]) -> dict[str, Reading]:
        """The reading, if it can be read."""
        if self.fails == "observe":
            raise Transient("no answer")
        return {} if self.fails == "missing" else {"shop": self.reading}


def readiness(
    world: World,
    blue: TargetHealth,
    green: TargetHealth = TargetHealth(2),  # noqa: B008 - frozen
    *,
    weights: Any = None,
    fails: str = "",
    healthy_then: int = 2,
    captured: bool = True,
) -> Readiness:
    """Can blue serve, when this is seen and that many were healthy at the capture?"""
    if captured:
        world.past_capture()
    entries = [
        replace(entry, data={"value": {**entry.data["value"], "healthy": healthy_then}})
        if entry.step == "capture"
        else entry
        for entry in world.journal.entries
    ]
    seen: Any = Seen(blue, green, weights or ON_GREEN, fails)
    return original_can_serve(world.plan, Journal(entries), replace(world.provider, traffic=seen))


def test_a_healthy_original_can_serve(world: World) -> None:
    """A rollback that was possible is refused."""
    assert readiness(world, TargetHealth(2)) == Readiness(True, "blue: 2 of 2 healthy", ON_GREEN)


def test_traffic_that_is_back_already_needs_no_health(world: World) -> None:
    """A rollback of an ill service halts although there is nothing to move."""
    found = readiness(world, TargetHealth(0, 2), weights={"blue": 100, "green": 0})
    assert found.go and "all traffic is on blue" in found.why


def test_before_anything_was_captured_turning_back_is_free(world: World) -> None:
    """A rollout that has done nothing cannot be aborted."""
    assert readiness(world, TargetHealth(0), captured=False).go


def test_a_dead_original_gets_no_traffic(world: World) -> None:
    """A rollback sends all users to a side where nothing answers."""
    found = readiness(world, TargetHealth(0, 2))
    assert not found.go and found.why == "blue: 0 of 2 healthy, 2 on the other side"


@pytest.mark.parametrize(("blue", "green", "go"), [(1, 0, True), (1, 1, True), (1, 2, False), (0, 0, False)])
def test_half_an_original_is_better_than_a_worse_replacement(world: World, blue: int, green: int, go: bool) -> None:
    """Users stay on a dead side because the other one is not perfect, or leave a better one."""
    found = readiness(world, TargetHealth(blue, 2 - blue), TargetHealth(green, 2 - green))
    assert found.go is go


@pytest.mark.parametrize(("healthy_then", "go"), [(2, True), (3, True), (1, False), (0, False)])
def test_an_original_that_is_not_judged_was_seen_healthy_or_not(world: World, healthy_then: int, go: bool) -> None:
    """A balancer that forgot its judgements blocks every rollback, or an unproven side is trusted."""
    found = readiness(world, TargetHealth(0, 0, 2), healthy_then=healthy_then)
    assert found.go is go and "2 not judged yet" in found.why
    assert ("it was healthy when the card was written" if go else "it was never seen healthy") in found.why


@pytest.mark.parametrize(
    ("blue", "green", "healthy_then", "go"),
    [
        (TargetHealth(1, 0, 1), TargetHealth(2), 2, True),
        (TargetHealth(1, 0, 1), TargetHealth(2), 1, False),
        (TargetHealth(1, 1, 1), TargetHealth(2), 2, False),
        (TargetHealth(1, 1, 1), TargetHealth(1), 2, True),
        (TargetHealth(0, 1, 1), TargetHealth(0, 2), 2, False),
        (TargetHealth(2, 0, 1), TargetHealth(2), 0, True),
        (TargetHealth(2, 1, 1), TargetHealth(2), 0, True),
    ],
)
def test_a_half_judged_original_is_neither_trusted_blindly_nor_refused(
    world: World, blue: TargetHealth, green: TargetHealth, healthy_then: int, go: bool
) -> None:
    """A target that is not judged yet blocks the way back, or hides one that is known to be ill."""
    assert readiness(world, blue, green, healthy_then=healthy_then).go is go


def test_an_original_that_grew_needs_what_it_grew_to(world: World) -> None:
    """Traffic for five hosts goes back onto two, while the other three are sick."""
    run = world.past_capture()
    run.note("done", "grow:1", {"value": {"slot": "green", "capacity": 5, "had": 2}})
    seen: Any = Seen(TargetHealth(2, unhealthy=3), TargetHealth(5), ON_GREEN)
    found = original_can_serve(world.plan, world.journal, replace(world.provider, traffic=seen))
    assert not found.go and found.why == "blue: 2 of 5 healthy, 5 on the other side"


def test_hosts_that_are_being_launched_do_not_hold_a_rollback_up(world: World) -> None:
    """A failing patch keeps its traffic because the good side happened to be scaling out."""
    run = world.past_capture()
    run.note("done", "grow:1", {"value": {"slot": "green", "capacity": 5, "had": 2}})
    seen: Any = Seen(TargetHealth(2), TargetHealth(5), ON_GREEN)
    found = original_can_serve(world.plan, world.journal, replace(world.provider, traffic=seen))
    assert found.go and found.why == "blue: 2 of 2 healthy"


@pytest.mark.parametrize("fails", ["route", "observe", "missing"])
@pytest.mark.parametrize("healthy_then", [2, 0])
def test_a_blind_decision_relies_on_what_was_seen_before(world: World, fails: str, healthy_then: int) -> None:
    """A rollback waits for a balancer that cannot be read, or trusts a side that was never seen healthy."""
    found = readiness(world, TargetHealth(2), fails=fails, healthy_then=healthy_then)
    assert found.go is (healthy_then == 2) and "cannot be read" in found.why


# The decision


def decide(world: World, kind: Kind = "abort", *, provider: Provider | None = None, **more: Any) -> Readiness:
    """The decision of a person or gate, with the usual words."""
    return decide_roll_back(
        world.store,
        provider or world.provider,
        ROLLOUT,
        kind=kind,
        reason="errors",
        actor="oncall",
        at=world.clock.now(),
        **more,
    )


def on_green(world: World, *phases: str) -> None:
    """All traffic on the replacement, as a story would have left it."""
    run = world.at_phase("preparing", "mirroring", "patching", "proving", "shifting", *phases)
    world.mirror_stands()
    run.once(acts.swap(run, "swap:1:100", ON_GREEN))


@pytest.mark.parametrize(
    ("kind", "by_person"),
    [("abort", True), ("rollback", True), ("interrupt", True), ("gate", False), ("mark", False)],
)
def test_a_decision_says_who_why_and_how_ready(world: World, kind: Kind, by_person: bool) -> None:
    """Nobody can tell afterwards who turned a rollout back."""
    on_green(world)
    assert decide(world, kind, deny=True, evidence={"checks": (1, 2)}).go
    decision = world.journal.decision
    assert decision is not None
    assert decision.data == {
        "kind": kind,
        "reason": "errors",
        "actor": "oncall",
        "deny": True,
        "ref": "",
        "forced": False,
        "by_person": by_person,
        "readiness": "blue: 2 of 2 healthy",
        "route": ON_GREEN,
        "evidence": {"checks": [1, 2]},
    }
    assert world.row.outcome == "running" and world.row.due_at == world.clock.now()
    assert world.store.lease("shop") is None  # whoever drove is fenced: the next job need not wait for it


def test_a_decision_that_stands_is_left_as_it_is(world: World) -> None:
    """The reason for a rollback is overwritten by the second person who asks for it."""
    on_green(world)
    decide(world, reason_first := "gate")
    assert decide(world).why == "it was decided already"
    (only,) = world.entries("roll_back_decided")
    assert only.data["kind"] == reason_first


def test_a_closed_rollout_is_not_decided_over(world: World) -> None:
    """Aborting what is long over changes its record."""
    run = world.at_phase("rolling_back")
    run.close("rolled_back", "rolled_back")
    before = len(world.journal.entries)
    assert decide(world).go
    assert len(world.journal.entries) == before


def test_past_the_point_of_no_return_a_new_rollout_is_named(world: World) -> None:
    """Traffic goes back to a side that is being deleted, or a person is left without a way."""
    on_green(world, "baking", "warm", "retiring")
    with pytest.raises(CannotTurnBack, match=r"is retiring: its way back was given up; .*earlier image"):
        decide(world, force=True)


def test_an_original_that_cannot_serve_halts_at_the_present_weights(world: World) -> None:
    """Users are moved from a working side to a dead one."""
    on_green(world)
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    assert not decide(world).go
    halt = world.journal.halt
    assert halt is not None and halt.data["wanted"] == "roll back" and halt.data["reason"] == "errors"
    assert world.journal.decision is None and world.row.outcome == "halted"
    assert world.weights == ON_GREEN


def test_force_turns_back_nevertheless_and_says_so(world: World) -> None:
    """A person who knows better than the balancer has no way, or leaves no trace."""
    on_green(world)
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    assert not decide(world, force=True).go
    decision = world.journal.decision
    assert decision is not None and decision.data["forced"] is True


def test_a_journal_that_moved_is_read_again(world: World) -> None:
    """A rollback is decided on a reading that is out of date."""
    on_green(world)
    epoch, real, moved = world.later().epoch, world.provider.traffic.observe, list[int]()

    def observe(services: Sequence[Service]) -> Any:
        if len(moved) < 2:
            moved.append(1)
            world.store.append(ROLLOUT, epoch, "verdict_changed", "live", {}, world.clock.now())
        return real(services)

    traffic: Any = Seen(TargetHealth(2), TargetHealth(2), ON_GREEN)
    traffic.observe = observe
    assert decide(world, provider=replace(world.provider, traffic=traffic)).go
    assert len(moved) == 2 and world.journal.entries[-1].kind == "roll_back_decided"


def test_a_journal_that_never_rests_is_said(world: World) -> None:
    """A rollback command loops for ever and says nothing."""
    on_green(world)
    epoch = world.later().epoch
    traffic: Any = Seen(TargetHealth(2), TargetHealth(2), ON_GREEN)

    def route(service: Service) -> Route:
        world.store.append(ROLLOUT, epoch, "verdict_changed", "live", {}, world.clock.now())
        return Route(ON_GREEN, "r")

    traffic.route = route
    with pytest.raises(CannotTurnBack, match="moves too fast"):
        decide(world, provider=replace(world.provider, traffic=traffic))

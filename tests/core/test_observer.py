"""Facts are answered from what is seen; what cannot be read is unknown and never met."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import (
    Counters,
    Instance,
    NotFound,
    Parts,
    Provider,
    Reading,
    Route,
    Service,
    Slot,
    TargetHealth,
    Transient,
)
from rollout.observer import Answer, Fact, answer_to, answers, next_look
from rollout.rows import Wait
from tests.core.scene import SHOP, World

KINDS = ("running", "healthy", "routed", "drained", "gone")


def host(id: str, state: Any = "running", image: str = "base-2", slot: Slot = "green", reason: str = "") -> Instance:
    """An instance as it was observed."""
    return Instance(id, slot, state, image, f"{id}:80", reason)


def answer(
    fact: Fact,
    instances: Sequence[Instance] = (),
    *,
    green: TargetHealth = TargetHealth(),  # noqa: B008 - frozen
    weights: dict[Slot, int] | None = None,
    in_flight: int = 0,
) -> Answer:
    """What is said of the fact when exactly this is seen."""
    reading = Reading(
        Route(weights or {"blue": 100, "green": 0}, "r1"),
        {"blue": TargetHealth(2), "green": green},
        {"blue": Counters(), "green": Counters(in_flight=in_flight)},
        "c1",
        0.0,
    )
    provider: Any = SimpleNamespace(
        compute=SimpleNamespace(observe=lambda services: {"shop": instances}),
        traffic=SimpleNamespace(observe=lambda services, parts: {"shop": reading}),
    )
    return answer_to(provider, SHOP, fact)


RUNNING = Fact("running", "green", 2, "base-2")
HEALTHY = Fact("healthy", "green", 2)


@pytest.mark.parametrize(
    ("instances", "state"),
    [
        ([host("a"), host("b")], "met"),
        ([host("a"), host("b"), host("c", "starting")], "met"),
        ([host("a")], "not_yet"),
        ([], "not_yet"),
        ([host("a"), host("b", "starting")], "not_yet"),
        ([host("a"), host("b", "failed"), host("c", "starting")], "not_yet"),
        ([host("a"), host("b", "failed", reason="no capacity")], "failed"),
        ([host("a"), host("b", image="base-1")], "failed"),
        ([host("a"), host("b", slot="blue", image="base-1")], "not_yet"),
    ],
)
def test_running_counts_only_the_planned_image_on_that_side(instances: list[Instance], state: str) -> None:
    """A mirror that runs something else, or too little of it, is taken for complete."""
    assert answer(RUNNING, instances).state == state


def test_a_failed_launch_says_why() -> None:
    """A person is told that it failed, and not that the cloud had no capacity."""
    assert "no capacity" in answer(RUNNING, [host("a"), host("b", "failed", reason="no capacity")]).seen


def broken(id: str, own_fault: bool) -> Instance:
    """An instance that failed, by its own code or not."""
    return replace(host(id, "failed", reason=f"{id} broke"), own_fault=own_fault)


@pytest.mark.parametrize(
    ("instances", "own_fault", "named"),
    [
        ([broken("b", False)], False, "b broke"),
        ([broken("b", True)], True, "b broke"),
        ([broken("b", False), broken("c", True)], True, "c broke"),
        ([host("a"), host("d", image="base-1"), broken("b", True)], False, "not the planned image: d"),
    ],
)
def test_what_failed_by_its_own_code_is_named_and_to_blame(
    instances: list[Instance], own_fault: bool, named: str
) -> None:
    """An image is denied for a host that somebody killed, or not for the one that its code ended."""
    found = answer(RUNNING, instances)
    assert found.state == "failed" and found.own_fault is own_fault and named in found.seen


@pytest.mark.parametrize("instances", [[host("a"), host("b")], [host("a")], [broken("b", True), host("c", "starting")]])
def test_what_has_not_failed_is_nobodys_fault(instances: list[Instance]) -> None:
    """An image is denied though all is well, or may still become so."""
    found = answer(RUNNING, instances)
    assert found.state != "failed" and found.own_fault is False


@pytest.mark.parametrize(
    ("targets", "state"),
    [
        (TargetHealth(2), "met"),
        (TargetHealth(3), "met"),
        (TargetHealth(1), "not_yet"),
        (TargetHealth(2, 1, 0, ("answered 503",)), "not_yet"),
        (TargetHealth(2, 0, 1), "not_yet"),
        (TargetHealth(), "not_yet"),
    ],
)
def test_healthy_means_enough_and_none_in_doubt(targets: TargetHealth, state: str) -> None:
    """Traffic goes to a side of which one target is broken or not judged yet."""
    assert answer(HEALTHY, green=targets).state == state


def test_routed_means_exactly_these_weights() -> None:
    """The next step begins while clients still follow the one before."""
    fact = Fact("routed", weights={"blue": 50, "green": 50})
    assert answer(fact, weights={"blue": 50, "green": 50}).state == "met"
    assert answer(fact, weights={"blue": 51, "green": 49}).state == "not_yet"


def test_drained_means_nothing_in_flight() -> None:
    """Requests are broken off when a side is given up."""
    assert answer(Fact("drained", "green")).state == "met"
    assert answer(Fact("drained", "green"), in_flight=1).state == "not_yet"


def test_gone_does_not_wait_for_failed_instances() -> None:
    """A rollback waits for an instance that will never go."""
    fact = Fact("gone", "green")
    assert answer(fact, [host("a", slot="blue")]).state == "met"
    assert answer(fact, [host("a", "failed")]).state == "met"
    assert answer(fact, [host("a", "starting")]).state == "not_yet"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", [Transient("timeout"), NotFound("who?"), KeyError("shop")])
def test_what_cannot_be_read_is_unknown(world: World, kind: str, error: Exception) -> None:
    """A balancer that does not answer counts as one where all is well."""

    def fails(services: Sequence[Service], parts: Any = None) -> Any:
        raise error

    blind: Any = SimpleNamespace(observe=fails)
    provider: Provider = replace(world.provider, compute=blind, traffic=blind)
    seen = answer_to(provider, SHOP, Fact(kind, "green", 1))
    assert seen.state == "unknown" and type(error).__name__ in seen.seen


def test_a_service_that_is_not_in_the_answer_is_unknown(world: World) -> None:
    """A service that was removed meanwhile counts as drained and gone."""
    nobody = Service("till")
    assert answer_to(world.provider, nobody, Fact("gone", "green")).state == "unknown"
    assert answer_to(world.provider, nobody, Fact("drained", "green")).state == "unknown"


def test_each_kind_of_read_is_made_once_for_all_who_need_it(world: World) -> None:
    """A fleet of services is throttled by its own questions."""
    kinds = ("gone", "running", "healthy", "serving", "left", "routed", "drained")
    found = answers(world.provider, {kind: (SHOP, Fact(kind, "blue", 2, "base-1")) for kind in kinds})
    assert set(found) == set(kinds) and "unknown" not in {answer.state for answer in found.values()}
    assert world.cloud.calls.reads["compute.observe"] == 1
    assert world.cloud.calls.reads["traffic.observe"] == 3, "targets, route, and what counts"


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("healthy", Parts(route=False, targets=("green",), counters=())),
        ("left", Parts(route=False, targets=("green",), counters=())),
        ("routed", Parts(mark=False, targets=(), counters=())),
        ("drained", Parts(route=False, targets=(), counters=("green",))),
    ],
)
def test_no_part_is_read_that_a_fact_does_not_need(kind: str, parts: Parts) -> None:
    """Each look at one fact costs a platform that answers in parts five calls and not one."""
    asked = list[Any]()

    def observe(services: Sequence[Service], parts: Parts) -> dict[str, Reading]:
        asked.append(parts)
        return {}

    provider: Any = SimpleNamespace(traffic=SimpleNamespace(observe=observe))
    answer_to(provider, SHOP, Fact(kind, "green", 1))
    assert asked == [parts]


def test_what_one_read_cannot_tell_leaves_the_others_alone(world: World) -> None:
    """The hosts of a fleet cannot be read for a moment, and nobody sees that its targets are healthy."""
    world.cloud.switches.fail["compute.observe"] = "transient"
    asked = {"hosts": (SHOP, Fact("gone", "blue")), "targets": (SHOP, Fact("serving", "blue", 2))}
    assert {key: answer.state for key, answer in answers(world.provider, asked).items()} == {
        "hosts": "unknown",
        "targets": "met",
    }


class Shared:
    """Somebody who has read, and says so to whoever asks for anything after `began`."""

    reads_here = True
    is_short = False

    def __init__(self, answer: Answer, began: float = 10.0) -> None:
        self._answer, self._began = answer, began

    def answer(self, service: str, fact: Fact, after: float) -> Answer | None:
        """As the observer's."""
        return self._answer if self._began > after else None

    def reading(self, service: str, after: float) -> Reading | None:
        """None was made."""
        return None


def test_what_was_read_for_many_counts_only_where_it_is_met_and_new(world: World) -> None:
    """A rollout turns back for a fault that was repaired, or goes on by what was so before it asked."""
    met, fact = Answer("met", "seen by another"), Fact("running", "blue", 2, "base-1")
    assert answer_to(world.provider, SHOP, fact, Shared(met), after=5.0) is met
    assert answer_to(world.provider, SHOP, fact, Shared(met), after=10.0).seen == "2 of 2 running"
    for state in ("not_yet", "failed", "unknown"):
        found = answer_to(world.provider, SHOP, fact, Shared(Answer(state, "by another")), after=5.0)
        assert found == Answer("met", "2 of 2 running"), state


@given(st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_a_fact_is_never_left_alone_for_more_than_ten_seconds(waited: float, set_back: float) -> None:
    """A host is up, and the rollout sleeps; or a fleet asks four times a second for minutes."""
    wait, now = Wait("running", 1e7, 1e9, 1e7, {}), 1e7 + waited + set_back
    assert 0.25 <= next_look(wait, now, observed=False) - now <= 10.001


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_one_that_is_observed_is_due_at_its_deadline(waited: float, allowed: float) -> None:
    """Thousands that wait are looked at one by one beside the one look for all of them, or past their deadline."""
    now = 1e7 + waited
    due = next_look(Wait("running", 1e7, 1e7 + allowed, 1e7, {}), now, observed=True)
    assert due == min(1e7 + allowed, now + 600)
    assert next_look(Wait("running", 1e7, None, 1e7, {}), now, observed=True) == now + 600


@given(st.sampled_from(KINDS), st.integers(0, 9), st.text(max_size=5))
def test_a_fact_is_plain_data_and_can_be_told(kind: str, count: int, image: str) -> None:
    """A waiting rollout cannot be stored, or nobody can see what it waits for."""
    fact = Fact(kind, "green", count, image, {"blue": 1, "green": 99})
    assert Fact(**json.loads(json.dumps(fact.to_json()))) == fact
    assert str(fact)


def test_a_side_that_nobody_counts_is_not_drained() -> None:
    """A side behind a balancer without counters is ended in the middle of what it answers, for none were seen."""
    seen = Reading(Route({"blue": 100, "green": 0}, "r1"), {"green": TargetHealth(2)}, {}, "c1", 0.0)
    provider: Any = SimpleNamespace(traffic=SimpleNamespace(observe=lambda services, parts: {"shop": seen}))
    told = answer_to(provider, SHOP, Fact("drained", "green"))
    assert told == Answer("unknown", "nobody tells what is in flight on green")

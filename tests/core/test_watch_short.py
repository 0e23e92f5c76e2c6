"""Where calls have to wait for their turn: fewer of them, and none twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.base import SHARED, Readings
from providers.base import EVERYTHING, Parts, Reading, Service, Slot, weights_for
from rollout.engine import watch
from rollout.engine.watch import (
    EVERY_S,
    FRESH_S,
    GATES_A_READ,
    MOMENT_S,
    PAGE,
    READ_S,
    SHORT_S,
    TOLD_S,
    Observer,
    Subject,
)
from rollout.flow import NotYet
from rollout.observer import AHEAD_S, HELD_S, LEAD, LEFT, LONGEST_S, OBSERVED_S, Answer, Fact, ahead_s
from tests.core.scene import ROLLOUT
from tests.core.test_watch import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An observer that has looked once."""
    made = Scene(tmp_path)
    made.observer.look()
    yield made
    made.world.store.close()


class Reads:
    """What a platform is asked about traffic, and how long it takes."""

    def __init__(self, scene: Scene, takes_s: float = 0.0) -> None:
        self.asked: list[tuple[list[str], Parts]] = []
        observe = scene.world.provider.traffic.observe

        def slowly(services: Sequence[Service], parts: Parts = EVERYTHING) -> Any:
            self.asked.append(([each.name for each in services], parts))
            scene.world.clock.sleep(takes_s)
            return {each.name: observe([Service("shop")], parts)["shop"] for each in services}

        scene.world.provider.traffic.observe = slowly  # type: ignore[method-assign]


def gates(observer: Observer, *due_at: float, interval_s: float = 30.0) -> None:
    """So many wait for their gates."""
    known = {f"r{number}": at for number, at in enumerate(due_at)}
    for number, rollout in enumerate(known):
        observer._subjects[rollout] = Subject("memory", Service(f"s{number}"), interval_s)
    observer._due_gates = lambda now: {  # type: ignore[method-assign]
        rollout: at for rollout, at in known.items() if at < now + HELD_S
    }


# One reading for many


def test_what_is_due_a_little_later_is_read_together_with_what_is_due(scene: Scene) -> None:
    """Each gate has a page of its own, of which the others are empty."""
    reads, now = Reads(scene), scene.world.clock.now()
    gates(scene.observer, now, now + 2.5, now + 20)
    scene.observer.look()
    assert reads.asked == [(["s0", "s1"], SHARED)]
    assert scene.observer.reading("s1", now + 2.5 - ahead_s(30)) is not None
    assert not scene.observer.holds("r1", now + 2.5)


def test_nothing_is_read_before_anything_is_due(scene: Scene) -> None:
    """What is read early is old, or read again, when its look comes."""
    reads, now = Reads(scene), scene.world.clock.now()
    gates(scene.observer, now + 2.5)
    scene.observer.look()
    assert not reads.asked


@given(st.floats(0.01, 1e4))
def test_a_reading_is_ahead_of_its_look_by_a_part_of_the_interval(interval_s: float) -> None:
    """A look is judged by what was read at the one before."""
    assert 0 < ahead_s(interval_s) <= min(interval_s, FRESH_S)
    assert ahead_s(interval_s) <= max(AHEAD_S, LEAD * interval_s)


def test_after_a_slow_reading_more_are_waited_for(scene: Scene) -> None:
    """Calls are short, and they are spent on pages of one."""
    reads, now = Reads(scene, takes_s=1.5), scene.world.clock.now()
    gates(scene.observer, now)
    scene.observer.look()
    gates(scene.observer, now, now + EVERY_S, now + 2 * EVERY_S)
    scene.world.passes(EVERY_S)
    scene.observer.look()
    assert len(reads.asked) == 1, "there is a pause"
    scene.world.passes(2.5)
    scene.observer.look()
    assert reads.asked[1] == (["s1", "s2"], SHARED), "and who has a reading needs none"


def test_a_clock_that_was_set_back_ends_the_pause(scene: Scene) -> None:
    """For an hour no gate has a reading."""
    reads, now = Reads(scene), scene.world.clock.now()
    scene.observer._pause_until = now + 3600
    gates(scene.observer, now)
    scene.observer.look()
    assert reads.asked


@given(st.integers(1, GATES_A_READ), st.floats(-100, 1000))
def test_a_reading_is_of_so_many_that_it_is_fresh_at_its_end(gates: int, took_s: float) -> None:
    """Where each call waits, what was read of hundreds serves nobody."""
    following = watch._fewer_or_more(gates, took_s)
    assert PAGE <= following <= GATES_A_READ
    if took_s > 0 and following > PAGE:
        assert following * took_s / gates <= READ_S + 1e-6


def test_a_gate_that_comes_due_in_a_slow_tick_is_held_too(scene: Scene) -> None:
    """While the observer reads for others, it reads for itself: that costs twice as much, and makes it slower still."""
    now = scene.world.clock.now()
    gates(scene.observer, now + HELD_S - 1)
    scene.observer.look()
    scene.world.clock.sleep(HELD_S - 1)
    assert scene.observer.holds("r0", now + HELD_S - 1)


# Facts


@pytest.mark.parametrize("order", [("blue", "green"), ("green", "blue")])
def test_what_came_to_be_routed_serves_the_job_that_waits_for_it(scene: Scene, order: tuple[Slot, ...]) -> None:
    """The store sorts what it keeps: what was read for the fact that came back from there is for another, and each
    step of each rollout is read once more."""
    run = scene.world.later()
    run.shared = scene.observer
    weights = weights_for("green", 40)
    fact = Fact("routed", weights={slot: weights[slot] for slot in order})
    with pytest.raises(NotYet):
        run.until("observed:9:40", fact, deadline="observed")
    route = replace(scene.world.cloud.service("shop"), observed=dict(fact.weights))
    scene.world.cloud.services["shop"] = route
    scene.world.passes(LONGEST_S)
    scene.observer.look()
    reads = Reads(scene)
    run.until("observed:9:40", fact, deadline="observed")
    assert not reads.asked


def test_a_fact_is_not_asked_about_beside_the_job_that_asks(scene: Scene) -> None:
    """Two calls for one answer, at the very moment when calls are short."""
    began = scene.world.clock.now()
    run = scene.world.later()
    fact = Fact("healthy", "green", 9)
    run.wait("healthy:9", 100.0, {"fact": fact.to_json(), "for": str(fact)})
    reads = Reads(scene)
    for _ in range(int(LONGEST_S)):
        scene.observer.look()
        scene.world.clock.sleep(1.0)
    assert not reads.asked
    scene.observer.look()
    assert reads.asked and scene.world.clock.now() - began >= LONGEST_S, (
        "who was killed in it is asked for after a while"
    )


def test_where_calls_are_short_a_new_wait_is_left_to_who_reads_for_many(scene: Scene) -> None:
    """Each asks for himself first, of what cannot have come yet."""
    run = scene.world.later()
    run.shared, fact = scene.observer, Fact("routed", weights=weights_for("green", 40))
    scene.observer._short_at = scene.world.clock.now()
    reads = Reads(scene)
    with pytest.raises(NotYet, match=LEFT):
        run.until("observed:9:40", fact, deadline="observed")
    assert not reads.asked
    assert scene.world.store.wait(ROLLOUT).due_at > scene.world.clock.now() + 1  # type: ignore[union-attr]
    scene.observer.look()
    assert not reads.asked, "it has a moment to come true"
    scene.world.clock.sleep(MOMENT_S)
    scene.observer.look()
    assert reads.asked
    with pytest.raises(NotYet):
        run.until("observed:9:40", fact, deadline="observed")
    assert len(reads.asked) > 1, "a job that is woken asks"


def test_who_left_it_is_not_woken_to_be_told_that_it_has_not_come(scene: Scene) -> None:
    """It asks for himself after all, as often as before."""
    run = scene.world.later()
    run.shared, fact = scene.observer, Fact("routed", weights=weights_for("green", 40))
    scene.observer._short_at = scene.world.clock.now()
    with pytest.raises(NotYet):
        run.until("observed:9:40", fact, deadline="observed")
    wait = scene.world.store.wait(ROLLOUT)
    assert wait is not None
    awaited = watch.Awaited("", wait, fact)
    assert not scene.observer._is_news(awaited, Answer("not_yet", "observed otherwise"))
    assert scene.observer._is_news(awaited, Answer("met", "there"))
    scene.world.clock.sleep(TOLD_S)
    assert scene.observer._is_news(awaited, Answer("not_yet", "observed otherwise")), "people want to know in the end"
    assert wait.due_at - wait.started_at <= OBSERVED_S


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 40)), max_size=8))
def test_calls_are_short_for_a_while_after_a_slow_read(reads: list[tuple[float, float]]) -> None:
    """All is left to the observer for ever, or nothing is."""
    now = 1000.0
    observer = Observer(None, None, lambda: now)  # type: ignore[arg-type]
    slow_at: float | None = None
    for took_s, pause_s in reads:
        began, now = now, now + took_s
        observer._took(began)
        slow_at = now if now - began > SHORT_S else slow_at
        now += pause_s
        assert observer.is_short == (slow_at is not None and now - slow_at <= TOLD_S)


# What a look reads


def test_a_look_reads_the_targets_of_whom_it_asks_about(scene: Scene) -> None:
    """Target health is a call for each side: a look costs one that nobody wanted."""
    reads = Reads(scene)
    readings = Readings(scene.world.provider, Service("shop"))
    assert readings.targets("blue") == readings.targets("blue")
    assert reads.asked == [(["shop"], Parts(route=False, targets=("blue",), counters=()))]
    assert readings.traffic().targets == {}
    assert readings.targets("green") is not None
    assert [parts.targets for _, parts in reads.asked] == [("blue",), (), ("green",)]


def test_targets_that_were_read_are_not_read_again(scene: Scene) -> None:
    """A reading of everything is paid for twice."""
    whole: Reading = scene.world.provider.traffic.observe([Service("shop")])["shop"]
    reads = Reads(scene)
    readings = Readings(scene.world.provider, Service("shop"), None, whole)
    assert readings.targets("blue") == whole.targets["blue"]
    assert not reads.asked

"""One look for all: only those are woken whose answer came, by reads that grow with the fleet's pages alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.base import SHARED
from providers.base import EVERYTHING, Parts, Provider, Reading, Service, Transient
from providers.memory.clock import VirtualClock
from rollout.engine.job import advance
from rollout.engine.watch import (
    AWAKE_S,
    EVERY_S,
    FACTS_A_READ,
    FRESH_S,
    LONG_S,
    TOLD_S,
    Board,
    Observer,
    Subject,
)
from rollout.observer import HELD_S, OBSERVED_S, Fact
from rollout.plan import Plan
from rollout.rows import Row
from tests.core.scene import FAST, HOLDER, ROLLOUT, World, a_plan


class Scene:
    """A rollout, and an observer beside its jobs."""

    def __init__(self, folder: Path, plan: Plan | None = None) -> None:
        self.world = World(folder, plan)
        self.observer = Observer(self.world.store, lambda name: self.world.provider, self.world.clock.now)
        self.jobs = 0

    def job(self) -> None:
        """As a server begins one."""
        advance(ROLLOUT, self.world.means, HOLDER, shared=self.observer)
        self.jobs += 1

    def round(self, seconds: float = EVERY_S) -> None:
        """Time passes, the observer looks, and a job follows where one is due."""
        self.world.passes(seconds)
        self.observer.look()
        if self.is_due:
            self.job()

    def drive(self, until: Callable[[Row], bool], seconds: float = 300) -> None:
        """Second by second."""
        for _ in range(int(seconds)):
            if until(self.world.row):
                return
            self.round()
        raise AssertionError(f"in vain: {self.world.kinds()[-5:]}")

    def waits_for(self, step: str) -> bool:
        """Is this what it waits for now?"""
        wait = self.world.store.wait(ROLLOUT)
        return wait is not None and wait.step == step

    @property
    def is_due(self) -> bool:
        """By the store, as it is for everybody."""
        now, row = self.world.clock.now(), self.world.row
        return row.due_at <= now and not self.observer.holds(ROLLOUT, row.due_at)

    def reads(self, call: str) -> int:
        """How often the platform was asked so."""
        return self.world.cloud.calls.reads[call]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An observer that has looked once, and a rollout that waits for its mirror to run."""
    made = Scene(tmp_path)
    made.observer.look()
    made.drive(lambda row: made.waits_for("running"))
    yield made
    made.world.store.close()


# Facts


def test_who_waits_for_a_fact_costs_no_jobs(scene: Scene) -> None:
    """A thousand mirrors that start make thousands of jobs a second, which all find nothing."""
    scene.world.behaves(starts=False)
    before, reads = scene.jobs, scene.reads("compute.observe")
    assert scene.world.row.due_at == scene.world.clock.now() + OBSERVED_S
    for _ in range(20):
        scene.observer.look()
    assert (scene.jobs, scene.reads("compute.observe")) == (before, reads + 1), "and is not asked about all the time"


def test_a_fact_that_came_wakes_its_rollout_and_serves_its_job(scene: Scene) -> None:
    """A mirror that is up waits for ten minutes; or the job asks again what was just read."""
    reads = scene.reads("compute.observe")
    for _ in range(10):
        scene.world.passes(EVERY_S)
        scene.observer.look()
        if scene.is_due:
            break
    looks = scene.reads("compute.observe") - reads
    assert scene.is_due and not scene.world.journal.record("running")
    scene.job()
    assert scene.world.journal.record("running") is not None
    assert scene.reads("compute.observe") == reads + looks + 1, "the one is for whom to attach: directly"


def test_a_mirror_that_fails_wakes_its_rollout(tmp_path: Path) -> None:
    """A rollout that can never go on waits for its deadline."""
    made = Scene(tmp_path)
    made.world.behaves(starts=False)
    made.observer.look()
    made.drive(lambda row: row.closed_at is not None)
    assert made.world.row.outcome == "rolled_back"
    assert "failed" in made.world.entries("roll_back_decided")[0].data["reason"]
    made.world.store.close()


def test_a_deadline_is_kept_without_the_fact(tmp_path: Path) -> None:
    """What never comes true is waited for as long as somebody observes it."""
    made = Scene(tmp_path, a_plan(deadlines={**a_plan().deadlines, "running": 30.0}))
    made.observer.look()
    made.world.cloud.settings = replace(FAST, launch_s=1e6)
    made.world.cloud.service("shop").settings = made.world.cloud.settings
    made.drive(lambda row: made.waits_for("running"))
    deadline_at = made.world.store.wait(ROLLOUT).deadline_at  # type: ignore[union-attr]
    assert made.world.row.due_at == deadline_at
    made.drive(lambda row: row.phase == "rolling_back")
    assert abs(made.world.clock.now() - (deadline_at or 0)) <= 2 * EVERY_S
    made.world.store.close()


def test_what_cannot_be_read_any_more_is_told_once(scene: Scene) -> None:
    """Status says that all is well with a wait that nobody can see; or the wait is told about for ever."""
    scene.world.cloud.switches.fail["compute.observe"] = "transient"
    scene.world.behaves(starts=False)
    before = scene.jobs
    for _ in range(int(TOLD_S) - 2):
        scene.round()
    wait = scene.world.store.wait(ROLLOUT)
    assert wait is not None and wait.state["unreadable"] is True
    assert scene.jobs == before + 1


def test_the_observer_wakes_and_changes_nothing_else(scene: Scene) -> None:
    """Two write to one journal."""

    def kept() -> Any:
        tables = ("journal", "waits", "services")
        return {table: scene.world.store.db.all(f"SELECT * FROM {table}") for table in tables}  # noqa: S608

    before = kept()
    for _ in range(10):
        scene.world.passes(EVERY_S)
        scene.observer.look()
    assert scene.is_due and kept() == before
    assert scene.world.cloud.mutations[-1].call != "traffic.attach"


# Gates


def test_a_gate_is_looked_at_by_what_was_read_for_many(tmp_path: Path) -> None:
    """Each look of a thousand gates costs the calls of a look of its own."""
    made, seen = Scene(tmp_path), list[Reading]()
    ask = made.world.means.ask

    def asking(spec: Any, subject: Any) -> Any:
        seen.append(subject.readings.traffic())
        return ask(spec, subject)

    made.world.asking(asking)
    made.observer.look()
    made.drive(lambda row: made.waits_for("proof"))
    seen.clear()
    asked = list[Parts]()
    count(made.world.provider.traffic, asked)
    made.drive(lambda row: row.phase == "shifting")
    assert len(seen) >= 2
    assert len({reading.at for reading in seen}) == len(seen), "each look has a reading of its own"
    assert asked.count(SHARED) == len(seen), "and nobody made another one"
    made.world.store.close()


def count(traffic: Any, asked: list[Parts]) -> None:
    """Keep what is asked for."""
    observe = traffic.observe

    def counting(services: Sequence[Service], parts: Parts = EVERYTHING) -> Any:
        asked.append(parts)
        return observe(services, parts)

    traffic.observe = counting


def test_a_gate_whose_reading_does_not_come_looks_for_itself(tmp_path: Path) -> None:
    """An observer that hangs stops every soak."""
    made = Scene(tmp_path)
    made.observer.look()
    made.drive(lambda row: made.waits_for("proof"))
    made.observer._read_gates = lambda gates: None  # type: ignore[method-assign]
    made.world.passes(made.world.row.due_at - made.world.clock.now())
    made.observer.look()
    held = made.world.row.due_at
    assert made.observer.holds(ROLLOUT, held)
    made.world.passes(held - made.world.clock.now() + HELD_S + 0.1)
    assert not made.observer.holds(ROLLOUT, held)
    made.job()
    assert made.world.store.wait(ROLLOUT).state["since"]  # type: ignore[union-attr]
    made.world.store.close()


def test_a_rollout_ends_as_it_does_without_an_observer(tmp_path: Path) -> None:
    """What was to be cheaper does something else."""
    for name in "ab":
        (tmp_path / name).mkdir()
    alone, beside = World(tmp_path / "a"), Scene(tmp_path / "b")
    alone.drive()
    beside.observer.look()
    beside.drive(lambda row: row.closed_at is not None, 2000)
    steps = [[f"{each.kind} {each.step}" for each in world.journal.entries] for world in (alone, beside.world)]
    assert steps[0] == steps[1]
    for world in (alone, beside.world):
        world.store.close()


# Many


def test_reads_grow_with_kinds_of_facts_and_not_with_rollouts(tmp_path: Path) -> None:
    """A fleet is throttled by the questions of its own waiting rollouts."""
    made = Scene(tmp_path)
    for number in range(40):
        name = f"till-{number}"
        made.world.cloud.add_service(name, image="base-1", capacity=2)
        plan = a_plan(service=Service(name))
        plan = replace(plan, original_fingerprint={**plan.original_fingerprint, "firewall": f"fw-{name}"})
        made.world.store.open_rollout(name, name, plan.to_json(), plan.hash, at=0.0, actor="me", reason="")
    rows = made.world.store.rollouts(open_only=True)
    for _ in range(40):
        made.observer.look()
        for row in made.world.store.due(made.world.clock.now()):
            advance(row.id, made.world.means, HOLDER, shared=made.observer)
        waits = [made.world.store.wait(row.id) for row in rows]
        if all(wait and wait.step == "running" for wait in waits):
            break
        made.world.passes(0.5)
    else:
        raise AssertionError(f"they never wait together: {waits}")
    before = made.reads("compute.observe")
    made.world.passes(5)
    made.observer.look()
    assert made.reads("compute.observe") == before + 1
    assert len(made.world.store.due(made.world.clock.now())) == len(rows) == 41
    made.world.store.close()


def test_who_was_not_answered_comes_first(scene: Scene) -> None:
    """Where there are more questions than calls, the same ones are asked each time, and the others never."""
    order: list[list[str]] = []

    class Partly:
        """It answers for the first service only."""

        def observe(self, services: Sequence[Service]) -> dict[str, Any]:
            """As a budget that is used up leaves it."""
            order.append([service.name for service in services])
            return {services[0].name: []}

    provider: Any = replace(scene.world.provider, compute=Partly())  # type: ignore[arg-type]
    observer = Observer(scene.world.store, lambda name: provider, scene.world.clock.now)
    facts = observer._facts()
    observer._know(set(facts))
    one, other = facts[ROLLOUT], replace(facts[ROLLOUT])
    shop = observer._subjects[ROLLOUT]
    assert shop is not None
    observer._subjects["till-1"] = replace(shop, service=Service("till"))
    scene.world.passes(1)
    for _ in range(4):
        observer._read_facts({ROLLOUT: one, "till-1": other})
        scene.world.passes(1)
    assert [asked[0] for asked in order] == ["shop", "till", "shop", "till"]


def test_a_platform_that_is_silent_is_no_trouble_of_the_observer(scene: Scene) -> None:
    """One account without an answer blinds the whole fleet."""

    def silent(name: str) -> Provider:
        blind: Provider = replace(scene.world.provider, traffic=Silent(), compute=Silent())  # type: ignore[arg-type]
        return blind

    observer = Observer(scene.world.store, silent, scene.world.clock.now)
    observer.look()
    assert observer.is_awake


@pytest.mark.parametrize("error", [Transient("no"), RuntimeError("a fault")])
def test_a_platform_that_breaks_leaves_the_others_alone(scene: Scene, error: Exception) -> None:
    """One adapter with a fault keeps all rollouts of all platforms asleep."""

    def provider_of(name: str) -> Provider:
        if name == "memory":
            return scene.world.provider
        raise error

    observer = Observer(scene.world.store, provider_of, scene.world.clock.now)
    observer._subjects = {"till-1": Subject("broken", Service("till"))}
    facts = observer._facts()
    observer._know({*facts, "till-1"})
    scene.world.passes(5)
    observer._read_facts({"till-1": replace(facts[ROLLOUT]), **facts})
    observer._read_gates(["till-1", ROLLOUT])
    assert scene.is_due and observer.reading("shop", 0.0)


def test_a_tick_is_not_endless(scene: Scene) -> None:
    """Where calls are short, one look takes minutes, and nothing that comes true meanwhile is seen."""
    observer, asked = scene.observer, list[int]()

    def slowly(services: Sequence[Service]) -> Any:
        asked.append(len(services))
        scene.world.passes(LONG_S + 1)
        return {service.name: [] for service in services}

    scene.world.provider.compute.observe = slowly  # type: ignore[method-assign]
    facts = observer._facts()
    observer._know(set(facts))
    many = {f"till-{number}": replace(facts[ROLLOUT]) for number in range(3 * FACTS_A_READ)}
    for number, rollout in enumerate(many):
        observer._subjects[rollout] = Subject("memory", Service(f"till-{number}"))
    for _ in range(3):
        observer._read_facts(many)
    assert asked == [FACTS_A_READ] * 3, "one read a tick"
    assert all(each.turn_at for each in many.values()), "and each had its turn"


class Silent:
    """It never answers."""

    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> Any:
        """Not in time."""
        raise Transient("no answer")


# Freshness


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_nothing_old_and_nothing_from_before_is_given(began: float, after: float, now: float) -> None:
    """A side is taken for healthy by what was so before its hosts were replaced."""
    board = Board[str]()
    board.put({"shop": "seen"}, began)
    found = board.get("shop", after, now)
    assert (found == "seen") == (began > after and 0 <= now - began <= FRESH_S)


def test_what_is_kept_is_bounded() -> None:
    """A server that runs for months keeps what was read of every rollout that ever was."""
    board = Board[int]()
    for number in range(1000):
        board.put({number: number}, float(number))
    assert len(board._kept) <= FRESH_S + 1


def test_an_observer_that_has_not_looked_yet_is_no_help() -> None:
    """Rollouts are left to somebody who does not look."""
    clock = VirtualClock()
    observer = Observer(None, lambda name: None, clock.now)  # type: ignore[arg-type, return-value]
    assert not observer.is_awake and observer.answer("shop", Fact("gone"), 0.0) is None
    observer._looked_at = clock.now()
    assert observer.is_awake
    clock.sleep(AWAKE_S + 1)
    assert not observer.is_awake

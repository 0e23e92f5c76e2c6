"""What goes wrong around one look for all: nobody acts by what is old, and nobody is left asleep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthchecks.base import Subject as Asked
from healthchecks.base import Verdict
from providers.base import (
    EVERYTHING,
    Denied,
    Invalid,
    NotFound,
    Parts,
    Provider,
    Reading,
    Service,
    Throttled,
    Transient,
)
from providers.memory.clock import VirtualClock
from rollout.engine.job import advance
from rollout.engine.watch import EVERY_S, FRESH_S, Awaited, Observer, Subject
from rollout.flow import NotYet
from rollout.gate import GateRule
from rollout.observer import HELD_S, LONGEST_S, REFUSED, TOLD, Answer, Fact, answer_to, answers, read_apart
from rollout.plan import CheckSpec, Gate, Plan
from rollout.rows import Wait
from tests.core.scene import HOLDER, ROLLOUT, RULE, SHOP, World, a_plan
from tests.core.test_watch import Scene

STEPS = ["drained", "gone", "healthy", "left", "serving"]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """An observer that has looked once, and a rollout that waits for its mirror to run."""
    made = Scene(tmp_path)
    made.observer.look()
    made.drive(lambda row: made.waits_for("running"))
    yield made
    made.world.store.close()


class Word:
    """Somebody who has seen it, a few seconds ago."""

    reads_here = True
    is_short = False

    def answer(self, service: str, fact: Fact, after: float) -> Answer:
        """It was so."""
        return Answer("met", "by another, a while ago")

    def reading(self, service: str, after: float) -> None:
        """None was made."""


# Decisions before a change


@pytest.mark.parametrize("kind", STEPS)
def test_what_moves_traffic_or_ends_hosts_is_read_directly(world: World, kind: str) -> None:
    """Traffic follows targets that died meanwhile, or hosts are ended in the middle of what they answer."""
    absent = Fact(kind, "green", 2) if kind in ("healthy", "serving") else Fact(kind, "blue")
    world.cloud.switches.fail["reads"] = "transient"
    assert answer_to(world.provider, SHOP, absent, Word()).state == "unknown"
    assert kind not in TOLD


def test_a_target_that_died_after_the_look_for_all_gets_no_traffic(scene: Scene) -> None:
    """It was healthy nine seconds ago, and the swap follows in the same job."""
    fact = Fact("healthy", "green", 2)

    def wait() -> None:
        run = scene.world.later()
        run.shared = scene.observer
        with pytest.raises(NotYet):
            run.until("healthy:2", fact, deadline="observed")

    wait()
    scene.world.passes(1)
    scene.observer._answers.put({("shop", str(fact.to_json())): Answer("met", "2 of 2")}, scene.world.clock.now())
    scene.world.passes(FRESH_S - 1)
    wait()


# Gates and soaks


class Soak:
    """A gate of a rollout, looked at by jobs that come when they come."""

    def __init__(self, folder: Path, interval_s: float) -> None:
        self.seen: list[tuple[float, Reading]] = []  # when it was looked at, and by what
        rule = replace(RULE, interval_s=interval_s, soak_s=1e6, deadline_s=1e7, unknown_limit_s=1e6)
        gates = dict.fromkeys(a_plan().gates, Gate(rule, (CheckSpec("balancer", "balancer"),)))
        self.scene = Scene(folder, a_plan(gates=gates))
        self.world = self.scene.world
        self.world.asking(self.ask)

    def ask(self, spec: CheckSpec, subject: Asked) -> Verdict:
        """All is well; what it was told by is kept."""
        self.seen.append((self.world.clock.now(), subject.readings.traffic()))
        return Verdict.passed("good")


@settings(max_examples=40)
@given(
    st.sampled_from([0.5, 1.0, 2.0, 5.0, 30.0]),
    st.lists(st.tuples(st.sampled_from(["look", "job", "set"]), st.floats(-20, 20)), min_size=5, max_size=40),
)
def test_no_look_is_judged_by_what_was_judged_before(
    tmp_path_factory: pytest.TempPathFactory, interval_s: float, turns: list[tuple[str, float]]
) -> None:
    """One good reading is counted as two passes, whoever was late and whatever the clock says."""
    soak = Soak(tmp_path_factory.mktemp("soak"), interval_s)
    scene, clock = soak.scene, soak.world.clock
    for what, seconds in turns:
        soak.world.passes(abs(seconds) + 0.01)
        if what == "set":
            clock._now += seconds
            soak.world.store.wake_all(clock.now())
        elif what == "look":
            scene.observer.look()
        elif scene.is_due:
            scene.job()
    # Not by their times: while the clock is set back, the simulated cloud stands still.
    assert all(one is not next_one for (_, one), (_, next_one) in pairwise(soak.seen))
    soak.world.store.close()


@pytest.mark.parametrize("interval_s", [1.0, 2.0, 5.0, 30.0])
def test_a_reading_that_never_comes_does_not_begin_soaks_anew(tmp_path: Path, interval_s: float) -> None:
    """Each look waits five seconds for it: no soak of looks five seconds apart ever ends, and good patches turn back
    at the deadline."""
    soak = Soak(tmp_path, interval_s)
    soak.scene.observer._read_gates = lambda gates: None  # type: ignore[method-assign]
    for _ in range(int(20 * interval_s / 0.25)):
        soak.world.passes(0.25)
        soak.scene.observer.look()
        if soak.scene.is_due:
            soak.scene.job()
    wait = soak.world.store.wait(ROLLOUT)
    assert wait is not None and len(soak.seen) > 5
    assert wait.state["judged"]["passes"] == len(soak.seen), "none was too late"


@pytest.mark.parametrize("error", [Denied("no"), Transient("no"), RuntimeError("a fault")])
def test_who_cannot_be_read_for_many_looks_at_once(tmp_path: Path, error: Exception) -> None:
    """A platform without an answer costs each look five seconds."""
    soak = Soak(tmp_path, 5.0)
    for _ in range(40):
        soak.scene.round(0.25)
    provider = replace(soak.world.provider, traffic=Refusing(error, "shop"))  # type: ignore[arg-type]
    soak.scene.observer._provider_of = lambda name: provider
    due_at = soak.world.row.due_at
    soak.world.passes(due_at - soak.world.clock.now())
    soak.scene.observer.look()
    assert not soak.scene.observer.holds(ROLLOUT, due_at) and soak.scene.is_due


# One of many


class Refusing:
    """An adapter that makes nothing of some services, and so of any read in which they are."""

    def __init__(self, error: Exception, *broken: str) -> None:
        self.error, self.broken, self.asked = error, broken, list[list[str]]()

    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> dict[str, Any]:
        """No hosts and no targets for the others."""
        self.asked.append([service.name for service in services])
        if set(self.broken) & set(self.asked[-1]):
            raise self.error
        return {service.name: [] for service in services}


@pytest.mark.parametrize("error", [Invalid("no such option"), NotFound("who?"), Denied("no"), TypeError("a fault")])
def test_one_that_breaks_a_read_blinds_nobody_else(world: World, error: Exception) -> None:
    """One service whose options an upgrade does not take any more, and a hundred mirrors are up and sleep."""
    platform: Any = Refusing(error, "s37")
    provider: Provider = replace(world.provider, compute=platform)
    asked = {name: (Service(name), Fact("gone", "green")) for name in (f"s{number}" for number in range(100))}
    found = answers(provider, asked)
    assert [name for name, answer in found.items() if answer.state != "met"] == ["s37"]
    assert type(error).__name__ in found["s37"].seen
    assert len(platform.asked) <= 2 * 7 + 1


def test_a_fault_of_an_adapter_is_met_by_who_asks_for_himself(world: World) -> None:
    """It is taken for a platform that is silent, and nobody ever sees its traceback."""
    platform: Any = Refusing(TypeError("a fault"), "shop")
    with pytest.raises(TypeError):
        answer_to(replace(world.provider, compute=platform), SHOP, Fact("gone", "green"))


@pytest.mark.parametrize("error", [Transient("in a moment"), Throttled("too often")])
def test_what_may_work_in_a_moment_is_not_asked_in_parts(error: Exception) -> None:
    """A platform that is overloaded is asked a hundred times instead of once."""
    platform = Refusing(error, "s1")
    found, unread = read_apart(platform.observe, [Service(f"s{number}") for number in range(100)])
    assert (len(platform.asked), found, len(unread)) == (1, {}, 100)


@given(st.integers(1, 120), st.sets(st.integers(0, 119)))
def test_each_is_read_or_told_why_not(count: int, broken: set[int]) -> None:
    """Somebody is forgotten, or a platform that refuses everything is asked for ever."""
    platform = Refusing(Denied("no"), *(f"s{number}" for number in broken))
    found, unread = read_apart(platform.observe, [Service(f"s{number}") for number in range(count)])
    assert {*found, *unread} == {f"s{number}" for number in range(count)} and not {*found} & {*unread}
    assert len(platform.asked) <= 2 * REFUSED + 1
    if len(broken) <= 2:
        assert set(unread) == {f"s{number}" for number in broken if number < count}


def test_platforms_that_never_answer_do_not_come_first_for_ever(scene: Scene) -> None:
    """Accounts that were closed, of whom each question takes long: the others are never asked."""
    asked, many = list[str](), dict[str, Awaited]()
    facts = scene.observer._facts()

    def provider_of(name: str) -> Provider:
        asked.append(name)
        scene.world.passes(6.0)
        return replace(scene.world.provider, compute=Refusing(Transient("no"), name) if name != "good" else Good())  # type: ignore[arg-type]

    observer = Observer(scene.world.store, provider_of, scene.world.clock.now)
    for name in ("dead-1", "dead-2", "dead-3", "good"):
        many[name] = replace(facts[ROLLOUT], turn_at=scene.world.clock.now() if name == "good" else 0.0)
        observer._subjects[name] = Subject(name, Service(name))
    for _ in range(12):
        now = scene.world.clock.now()
        observer._read_facts({name: each for name, each in many.items() if each.look_at <= now})
    assert asked.count("good") >= 2


class Good:
    """It answers."""

    def observe(self, services: Sequence[Service]) -> Mapping[str, Any]:
        """That nothing is there."""
        return {service.name: [] for service in services}


# What another release left


def test_a_wait_without_its_fact_is_observed_after_its_first_job(scene: Scene) -> None:
    """An older release stored no fact: nobody looks at it for ten minutes, though the mirror is up."""
    wait = scene.world.store.wait(ROLLOUT)
    assert wait is not None
    epoch = scene.world.store.take_lease("shop", HOLDER, scene.world.clock.now())
    scene.world.store.save_wait(ROLLOUT, epoch, replace(wait, state={"for": "its mirror", "seen": "nothing"}))
    scene.world.store.release_lease(ROLLOUT, epoch, scene.world.clock.now())
    scene.world.cloud.switches.fail["compute.observe"] = "transient"
    scene.job()
    scene.world.cloud.switches.fail.clear()
    scene.drive(lambda row: not scene.waits_for("running"), seconds=LONGEST_S + 5)


@pytest.mark.parametrize(
    "fact", [{"kind": "running", "of": "a newer release"}, {"kind": "dreaming"}, {"slot": "blue"}, {}]
)
def test_a_fact_of_another_release_blinds_nobody(scene: Scene, fact: dict[str, Any]) -> None:
    """One row that cannot be understood, and no look for anybody ever ends."""
    add_waiting(scene.world, "till", a_plan(service=Service("till")), {"fact": {**fact}, "for": "it"})
    wake_within(scene)


def test_a_plan_of_another_release_blinds_nobody(scene: Scene) -> None:
    """One row that cannot be understood, and no look for anybody ever ends."""
    plan = a_plan(service=Service("till"))
    add_waiting(scene.world, "till", plan, {"fact": Fact("gone").to_json(), "for": "it"})
    stored = {**plan.to_json(), "service": "till"}
    with scene.world.store.db.transaction() as db:
        db.execute("UPDATE rollouts SET plan = ? WHERE id = 'till'", (json.dumps(stored),))
    wake_within(scene)


def add_waiting(world: World, name: str, plan: Plan, state: dict[str, Any]) -> None:
    """Another rollout, in the middle of a wait."""
    now = world.clock.now()
    world.store.open_rollout(name, name, plan.to_json(), plan.hash, at=now, actor="me", reason="")
    epoch = world.store.take_lease(name, HOLDER, now)
    world.store.append(name, epoch, "waiting", "running", state, now, wait=Wait("running", now, None, now, state))
    world.store.release_lease(name, epoch, now + 600)


def wake_within(scene: Scene, seconds: float = 15.0) -> None:
    """Ours is woken all the same."""
    observer = Observer(scene.world.store, lambda name: scene.world.provider, scene.world.clock.now)
    for _ in range(int(seconds)):
        scene.world.passes(EVERY_S)
        observer.look()
        if scene.is_due:
            return
    raise AssertionError("it sleeps")


# Clocks


def test_a_clock_that_was_set_back_leaves_nobody_asleep(scene: Scene) -> None:
    """The next look at each fact was reckoned by the earlier time: nobody looks for an hour."""
    scene.world.passes(EVERY_S)
    scene.world.behaves(starts=False)
    scene.observer.look()
    scene.world.clock._now -= 3600.0
    scene.world.store.wake_all(scene.world.clock.now())
    looks = scene.reads("compute.observe")
    for _ in range(30):
        scene.world.clock.sleep(EVERY_S)
        scene.observer.look()
    assert scene.reads("compute.observe") >= looks + 2


def test_after_the_clock_was_set_nothing_is_remembered(scene: Scene) -> None:
    """What was read an hour ago is new again, by a clock that was set back an hour."""
    now = scene.world.clock.now()
    scene.observer._readings.put({"shop": object()}, now)  # type: ignore[dict-item]
    scene.observer.forget()
    assert scene.observer.reading("shop", now - 5) is None


# An observer that was stopped in the middle


def test_what_a_stopped_observer_brings_late_serves_nobody(scene: Scene) -> None:
    """It was stopped between a read and its end, and an hour later what it read is believed."""
    observe = scene.world.provider.traffic.observe

    def stopped(services: Sequence[Service], parts: Parts = EVERYTHING) -> Any:
        found = observe(services, parts)
        scene.world.clock.sleep(FRESH_S + 1)
        return found

    scene.world.provider.traffic.observe = stopped  # type: ignore[method-assign]
    scene.observer._know({ROLLOUT})
    began = scene.world.clock.now()
    scene.observer._read_gates([ROLLOUT])
    assert scene.observer.reading("shop", began - 1) is None


def test_a_gate_waits_no_longer_than_its_soak_allows() -> None:
    """A gap above two intervals begins a soak anew."""
    clock = VirtualClock()
    for interval_s in (0.1, 1.0, 5.0, 8.0, 60.0):
        subject = Subject.of(a_plan(gates=dict.fromkeys(a_plan().gates, gate_every(interval_s))).to_json())
        assert subject.held_s == min(HELD_S, interval_s / 2), clock.now()


def gate_every(interval_s: float) -> Gate:
    """Looked at so often."""
    return Gate(GateRule(interval_s=interval_s), (CheckSpec("balancer", "balancer"),))


def jobs_until(scene: Scene, done: Callable[[], bool]) -> None:
    """Jobs of somebody without an observer."""
    for _ in range(50):
        if done():
            return
        scene.world.passes(1.0)
        advance(ROLLOUT, scene.world.means, HOLDER)
    raise AssertionError(scene.world.kinds()[-3:])


def test_who_takes_over_without_an_observer_looks_by_himself(scene: Scene) -> None:
    """`serve` dies, `start --wait` goes on, and its rollout is due in ten minutes for ever."""
    advance(ROLLOUT, scene.world.means, HOLDER)
    row = scene.world.row
    assert row.due_at - scene.world.clock.now() <= LONGEST_S + 1e-6
    jobs_until(scene, lambda: not scene.waits_for("running"))

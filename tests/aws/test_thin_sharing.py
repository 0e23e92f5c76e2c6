"""Five hundred services go back at once, and AWS grants ten reads a second."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.elbv2.models import FakeTargetGroup

from providers.aws.quick import calls
from providers.aws.quick.sharing import Pace, Together
from providers.base import Service
from providers.memory.clock import VirtualClock
from tests.aws.thin_kit import night, standing
from tests.aws.traffic_kit import Scene


class Later:
    """Runs what was started only when the test says so."""

    def __init__(self) -> None:
        self.started: list[Callable[[], None]] = []

    def __call__(self, what: Callable[[], None]) -> None:
        """Later."""
        self.started.append(what)

    def run(self) -> None:
        """All of it."""
        while self.started:
            self.started.pop(0)()


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.booleans()), max_size=40), st.integers(1, 7))
def test_everybody_gets_his_own_answer_in_few_calls(asked_for: list[tuple[str, bool]], most: int) -> None:
    """One service is told of another's listener, or nobody answers it."""
    asked: list[Sequence[str]] = []

    def ask(part: Sequence[str]) -> Mapping[str, str]:
        asked.append(part)
        return {key: key.upper() for key in part if key != "j"}

    later, gathered = Later(), list[bool]()
    together = Together(ask, most, later, lambda full: gathered.append(full.is_set()))
    answers = [together.soon(key, patient=patient) for key, patient in asked_for]
    later.run()
    assert [answer.result(0) for answer in answers] == [None if key == "j" else key.upper() for key, _ in asked_for]
    assert all(len(part) <= most for part in asked) and len(asked) == -(-len(asked_for) // most)
    rest = asked_for[(len(asked_for) - 1) // most * most :] if asked_for else []
    waits = bool(rest) and len(rest) < most and all(patient for _, patient in rest)
    assert gathered == [False] * waits, "only patient ones that are too few for a call wait for others"
    together.soon("a")
    assert len(later.started) == 1, "it begins anew"


def test_who_is_patient_goes_with_who_is_not() -> None:
    """One person at night waits until twenty others ask, or all twenty are asked for apart."""
    asked: list[list[str]] = []
    later = Later()

    def gather(full: threading.Event) -> None:
        assert not full.is_set()
        together.soon("c", patient=True)
        assert not full.is_set()
        together.soon("d")
        assert full.is_set(), "nobody waits any more"

    def ask(part: Sequence[str]) -> Mapping[str, int]:
        asked.append(list(part))
        return {}

    together: Together[int] = Together(ask, 20, later, gather)
    together.soon("a", patient=True)
    together.soon("b", patient=True)
    later.run()
    assert asked == [["a", "b", "c", "d"]]


def test_what_fails_fails_for_those_who_asked() -> None:
    """One refused call keeps all services waiting for ever."""
    later, broken = Later(), [True]

    def ask(part: Sequence[str]) -> Mapping[str, int]:
        if broken.pop():
            raise ValueError("refused")
        return dict.fromkeys(part, 1)

    together = Together(ask, 2, later)
    answers = [together.soon(key) for key in "abc"]
    broken[:] = [False, True]
    later.run()
    assert [str(answer.exception(0) or answer.result(0)) for answer in answers] == ["refused", "refused", "1"]


def test_threads_share() -> None:
    """Two services that ask in the same moment wait for each other for ever."""
    with ThreadPoolExecutor(8) as pool, ThreadPoolExecutor(16) as people:
        together = Together(lambda part: dict.fromkeys(part, threading.get_ident()), 20, pool.submit)
        answers = list(people.map(lambda number: together.soon(str(number)).result(10), range(400)))
    assert len(answers) == 400 and None not in answers


def test_a_full_bucket_waits_for_nobody_and_an_empty_one_in_turn() -> None:
    """Five hundred services are refused, or one at night waits for a limit that is far away."""
    clock, slept = VirtualClock(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.sleep(seconds)

    pace = Pace(40, 10, clock.now, sleep)
    for _ in range(40):
        pace.wait(last=True)
    assert slept == []
    for _ in range(3):
        pace.wait()
    assert slept == [], "one person waits for nothing that nobody refused"
    for _ in range(3):
        pace.wait(last=True)
    assert sum(slept) == pytest.approx(0.3), "each after the one before"
    clock.sleep(60)
    slept.clear()
    pace.refused()
    pace.wait(last=True)
    assert sum(slept) == pytest.approx(0.1), "what the vendor refused was taken by somebody else"


def test_who_may_be_passed_is() -> None:
    """The write of a service that was judged waits behind the health of four hundred that were not."""
    clock, taken = VirtualClock(), list[str]()
    pace: Pace

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if not taken:
            assert pace.is_queue
            taken.append("first")
            pace.wait()

    pace = Pace(1, 10, clock.now, sleep)
    pace.wait()
    pace.wait(last=True)
    taken.append("last")
    assert (
        taken == ["first", "last"]
        and not pace.is_queue
        and clock.now() - VirtualClock().now() == pytest.approx(0.2, abs=0.11)
    )


@given(st.lists(st.floats(0, 3), max_size=60))
def test_more_than_is_granted_is_never_asked(pauses: list[float]) -> None:
    """AWS refuses what was paced, and five hundred services begin to retry."""
    clock, at = VirtualClock(), list[float]()
    pace = Pace(5, 2, clock.now, clock.sleep)
    for pause in pauses:
        pace.wait(last=True)
        at.append(clock.now())
        clock.sleep(pause)
    for number, first in enumerate(at):
        for later in range(number, len(at)):
            assert later - number + 1 <= 5 + 2 * (at[later] - first) + 1e-3


def test_many_that_begin_at_once_share_one_limit(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty threads that find nothing open yet open sixty, each with a limit of its own, and AWS refuses them all."""
    _, target = standing(scene)
    made, gate, make = list[calls.Place](), threading.Barrier(6), calls.open_client

    def slowly(place: calls.Place, api: str = "elbv2") -> Any:
        made.append(place)
        threading.Event().wait(0.02)
        return make(place, api)

    monkeypatch.setattr(calls, "open_client", slowly)

    def open_one(_: int) -> calls.Calls:
        gate.wait(10)
        return calls.calls_of(calls.Place(**target["place"]))

    with night(scene), ThreadPoolExecutor(6) as people:
        assert len(set(map(id, people.map(open_one, range(6))))) == 1 and len(made) == 1


def test_many_services_are_read_in_few_calls(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wave's way back takes eight minutes of reads alone."""
    made = [standing(scene, 1, f"shop-{number}") for number in range(6)]
    place = calls.Place(**made[0][1]["place"])
    with night(scene) as line:
        clock = VirtualClock()
        monkeypatch.setattr(calls, "READS", (40.0, 10.0))
        call = calls.Calls(place, calls.open_client(place), clock.sleep, clock.now)
        routes = [route for _, target in made for route in target["routes"]]
        found = call.actions_of(routes)
        assert set(found) == {route["listener"] for route in routes} and None not in found.values()
        assert 1 <= line.count("DescribeListeners") <= 2
        gone = json.loads(json.dumps(routes[0]).replace("listener/app/front", "listener/app/gone"))
        found = call.actions_of([*routes, gone])
        assert [name for name, actions in found.items() if actions is None] == [gone["listener"]]
        assert set(call.tags_of([route["listener"] for route in routes] + [gone["listener"]])) == {*found} - {
            gone["listener"]
        }


def test_health_of_a_moment_ago_serves_only_one_of_many(scene: Scene) -> None:
    """The original died a second ago, and the one person who puts traffic back is told that it is well."""
    service, target = standing(scene)
    place, group = calls.Place(**target["place"]), target["routes"][0]["blue"]
    with night(scene) as line:
        clock = VirtualClock()
        call = calls.Calls(place, calls.open_client(place), clock.sleep, clock.now)
        many = call.patient()
        assert many.health(group) == call.health(group) and line.count("DescribeTargetHealth") == 2
        assert many.health(group) and line.count("DescribeTargetHealth") == 2, "others need the calls"
        clock.sleep(1.1 * calls.JUDGED_S)
        assert many.health(group) and line.count("DescribeTargetHealth") == 3
        scene.elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": scene.hosts(service, "green")[0].id}])
        many.health(group)
        clock.sleep(1.1 * calls.JUDGED_S)
        with sick(service, scene):
            assert many.health(group) == many.health(group) and line.count("DescribeTargetHealth") == 5
        assert many.health(group) and line.count("DescribeTargetHealth") == 6, "what was not well is looked at again"


@contextmanager
def sick(service: Service, scene: Scene) -> Iterator[None]:
    """All targets are unhealthy."""
    with pytest.MonkeyPatch.context() as patched:
        original = FakeTargetGroup.health_for

        def health(self: FakeTargetGroup, asked: Any, backend: Any) -> Any:
            found = original(self, asked, backend)
            found.status, found.reason = "unhealthy", "Target.Timeout"
            return found

        patched.setattr(FakeTargetGroup, "health_for", health)
        yield

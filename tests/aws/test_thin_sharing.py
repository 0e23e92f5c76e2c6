"""Five hundred services go back at once, and AWS grants ten reads a second."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws.quick import calls
from providers.aws.quick.sharing import Pace, Together
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


@given(st.lists(st.sampled_from("abcdefghij"), max_size=40), st.integers(1, 7))
def test_everybody_gets_his_own_answer_in_few_calls(keys: list[str], most: int) -> None:
    """One service is told of another's listener, or nobody answers it."""
    asked: list[Sequence[str]] = []

    def ask(part: Sequence[str]) -> Mapping[str, str]:
        asked.append(part)
        return {key: key.upper() for key in part if key != "j"}

    later = Later()
    together = Together(ask, most, later)
    answers = [together.soon(key) for key in keys]
    later.run()
    assert [answer.result(0) for answer in answers] == [None if key == "j" else key.upper() for key in keys]
    assert all(len(part) <= most for part in asked) and len(asked) == -(-len(keys) // most)
    together.soon("a")
    assert len(later.started) == 1, "it begins anew"


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
    """One service at night waits for a limit that is far away; or five hundred are refused."""
    clock, slept = VirtualClock(), list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)

    pace = Pace(40, 10, clock.now, sleep)
    for _ in range(40):
        pace.wait()
    assert slept == [] and pace.is_low
    for _ in range(3):
        pace.wait()
    assert slept == pytest.approx([0.1, 0.2, 0.3]), "each after the one before"
    clock.sleep(60)
    assert not pace.is_low


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


def test_health_of_a_moment_ago_serves_only_where_many_ask(scene: Scene) -> None:
    """The original died a second ago, and the one person who puts traffic back is told that it is well."""
    _, target = standing(scene)
    place, group = calls.Place(**target["place"]), target["routes"][0]["blue"]
    with night(scene) as line:
        clock = VirtualClock()
        call: Any = calls.Calls(place, calls.open_client(place), clock.sleep, clock.now)
        assert call.health(group) == call.health(group) and line.count("DescribeTargetHealth") == 2
        for _ in range(30):
            call._pace.wait()
        assert call.health(group) and line.count("DescribeTargetHealth") == 2, "others need the calls"
        clock.sleep(1.1 * calls.JUDGED_S)
        assert call.health(group) and line.count("DescribeTargetHealth") == 3

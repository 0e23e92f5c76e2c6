"""Patches with faults that careful gates see, and gates that cannot see: where traffic is, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.faults import Metrics, Mood, image
from tests.e2e.kit import SERVICE, Done, Fleet, open_fleet
from tests.ports import free_port

pytestmark = pytest.mark.e2e
ITEMS: dict[str, Any] = {"path": "/items", "each_instance": False}
RESPONSES: dict[str, Any] = {"failed_responses": {"min_requests": 10}}

BAD_DAYS: dict[Mood, str] = {
    "empty": "no data for green",
    "late": "600 s old",
    "rubbish": "text/html",
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """The service runs a sound image on blue; `good` is a sound patch."""
    with open_fleet(tmp_path / "fleet") as fleet:
        image(fleet, "first")
        image(fleet, "good")
        fleet.up("first")
        yield fleet


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """A metric source that is well."""
    with Metrics().running() as metrics:
        yield metrics


def start(fleet: Fleet, name: str) -> Done:
    """`rollout start shop --image …`"""
    return fleet.rollout("start", SERVICE, "--image", name)


def assert_put_back(fleet: Fleet, done: Done, step: str, *told: str, denied: bool) -> None:
    """Exit 4, all traffic on blue, nothing left on green, the reason told; the image denied if it was its fault."""
    assert done.code == 4, done
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []
    (decided,) = [data for _, kind, _, data in fleet.entries() if kind == "roll_back_decided"]
    assert decided["reason"].startswith(step), decided["reason"]
    assert all(each in decided["reason"] for each in told), decided["reason"]
    assert decided["reason"][:60] in done.out, "the reason is told"
    assert "blue 100 %, green 0 %" in done.out.splitlines()[-1], "where traffic is comes last"
    assert decided["deny"] is denied


def had_traffic(fleet: Fleet) -> bool:
    """Whether any was ever meant to go to green."""
    return fleet.reached("intent", "swap:")


def test_some_answers_are_slow(fleet: Fleet) -> None:
    """Every fourth customer would wait: one lucky sample would have promoted it."""
    options = {**ITEMS, "samples": 12, "latency_percentile": 90, "max_latency_s": 0.2}
    fleet.change(checks={"replacement": [{"http": options}]})
    image(fleet, "slow", "sometimes-slow")
    assert_put_back(fleet, start(fleet, "slow"), "proof: ", "http", denied=True)
    assert not had_traffic(fleet)


def test_it_opens_another_port(fleet: Fleet) -> None:
    """A patch that listens where nothing listened before would be found by somebody else first."""
    fleet.change(checks={"replacement": [{"http": ITEMS}, "listening"]})
    image(fleet, "open", "opens-a-port")
    assert_put_back(fleet, start(fleet, "open"), "proof: ", "listening", "127.0.0.1", denied=True)
    assert not had_traffic(fleet)


def test_it_leaks_memory(fleet: Fleet, metrics: Metrics) -> None:
    """Every check passes, and the hosts die an hour after everybody has gone home."""
    leak = metrics.check(max_times_other=2.0, tolerated=60_000_000.0)
    fleet.change(checks={"live": ["balancer", leak]}, traffic={"soak": "20s"})
    image(fleet, "leaky", "leaks")
    with fleet.load() as load:
        done = start(fleet, "leaky")
    assert_put_back(fleet, done, "live:1:50: ", "metrics", "memory is", "beside", denied=True)
    assert load.failures == []


def test_it_fails_only_under_load(fleet: Fleet) -> None:
    """Tests before traffic pass one by one; together requests fail."""
    fleet.change(checks={"replacement": [{"http": {**ITEMS, "samples": 5}}], "live": [RESPONSES]})
    fleet.change(traffic={"soak": "20s"})
    image(fleet, "fragile", "breaks-under-load")
    with fleet.load(clients=8) as load:
        done = start(fleet, "fragile")
    assert_put_back(fleet, done, "live:1:50: ", "failed_responses", denied=True)
    assert load.failures and load.served["green"] > 0


def test_both_sides_fail_and_recover(fleet: Fleet) -> None:
    """A bad minute of what both sides need would cost a good patch, or be taken for its proof."""
    fleet.change(checks={"live": [{"http": {"path": "/items"}}]}, traffic={"soak": "3s"})
    running = fleet.begin("start", SERVICE, "--image", "good")
    fleet.wait_reached("waiting", "live:1:50", running)
    (fleet.folder / "storm").touch()
    running.wait_for("ambient")
    before = fleet.entries()
    fleet.wait_reached("verdict_changed", "live:1:50", running)
    assert fleet.weights == {"blue": 50, "green": 50}, "held where it was"
    assert not any(kind == "roll_back_decided" for _, kind, *_ in before)
    (fleet.folder / "storm").unlink()
    done = running.wait()
    assert done.code == 0, done
    assert fleet.weights == {"blue": 0, "green": 100}


def test_both_sides_fail_until_the_deadline(fleet: Fleet) -> None:
    """A rollout would stand half way for ever; and a sound image would be denied for what is not its fault."""
    fleet.change(checks={"live": [RESPONSES]}, gates={"live": {"deadline": "1500ms"}})
    (fleet.folder / "storm").touch()
    with fleet.load():
        done = start(fleet, "good")
    assert "check failed_responses: ambient" in done.err
    assert_put_back(fleet, done, "live:1:50: ", "last look: ambient", denied=False)


def test_a_metric_source_with_a_bad_day(fleet: Fleet, metrics: Metrics) -> None:
    """Figures that nobody has would pass for good ones, or condemn a sound image."""
    fleet.change(checks={"live": [metrics.check(max=1e12)]}, gates={"live": {"unknown_limit": "600ms"}})
    for mood, told in BAD_DAYS.items():
        metrics.mood, metrics.asked = mood, 0
        assert_put_back(fleet, start(fleet, "good"), "live:1:50: unknown for ", told, denied=False)
        assert metrics.asked > 2, "it was asked more than once"


def test_a_metric_source_that_is_down_blocks_before_traffic(fleet: Fleet) -> None:
    """A gate without its figures would let traffic through."""
    metrics = Metrics(port=free_port())
    fleet.change(checks={"replacement": [metrics.check(max=1e12)]}, gates={"replacement": {"deadline": "1s"}})
    assert_put_back(fleet, start(fleet, "good"), "proof: not passed within 1 s", "refused", denied=False)
    assert not had_traffic(fleet)


def test_a_metric_source_that_comes_back(fleet: Fleet, metrics: Metrics) -> None:
    """A restart of the metric source would cost a good patch."""
    metrics.mood = "failing"
    fleet.change(checks={"live": [metrics.check(max=1e12)]})
    running = fleet.begin("start", SERVICE, "--image", "good")
    running.wait_for("the store is being replayed")
    assert fleet.weights == {"blue": 50, "green": 50}
    metrics.mood = "well"
    done = running.wait()
    assert done.code == 0, done
    assert fleet.weights == {"blue": 0, "green": 100}


def test_too_few_requests_are_waited_for(fleet: Fleet) -> None:
    """A quiet minute would promote a patch that nobody has used, or turn a good one back."""
    fleet.change(checks={"live": [RESPONSES]})
    running = fleet.begin("start", SERVICE, "--image", "good")
    running.wait_for("requests seen, 10 needed")
    assert fleet.weights == {"blue": 50, "green": 50}
    with fleet.load() as load:
        done = running.wait()
    assert done.code == 0, done
    assert fleet.weights == {"blue": 0, "green": 100}
    assert load.failures == [] and load.served["green"] >= 10


def test_too_few_requests_until_the_deadline(fleet: Fleet) -> None:
    """A service that is used at night only would stand half way for ever."""
    fleet.change(checks={"live": [RESPONSES]}, gates={"live": {"deadline": "1s"}})
    done = start(fleet, "good")
    assert_put_back(fleet, done, "live:1:50: not passed within ", "0 requests seen, 10 needed", denied=False)


def test_declared_requests_stand_in_for_those_that_do_not_come(fleet: Fleet) -> None:
    """A quiet service could never be patched; or what is sent for it would prove nothing."""
    requests = {"requests": [{"path": "/items"}], "times": 10, "at_once": 4}
    fleet.change(checks={"live": [{"synthetic": requests}]})
    image(fleet, "fragile", "breaks-under-load")
    assert_put_back(fleet, start(fleet, "fragile"), "live:1:50: ", "synthetic", "GET /items", denied=True)
    done = start(fleet, "good")
    assert done.code == 0, done
    assert fleet.weights == {"blue": 0, "green": 100}

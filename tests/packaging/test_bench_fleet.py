"""The pieces of `scripts/bench fleet`, on fleets of a few: a bench that measures something else misleads."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.aws.quotas import bucket_of
from providers.base import Parts, Service
from providers.memory.limits import Rate
from rollout.journal import first_broken_link
from rollout.plan import Plan
from rollout.wiring import Installation
from tests.packaging.conftest import CHECKOUT


@pytest.fixture(autouse=True)
def benches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """They are run as scripts, from their folder."""
    monkeypatch.syspath_prepend(str(CHECKOUT / "scripts" / "benches"))
    yield
    for name in [name for name in sys.modules if name.startswith(("fleet_", "_figures"))]:
        del sys.modules[name]


def test_time_passes_only_when_all_threads_sleep() -> None:
    """Otherwise one thread's long wait is over before another one's short one, and each run has another result."""
    from fleet_wave.baton import Baton

    baton, seen = Baton(100.0), list[tuple[str, float]]()

    def work(name: str, seconds: float) -> None:
        for _ in range(3):
            baton.sleep(seconds)
            seen.append((name, baton.now()))

    paces = {"slow": 2.0, "quick": 0.75}
    threads = [baton.thread(partial(work, name, seconds), name) for name, seconds in paces.items()]
    baton.sleep(10.0)
    for thread in threads:
        thread.join(5.0)
    quick, slow = [("quick", 100 + 0.75 * n) for n in (1, 2, 3)], [("slow", 100 + 2.0 * n) for n in (1, 2, 3)]
    assert seen == sorted(quick + slow, key=lambda each: each[1])
    assert baton.now() == 110.0


def test_a_wave_in_a_limited_cloud_is_accepted_and_takes_no_less_than_the_bound(tmp_path: Path) -> None:
    """Otherwise the bench compares with a bound that is none, or measures rollouts that failed."""
    from fleet_wave import wave

    told = {figure.name.partition(": ")[2]: figure for figure in wave.figures(tmp_path, 6, watched=False)}
    ratio = told["time / what the limits allow"]
    assert ratio.goal == "<= 1.1"
    assert 1.0 <= ratio.value < 5.0
    assert told["elbv2.reads for each, made"].value >= told["elbv2.reads for each, needed"].value > 50


def test_requests_are_those_of_the_aws_provider() -> None:
    """Otherwise the wave is held up by a bucket that AWS does not have, or by none."""
    from fleet_wave.aws_limits import aws_limits, requests

    health = Parts(route=False, targets=("green",), counters=())
    assert requests("traffic.observe", 100, (health,)) == {"elbv2.DescribeTargetHealth": 100}
    route = Parts(targets=(), counters=())
    assert set(requests("traffic.observe", 100, (route,)).values()) == {math.ceil(100 / 20)}
    limits = aws_limits()
    assert all(count for count in limits.costs("compute.describe", 1, ()).values())
    for call in ("traffic.set_weights", "compute.observe", "insight.foresee"):
        assert set(limits.costs(call, 1, ())) <= set(limits.buckets)
    assert limits.buckets["elbv2.reads"].refill == bucket_of("elbv2", "DescribeTags")[1].refill


def test_a_store_of_many_is_as_the_engine_would_have_left_it(tmp_path: Path) -> None:
    """Otherwise ten thousand rollouts are measured of which a job says that they are broken."""
    from fleet_waiting import fleet

    installation = Installation(fleet.make(tmp_path, 6))
    store = installation.store
    rows = store.rollouts()
    assert sorted(row.phase for row in rows) == ["patching"] * 2 + ["shifting"] * 2 + ["warm"] * 2
    for row in rows:
        entries = store.entries(row.id)
        assert first_broken_link(entries) == ""
        assert (len(entries), entries[-1].hash) == (row.head_seq, row.head_hash)
        plan = Plan.from_json(row.plan)
        assert (plan.service.name, plan.hash) == (row.service, row.plan_hash)
        wait = store.wait(row.id)
        assert wait is not None
        assert wait.deadline_at is None or wait.deadline_at > time.time()
    store.close()


def test_each_service_stands_in_the_middle_of_its_rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a serving process finds another world than its store says, and turns all of it back."""
    from fleet_waiting import fleet
    from fleet_waiting.cloud import NAME, TOUCHED

    from rollout.engine.job import advance
    from rollout.lease import this_process

    monkeypatch.setenv(TOUCHED, str(tmp_path))
    installation = Installation(fleet.make(tmp_path, 3))
    for row in installation.store.rollouts():
        told = advance(row.id, installation.means(NAME), this_process())
        assert told.due_at is not None, told
        assert installation.store.rollout(row.id).phase == row.phase
    weights = {
        name: installation.provider(NAME).traffic.route(Service(name, {"kind": fleet.kind_of(name)})).weights
        for name in fleet.names(3)
    }
    assert {name: shares["green"] for name, shares in weights.items()} == {
        "warm-00000": 100,
        "soaking-00001": 10,
        "fact-00002": 0,
    }
    (noted,) = [path for path in tmp_path.iterdir() if path.name.isdigit()]
    assert {line.split()[1] for line in noted.read_text().splitlines()} >= {"warm-00000"}
    installation.store.close()


def test_a_tick_asks_for_pages(tmp_path: Path) -> None:
    """Otherwise the figure of calls for each tick counts something else."""
    from fleet_waiting import waiting

    told: dict[str, Any] = {figure.name: figure.value for figure in waiting.ticks(tmp_path, (1, 120))}
    assert told["tick, 1 waiting for hosts: calls"] == 1
    assert told["tick, 120 waiting for hosts: calls"] == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 120), st.floats(1, 200), st.floats(10, 60))
def test_the_bound_has_no_look_that_an_order_could_do_without(services: int, each: float, every_s: float) -> None:
    """Otherwise a slow wave is excused by looks at what need not have been warm yet."""
    from fleet_wave import wave

    rate, looks = Rate(40, 10), wave.looks_while_warm(services, each, Rate(40, 10), 0.0, every_s)
    assert looks <= wave.looks_while_warm(services, each, rate, 0.01, every_s), "looks take time, too"
    if services <= wave.PARALLEL:
        assert looks == 0, "all may be accepted at the end"
    left = range(1, max(services - wave.PARALLEL, 0) + 1)
    assert looks <= sum(max(number * each - 40, 0) / 10 / every_s for number in left) + 1e-6


def test_a_look_at_what_is_warm_costs_its_targets_and_its_share_of_the_pages() -> None:
    """Otherwise the bound grows with what nobody asks for."""
    from fleet_wave import wave

    assert wave.of_a_look()["elbv2.reads"] == 1 + 2 / wave.SAMPLE

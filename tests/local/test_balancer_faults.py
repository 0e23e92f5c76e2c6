"""Kills and swaps under load: what clients lose is at most what was in flight."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.local.balancer import launcher
from tests.local.balancer_kit import PATIENCE_S, Kit, Load, serving, swap_ten_times_under_load, wait_until

GREEN = {"blue": 0, "green": 100}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    """A balancer that is stopped again, whatever happens."""
    with serving(Kit(tmp_path / "b")) as kit:
        yield kit


def test_ten_swaps_under_load_lose_nothing_and_never_mix(kit: Kit) -> None:
    """Else clients notice a swap, or see the old side after the new one."""
    swap_ten_times_under_load(kit)


def test_killing_the_worker_loses_at_most_what_is_in_flight(kit: Kit) -> None:
    """Else a crash of the balancer is an outage."""
    kit.client.set_weights(GREEN, expected_revision=None, token="before")
    counters_id = kit.client.state()["counters_id"]
    with Load(kit.listen).running() as load:
        load.wait_for(100)
        kit.kill("worker")
        load.wait_for(200)
    assert len(load.failed()) <= load.connections
    assert "CONNECT" not in {sent.method for sent in load.failed()}
    assert {sent.by for sent in load.sent if sent.status == 200} == {"green"}
    state = kit.client.state()
    assert (state["weights"], state["token"]) == (GREEN, "before")
    assert state["counters_id"] != counters_id


def test_a_worker_that_is_killed_again_and_again_comes_back(kit: Kit) -> None:
    """Else the second crash is the last."""
    for _ in range(4):
        before = kit.pid("worker")
        kit.kill("worker")
        kit.wait_for_another_worker(before)
        assert kit.ask().status == 200


def test_the_next_command_repairs_a_killed_parent(kit: Kit) -> None:
    """Else a killed balancer stays away, or comes back with an old route."""
    kit.client.set_weights(GREEN, expected_revision=None, token="before")
    old = kit.pid("worker")
    kit.kill("parent")
    launcher.ensure_running(kit.directory, PATIENCE_S)
    assert kit.client.state()["weights"] == GREEN
    assert kit.ask().body in (b"g1", b"g2")
    wait_until(lambda: not Path(f"/proc/{old}").exists(), "the old worker is gone")


def test_a_parent_that_dies_while_it_is_looked_for_is_repaired(kit: Kit) -> None:
    """Else the way back at night fails on a balancer that was dying at that moment."""
    for _ in range(3):
        pid = kit.pid("parent")
        os.kill(pid, signal.SIGKILL)
        launcher.ensure_running(kit.directory, PATIENCE_S)  # finds it dying or dead
        kit.wait_for_death(pid)
        launcher.ensure_running(kit.directory, PATIENCE_S)
        assert kit.ask().status == 200


def test_a_stopped_parent_and_worker_are_both_ended(kit: Kit) -> None:
    """Else a hung balancer cannot be got rid of."""

    pids = [kit.pid("parent"), kit.pid("worker")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    launcher.stop(kit.directory, 0.2)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "both are gone")


def test_killing_an_instance_at_half_loses_at_most_what_is_in_flight(kit: Kit) -> None:
    """Else a replacement that crashes in its canary step fails clients until it is noticed."""
    kit.weigh(50, 50, "half")
    with Load(kit.listen).running() as load:
        load.wait_for(100)
        kit.targets[2].kill()
        load.wait_for(300)
        kit.targets[3].kill()
        load.wait_for(300)
    assert len(load.failed()) <= 2 * load.connections
    assert {sent.method for sent in load.failed()} <= {"POST"}, "reads are asked again elsewhere"


def test_requests_and_failures_add_up(kit: Kit) -> None:
    """Else a gate judges a patch by wrong figures."""
    kit.weigh(50, 50, "half")
    with Load(kit.listen).running() as load:
        load.wait_for(200)
    wait_until(lambda: not any(c["in_flight"] for c in kit.client.state()["counters"].values()), "all is done")
    for slot, counters in kit.client.state()["counters"].items():
        served = sum(sent.by == slot for sent in load.sent)
        assert counters["requests"] == counters["responses"]["2xx"] == served
        assert counters["latency_ms_sum"] > 0

"""While a rollout is under way: somebody edits the route, instances die, the balancer dies."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.e2e.kit import SERVICE, Fleet, Running, open_fleet, wait_until

pytestmark = pytest.mark.e2e


def half_way(fleet: Fleet, soak: str) -> Running:
    """A rollout that watches half of the traffic on the replacement."""
    fleet.change(traffic={"soak": soak})
    running = fleet.begin("start", SERVICE, "--image", "base-2")
    fleet.wait_reached("waiting", "live:1:50", running)
    return running


def test_a_hand_edit_is_told_and_not_overwritten(fleet: Fleet) -> None:
    """Two people would fight over the route: the program would undo what somebody did on purpose."""
    running = half_way(fleet, "2s")
    fleet.reroute(blue=80, green=20)
    done = running.wait()
    rollout = fleet.status()["id"]
    assert done.code == 5, done
    assert "someone else changed the route" in done.err
    assert "found blue 80 %, green 20 %" in done.err
    assert fleet.weights == {"blue": 80, "green": 20}
    assert "blue 80 %, green 20 %" in done.out.splitlines()[-1]
    assert f"rollout resume {rollout}" in done.out
    assert f"rollout rollback {SERVICE}" in done.out
    status = fleet.status()
    assert status["outcome"] == "halted"
    assert status["exit_code"] == 5
    put_right = fleet.rollout("rollback", SERVICE)
    assert put_right.code == 0, put_right
    assert fleet.weights == {"blue": 100, "green": 0}


def test_a_hand_edit_that_is_undone_can_be_resumed(fleet: Fleet) -> None:
    """A slip on the balancer would cost the whole rollout."""
    running = half_way(fleet, "1s")
    fleet.reroute(blue=80, green=20)
    assert running.wait().code == 5
    fleet.reroute(blue=50, green=50)
    done = fleet.rollout("resume", SERVICE)
    assert done.code == 0, done
    assert fleet.weights == {"blue": 0, "green": 100}


def test_the_replacement_dies_under_traffic(fleet: Fleet) -> None:
    """A patched side that crashes would keep its share of the traffic."""
    running = half_way(fleet, "20s")
    with fleet.load(pause_s=0.02) as load:
        for process in fleet.instances("green"):
            process.kill()
        done = running.wait()
    assert done.code == 4, done
    assert "live:1:50" in done.out
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []
    assert len(load.failures) <= load.clients, f"only what was in flight: {load.failures}"


def test_the_original_dies_under_traffic(fleet: Fleet) -> None:
    """A rollback onto a dead side would turn a bad patch into an outage."""
    running = half_way(fleet, "3s")
    with fleet.load(pause_s=0.02) as load:
        for process in fleet.instances("blue"):
            process.kill()
        began = time.time()
        done = running.wait()
        wait_until(lambda: load.requests > 10, "requests are answered")
    assert done.code in (0, 5), done
    assert [each for each in load.failures if each[0] > began + 1] == []
    assert fleet.weights["green"] >= 50, "nothing is sent to where nobody answers"


def test_one_of_two_instances_dies_before_it_has_traffic(tmp_path: object) -> None:
    """Half a side would be promoted."""
    from pathlib import Path

    with open_fleet(Path(str(tmp_path)) / "fleet") as fleet:
        options = fleet.document["services"][SERVICE]["options"]
        options["instances"] = 2
        fleet.change(settle="3s")
        fleet.up()
        running = fleet.begin("start", SERVICE, "--image", "base-2")
        fleet.wait_reached("waiting", "settle", running)
        fleet.instances("green")[0].kill()
        done = running.wait()
        assert done.code == 4, done
        assert "proof" in done.out
        assert fleet.weights == {"blue": 100, "green": 0}
        assert len(fleet.instances("blue")) == 2
        assert fleet.instances("green") == []


@pytest.mark.parametrize("who", ["worker", "parent"])
def test_the_balancer_dies(fleet: Fleet, who: str) -> None:
    """The built-in balancer would be a single point of failure for every service behind it."""
    running = half_way(fleet, "1s")
    with fleet.load(pause_s=0.02) as load:
        wait_until(lambda: load.requests > 10, "requests are answered")
        killed = fleet.pid_of(who)
        at = time.time()
        os.kill(killed, signal.SIGKILL)
        done = running.wait()
        wait_until(lambda: fleet.pid_of(who) != killed, "there is another one")
        seen = load.requests
        wait_until(lambda: load.requests > seen + 10, "requests are answered again")
    assert done.code == 0, done
    assert fleet.weights == {"blue": 0, "green": 100}
    if who == "worker":
        assert len(load.failures) <= load.clients, f"only what was in flight: {load.failures}"
    else:  # nobody listens until the next command of the driver starts another
        assert all(failed < at + 5 for failed, _ in load.failures), load.failures

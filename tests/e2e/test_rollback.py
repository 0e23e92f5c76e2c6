"""`rollout rollback`: traffic back with one short command, whatever else is broken."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from tests.e2e.kit import SERVICE, Fleet, wait_until

pytestmark = pytest.mark.e2e
BACK = {"blue": 100, "green": 0}


@pytest.fixture
def warm(fleet: Fleet) -> Fleet:
    """base-2 was promoted on green; blue is kept warm."""
    fleet.promoted()
    return fleet


def test_after_promotion(warm: Fleet) -> None:
    """The one command for 3 a.m.: traffic would not be back, or saying it twice would do harm."""
    with warm.load() as load:
        done = warm.rollout("rollback", SERVICE, "--reason", "checkout looks odd")
    assert done.code == 0, done
    assert load.failures == []
    assert "all new traffic is on blue" in done.err
    assert "blue 100 %, green 0 %" in done.out.splitlines()[-1]
    assert warm.weights == BACK
    assert warm.instances("green") == []
    status = warm.status()
    assert status["outcome"] == "rolled_back"
    assert status["reason"] == "checkout looks odd"
    entries = warm.entries()
    again = warm.rollout("rollback", SERVICE)
    assert again.code == 0, again
    assert "rolled back already: traffic is on blue" in again.err
    assert warm.entries() == entries
    assert warm.weights == BACK
    assert warm.rollout("start", SERVICE, "--image", "base-3").code == 0, "the service can be patched again"


def test_without_a_name(warm: Fleet) -> None:
    """At night nobody should have to look the service's name up."""
    assert warm.rollout("rollback").code == 0
    assert warm.weights == BACK


def test_without_a_name_and_nothing_open(fleet: Fleet) -> None:
    """It would guess, or crash."""
    done = fleet.rollout("rollback")
    assert done.code == 2, done
    assert "no service has a way back open" in done.err
    unknown = fleet.rollout("rollback", "shpo")
    assert unknown.code == 2, unknown
    assert "shpo has no rollback card" in unknown.err


def test_while_another_process_drives(fleet: Fleet) -> None:
    """The driver of `start --wait` would move traffic forward again after the rollback."""
    fleet.change(traffic={"soak": "60s"})
    with fleet.load() as load:
        running = fleet.begin("start", SERVICE, "--image", "base-2")
        fleet.wait_reached("waiting", "live:1:50", running)
        done = fleet.rollout("rollback", SERVICE, "--reason", "odd")
        driver = running.wait()
    assert done.code == 0, done
    assert driver.code == 4, driver
    assert "odd" in driver.out
    assert fleet.weights == BACK
    assert fleet.instances("green") == []
    assert load.failures == []


def test_with_the_store_locked(warm: Fleet) -> None:
    """A hung process that holds the database would keep traffic on the bad side."""
    with closing(sqlite3.connect(warm.state / "rollout.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        done = warm.rollout("rollback", SERVICE, "--no-wait")
        assert done.code == 0, done
        assert "the store cannot be used" in done.err
        assert warm.weights == BACK
        db.execute("ROLLBACK")
    rest = warm.rollout("resume", SERVICE, "--json")
    assert rest.code == 4, "the hold mark with the traffic is obeyed"
    assert rest.last["outcome"] == "rolled_back"
    assert warm.weights == BACK


@pytest.mark.parametrize("broken", ["deleted", "corrupt"])
def test_without_the_store(warm: Fleet, broken: str) -> None:
    """A full or broken disk would take the way back with it."""
    for path in warm.state.glob("rollout.db*"):
        if broken == "deleted":
            path.unlink()
        else:
            path.write_bytes(b"not a database" * 400)
    done = warm.rollout("rollback", SERVICE, "--json")
    assert done.code == 0, done
    assert done.last["traffic"] == BACK
    assert warm.weights == BACK
    assert list((warm.state / "spool").iterdir()), "the decision is kept beside the cards"
    waited = warm.rollout("rollback", SERVICE)
    assert "Traceback" not in waited.err
    assert warm.weights == BACK


def test_with_a_broken_fleet_file(warm: Fleet) -> None:
    """Somebody's half-finished edit of the fleet file would block the way back."""
    warm.config.write_text("version: 1\nservices: [oops\n")
    done = warm.rollout("rollback", SERVICE, "--no-wait")
    assert done.code == 0, done
    assert warm.weights == BACK


def test_drill(warm: Fleet) -> None:
    """The way back would be tried for the first time when it is needed."""
    entries = warm.entries()
    done = warm.rollout("rollback", SERVICE, "--drill", "--json")
    assert done.code == 0, done
    assert done.last["drill"] is True
    assert done.last["seconds"] < 5
    assert warm.weights == {"blue": 0, "green": 100}
    assert warm.entries() == entries
    assert warm.rollout("rollback", SERVICE, "--drill").code == 0


def test_json_is_one_document(warm: Fleet) -> None:
    """A pager's script could not read the answer."""
    done = warm.rollout("rollback", SERVICE, "--json", "--reason", "odd")
    assert done.code == 0, done
    assert len(done.objects) == 1
    assert done.err == ""
    assert done.last["service"] == SERVICE
    assert done.last["active_slot"] == "blue"
    assert done.last["exit_code"] == 0
    assert done.last["traffic"] == BACK == warm.weights
    assert done.last["next"].startswith("rollout resume ")


def test_the_original_is_not_healthy(warm: Fleet) -> None:
    """Traffic would be sent to a side that cannot serve; or, when everything else is worse, could not be."""
    for process in warm.instances("blue"):
        process.kill()
    wait_until(lambda: not warm.healthy("blue"), "the balancer has noticed")
    with warm.load() as load:
        done = warm.rollout("rollback", SERVICE)
        assert done.code == 5, done
        assert "blue: 0 of 1 healthy, 1 on the other side" in done.err
        assert "Traffic stays as it is: blue 0 %, green 100 %" in done.err
        assert f"rollout rollback {SERVICE} --force" in done.err
        assert warm.weights == {"blue": 0, "green": 100}
    assert load.failures == []
    forced = warm.rollout("rollback", SERVICE, "--force", "--no-wait")
    assert forced.code == 5, forced
    assert "does not serve" in forced.err and "green is kept" in forced.err
    assert warm.weights == BACK


def test_the_original_dies_right_after_the_rollback(warm: Fleet) -> None:
    """The last side that can serve would be given up: an outage made by the rollback."""
    running = warm.begin("rollback", SERVICE)
    wait_until(lambda: warm.weights == BACK, "traffic is back")
    for process in warm.instances("blue"):
        process.kill()
    done = running.wait()
    assert warm.instances("green"), "the only side that serves is still there"
    assert done.code == 5, done


def test_after_the_window(tmp_path: object, written: Fleet) -> None:
    """Traffic would be sent to a side that was given up."""
    written.change(keep_warm="0s")
    written.up()
    written.promoted()
    assert written.rollout("resume", SERVICE).code == 0
    done = written.rollout("rollback", SERVICE)
    assert done.code == 5, done
    assert "Traffic stays on green" in done.err
    assert f"rollout start {SERVICE} --image" in done.err
    assert written.weights == {"blue": 0, "green": 100}


def test_with_the_balancer_dead(warm: Fleet) -> None:
    """When everything is down at once, the way back must still work, and bring the balancer up."""
    import os
    import signal

    for who in ("parent", "worker"):
        os.kill(warm.pid_of(who), signal.SIGKILL)
    done = warm.rollout("rollback", SERVICE)
    assert done.code == 0, done
    assert warm.weights == BACK

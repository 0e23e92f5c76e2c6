"""What the on-call engineer meets when more than the patch is broken."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.kit import Fleet, open_fleet, wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """One service that has not been stood up yet."""
    with open_fleet(tmp_path) as made:
        yield made


def test_a_rollback_with_a_damaged_store_is_a_success(fleet: Fleet) -> None:
    """Traffic is back, and the command says that nothing was begun."""
    fleet.up()
    fleet.promoted()
    for file in fleet.state.glob("rollout.db*"):
        file.write_bytes(b"this is no database, and has been none for a while" * 200)
    done = fleet.rollout("rollback", "shop", "--reason", "the disk went bad")
    assert done.code == 0, done
    assert "all new traffic is on blue" in done.err and "Nothing was begun" not in done.err
    assert "Traffic is back; the rest waits for the store" in done.err
    assert fleet.weights == {"blue": 100, "green": 0}
    looked = fleet.rollout("status", "shop")
    assert looked.code == 1 and "rollout doctor" in looked.err and "Traceback" not in looked.err


def test_a_service_that_was_never_rolled_out_can_be_looked_at(fleet: Fleet) -> None:
    """The first look after `up` says that there is no such thing."""
    fleet.up()
    found = fleet.status()
    assert (found["traffic"], found["healthy"]["blue"], found["rollout"]) == ({"blue": 100, "green": 0}, 1, None)
    told = fleet.rollout("status", "shop")
    assert "no rollout yet: rollout plan shop" in told.out and "1 healthy on blue" in told.out
    assert fleet.rollout("status", "shpo").code == 2


def test_status_says_that_the_serving_side_is_dead(fleet: Fleet) -> None:
    """Everything is down, and status says: promoted."""
    fleet.up()
    fleet.promoted()
    assert fleet.status()["not_serving"] is None
    for process in fleet.instances("green"):
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(fleet.instances("green"), timeout=5)
    wait_until(lambda: fleet.status()["not_serving"], "status notices")
    told = fleet.rollout("status", "shop").out
    assert "DANGER   green has all traffic and no healthy host; next: rollout rollback shop" in told
    assert fleet.rollout("rollback", "shop", "--reason", "it is dead").code == 0
    assert fleet.weights == {"blue": 100, "green": 0}


def test_a_rollback_in_json_is_finished_by_resume_with_success(fleet: Fleet) -> None:
    """A pipeline follows the next command that it is given, and fails with exit 4 although all went well."""
    fleet.up()
    fleet.promoted()
    done = fleet.rollout("rollback", "shop", "--reason", "trying", "--json")
    assert done.code == 0 and done.last["next"].startswith("rollout resume ")
    assert fleet.status()["turning_back"]
    assert "turning back, as " in fleet.rollout("status", "shop").out
    assert fleet.rollout(*done.last["next"].split()[1:]).code == 0
    assert fleet.status()["outcome"] == "rolled_back"


def test_a_plan_that_cannot_be_written_is_refused_in_words(fleet: Fleet) -> None:
    """A typing error in a path ends in a trace of the program's insides."""
    fleet.up()
    done = fleet.rollout("plan", "shop", "--image", "base-2", "--out", "/nonexistent/x.json")
    assert done.code == 2 and "Traceback" not in done.err and "/nonexistent/x.json" in done.err

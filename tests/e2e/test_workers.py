"""`rollout worker` and several `rollout serve` on one PostgreSQL: real processes that are killed, frozen, cut off."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout.lease import LEASE_S
from tests.e2e.kit import SERVICE, Fleet, Running, wait_until
from tests.e2e.workers import OwnServer, SharedFleet, shared_fleet
from tests.stores.kit import GIVEN, postgres_url

pytestmark = pytest.mark.e2e
TAKEN_S = 15.0
"""What somebody drove who is gone is driven by another one after so long."""


@pytest.fixture(scope="session")
def server() -> str:
    """The address of a PostgreSQL server."""
    try:
        return postgres_url()
    except Exception as error:
        pytest.skip(f"no PostgreSQL: {GIVEN} names none, and none could be started here: {error}")


@pytest.fixture
def fleet(server: str, tmp_path: Path) -> Iterator[SharedFleet]:
    """One whose store is there."""
    with shared_fleet(tmp_path / "fleet", server) as made:
        yield made


def stopped(running: Running) -> str:
    """What a process said that was asked to stop."""
    running.signal(signal.SIGTERM)
    done = running.wait()
    assert done.code == 0 and "Traceback" not in done.err, done
    return done.err


def kill(running: Running) -> None:
    """Without a chance to say anything."""
    running.signal(signal.SIGKILL)
    assert running.wait().code == -signal.SIGKILL


# Who dies


@pytest.mark.slow
def test_workers_killed_at_random_lose_nothing_and_do_nothing_twice(fleet: SharedFleet) -> None:
    """A host dies in the middle of a rollout, and it stands still for ever, or traffic is moved twice."""
    chance = random.Random(5)
    workers = [fleet.worker(), fleet.worker()]
    with fleet.load(pause_s=0.03) as load:
        fleet.handed_over()
        for point in sorted(chance.sample(range(3, 55), 3)):
            fleet.wait_journalled(point, workers[0])
            acting = fleet.acting()
            victim = next((n for n, each in enumerate(workers) if each.pid == acting), chance.randrange(2))
            kill(workers[victim])
            workers[victim] = fleet.begin("worker")
        for each in workers:  # a power cut
            kill(each)
        assert fleet.status()["driven_by"] is None
        worker = fleet.worker()
        fleet.wait_outcome("promoted", "warm")
    assert load.failures == []
    fleet.assert_once_each()
    assert fleet.weights == {"blue": 0, "green": 100} and len(fleet.started()) == 2
    stopped(worker)


@pytest.mark.slow
def test_what_a_frozen_worker_drove_is_taken_over_and_its_late_writes_are_refused(fleet: SharedFleet) -> None:
    """A host hangs for a while, and its rollouts with it; or it comes back, and two drive one rollout."""
    slow = {"command": {"run": ["sleep", "2"]}}
    fleet.change(checks={"live": ["balancer", slow]})
    frozen = fleet.worker()
    fleet.handed_over()
    fleet.wait_reached("waiting", "live:1:50", frozen)
    wait_until(lambda: fleet.acting() == frozen.pid, "a check is asked")
    frozen.signal(signal.SIGSTOP)
    frozen_at = time.monotonic()
    ((epoch,),) = fleet.sql("SELECT epoch FROM services")
    second = fleet.worker()
    try:
        wait_until(lambda: fleet.acting() == second.pid, "it is taken over")
        assert time.monotonic() - frozen_at <= TAKEN_S
        ((taken,),) = fleet.sql("SELECT max(seq) FROM journal")
    finally:
        frozen.signal(signal.SIGCONT)
    fleet.wait_outcome("promoted", "warm")
    fleet.assert_once_each()
    late = [line for line in fleet.log() if line["event"] == "job_ended" and line["epoch"] == epoch]
    assert [line["worker"] for line in late] == [f"process {frozen.pid} on {os.uname().nodename}"]
    assert late[0]["seconds"] > LEASE_S, "it went on with what it had begun, and ended"
    assert fleet.sql("SELECT count(*) FROM journal WHERE seq > %s AND epoch <= %s", taken, epoch) == [(0,)]
    stopped(second)
    assert frozen.process.poll() is None, frozen.err
    assert fleet.rollout("abort", SERVICE, "--reason", "the first one works as before", "--no-wait").code in (0, 5)
    stopped(frozen)


def test_a_database_that_is_gone_for_a_while(tmp_path: Path) -> None:
    """The database is started again, and every worker has to be, too; or a rollout is lost."""
    own = OwnServer()
    with shared_fleet(tmp_path / "fleet", own.url, traffic={"soak": "3s"}) as fleet:
        worker, serving = fleet.worker(), fleet.begin("serve", "--jobs", "0")
        serving.wait_for("serving ")
        with fleet.load(pause_s=0.03) as load:
            fleet.handed_over()
            fleet.wait_reached("waiting", "live:1:50", worker)
            own.stop()
            for each in (worker, serving):
                each.wait_for("Nothing moves until it can be used")
            assert fleet.weights == {"blue": 50, "green": 50}
            own.start()
            for each in (worker, serving):
                each.wait_for("the store can be used again")
            fleet.wait_outcome("promoted", "warm")
        assert load.failures == []
        fleet.assert_once_each()
        for each in (worker, serving):
            assert stopped(each).count("Nothing moves until it can be used") == 1
    own.close()


# Who stops


def test_a_graceful_stop_leaves_nothing_half_done(fleet: SharedFleet) -> None:
    """A worker is updated, and a step of a rollout is cut in two."""
    fleet.change(traffic={"soak": "60s"})
    worker = fleet.worker()
    rollout = fleet.handed_over()
    fleet.wait_reached("intended", "patch", worker)
    said = stopped(worker)
    assert f"nobody drives these now: {rollout}" in said and "rollout worker" in said, said
    assert {s for _, k, s, _ in fleet.entries() if k == "intended"} <= {
        s for _, k, s, _ in fleet.entries() if k == "done"
    }
    assert fleet.sql("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    assert fleet.sql("SELECT count(*) FROM procrastinate_workers") == [(0,)]
    assert fleet.sql("SELECT count(*) FROM servers") == [(0,)]
    assert fleet.acting() is None and fleet.status()["driven_by"] is None
    assert fleet.rollout("abort", rollout, "--reason", "no").code == 0


def test_a_second_signal_leaves_a_worker_at_once(fleet: SharedFleet) -> None:
    """Whoever is in a hurry has to kill the worker."""
    worker = fleet.worker()
    fleet.handed_over()
    wait_until(lambda: fleet.acting() == worker.pid and fleet.reached("intended", "patch"), "it builds the image")
    worker.signal(signal.SIGTERM)
    worker.wait_for("stopping: 1 jobs end first")
    asked = time.monotonic()
    worker.signal(signal.SIGTERM)
    done = worker.wait()
    assert time.monotonic() - asked < 2.0
    assert done.code == 130 and "left at once" in done.err and "Traceback" not in done.err, done
    assert fleet.rollout("resume", SERVICE).code == 0
    fleet.assert_once_each()


# Who serves


def test_a_second_server_works_and_leads_when_the_first_is_gone(fleet: SharedFleet) -> None:
    """The host of the only `rollout serve` dies, and campaigns and checkpoints stop until somebody notices."""
    fleet.document["keep"] = {"checkpoints": "checkpoints", "checkpoint_every": "1s"}
    fleet.change()
    first = fleet.begin("serve")
    first.wait_for("this one leads")
    second = fleet.begin("serve")
    second.wait_for(f"served by process {first.pid} ")
    assert "this one leads" not in second.err
    first.signal(signal.SIGKILL)
    killed_at = time.monotonic()
    second.wait_for("this one leads")
    assert time.monotonic() - killed_at <= TAKEN_S
    checkpoints = fleet.folder / "checkpoints"
    before = set(checkpoints.glob("*"))
    wait_until(lambda: set(checkpoints.glob("*")) != before or before, "checkpoints are written")
    fleet.handed_over()
    fleet.wait_outcome("promoted", "warm")
    fleet.assert_once_each()
    stopped(second)


def test_a_server_with_workers_beside_it(fleet: SharedFleet) -> None:
    """One process has to do everything."""
    serving = fleet.begin("serve", "--jobs", "0")
    serving.wait_for("serving ")
    worker = fleet.worker("--json", "--jobs", "2")
    rollout = fleet.handed_over()
    fleet.wait_outcome("promoted", "warm")
    wait_until(lambda: '"text": "promoted' in worker.out, "the worker tells it")
    worker.signal(signal.SIGTERM)
    done = worker.wait()
    told = [each for each in done.objects if "seq" in each]
    assert [each["seq"] for each in told] == list(range(1, len(told) + 1)) and {e["id"] for e in told} == {rollout}
    ended = [line for line in fleet.log() if line["event"] == "job_ended"]
    assert ended and all(line["rollout"] == rollout and line["service"] == SERVICE and line["step"] for line in ended)
    assert {line["worker"] for line in ended} == {f"process {worker.pid} on {os.uname().nodename}"}
    assert "opened by" not in serving.err, "it only queues"
    stopped(serving)


def test_a_command_that_drives_is_left_alone_until_it_is_gone(fleet: SharedFleet) -> None:
    """A worker drives a rollout away under a person's hands; or a laptop is closed, and nobody goes on with it."""
    fleet.change(traffic={"soak": "3s"})
    command = fleet.begin("start", SERVICE, "--image", "base-2", "--json")
    fleet.wait_reached("waiting", "live:1:50", command)
    worker = fleet.worker()
    fleet.wait_reached("waiting", "live:2:100", command)
    assert "gate live:1:50 passed" not in worker.err
    kill(command)
    fleet.wait_outcome("promoted", "warm")
    worker.wait_for("promoted; the old side stays warm")
    fleet.assert_once_each()
    stopped(worker)


def test_workers_need_a_store_that_can_be_shared(tmp_path: Path) -> None:
    """Two workers on two machines each have a file of their own, and one service is rolled out by both."""
    fleet = Fleet(tmp_path / "fleet")
    for command in (("worker",), ("serve", "--jobs", "0")):
        done = fleet.rollout(*command)
        assert done.code == 2 and "PostgreSQL" in done.err and "Traceback" not in done.err, done
    assert "rollout store move" in fleet.rollout("worker").err

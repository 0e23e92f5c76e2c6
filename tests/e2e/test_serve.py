"""`rollout serve` with real processes: it drives, it is killed, it fills its disk, and people put their hands in."""

from __future__ import annotations

import json
import os
import random
import resource
import shlex
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from rollout.journal import RECORDS
from tests.e2e.kit import PROGRAM, SERVICE, Done, Fleet, Running, environment, wait_until

pytestmark = pytest.mark.e2e
LONG = {"traffic": {"soak": "60s"}}
BY_SERVE = ("start", SERVICE, "--image", "base-2", "--no-wait")


def serve(fleet: Fleet, *arguments: str) -> Running:
    """A server that is ready."""
    running = fleet.begin("serve", *arguments)
    running.wait_for("serving ")
    return running


def stopped(running: Running) -> Done:
    """The server after SIGTERM."""
    running.signal(signal.SIGTERM)
    done = running.wait()
    assert done.code == 0, done
    assert "Traceback" not in done.err, done.err
    return done


def handed_over(fleet: Fleet, *arguments: str) -> str:
    """A rollout that the server drives; its id."""
    done = fleet.rollout(*BY_SERVE, "--json", *arguments)
    assert done.code == 0, done
    assert done.last["exit_code"] == 0
    return str(done.last["id"])


def outcome_is(fleet: Fleet, outcome: str, phase: str = "") -> None:
    """Wait until it stands so."""

    def stands() -> bool:
        with closing(sqlite3.connect(f"file:{fleet.state}/rollout.db?mode=ro", uri=True, timeout=10)) as db:
            query = "SELECT outcome, phase FROM rollouts ORDER BY opened_at DESC LIMIT 1"
            found = db.execute(query).fetchone()
        return found is not None and found[0] == outcome and phase in ("", found[1])

    wait_until(stands, lambda: f"{outcome} {phase}: {[each[1:3] for each in fleet.entries()][-4:]}")


def assert_once_each(fleet: Fleet) -> None:
    """One result for a step, no token twice, no instance started twice, and chains that verify."""
    entries = fleet.entries()
    results = Counter(step for _, kind, step, _ in entries if kind in RECORDS)
    assert set(results.values()) <= {1}, results
    tokens = Counter(data["token"] for _, kind, _, data in entries if kind == "intended")
    assert set(tokens.values()) == {1}, tokens
    assert len(set(fleet.started())) == len(fleet.started()), fleet.started()
    verified = fleet.rollout("journal", "verify")
    assert verified.code == 0, verified


# Driving


def test_a_rollout_that_was_handed_over_is_driven_to_its_end(fleet: Fleet) -> None:
    """What a pipeline starts with --no-wait is never promoted, or its old side is never given up."""
    fleet.change(keep_warm="2s")
    running = serve(fleet)
    with fleet.load() as load:
        rollout = handed_over(fleet)
        outcome_is(fleet, "promoted", "retired")
    assert load.failures == []
    assert fleet.weights == {"blue": 0, "green": 100} and len(fleet.instances()) == 1
    assert_once_each(fleet)
    done = stopped(running)
    assert "nobody drives" not in done.err
    for told in ("opened by", "promoted; the old side stays warm", "the old side was given up"):
        assert f"{SERVICE}: " in done.err and told in done.err, done.err
    assert fleet.status(rollout)["driven_by"] is None


def test_nothing_is_handed_over_where_nobody_serves(fleet: Fleet) -> None:
    """A pipeline ends with success, and nobody ever drives what it began."""
    done = fleet.rollout(*BY_SERVE)
    assert done.code == 2 and "rollout serve" in done.err, done
    assert fleet.entries() == []


def test_json_lines_of_the_server(fleet: Fleet) -> None:
    """A log collector cannot read what the server says."""
    running = fleet.begin("serve", "--json")
    running.wait_for("serving ")
    rollout = handed_over(fleet)
    outcome_is(fleet, "promoted", "warm")
    wait_until(lambda: '"text": "promoted' in running.out, "the promotion is told")
    done = stopped(running)
    told = [each for each in done.objects if "seq" in each]
    assert [each["seq"] for each in told] == list(range(1, len(told) + 1))
    assert {each["id"] for each in told} == {rollout} and told[0]["event"] == "opened"


def test_status_names_the_server_that_drives(fleet: Fleet) -> None:
    """Nobody can tell which process to look at."""
    fleet.change(**LONG)
    running = serve(fleet)
    handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50")
    assert fleet.status()["driven_by"].startswith(f"process {running.pid} on ")
    assert f"process {running.pid}" in fleet.rollout("status").out


def test_a_closed_pipe_does_not_end_the_server(fleet: Fleet) -> None:
    """`rollout serve 2>&1 | head -1`, or a log collector that died, ends what drives every rollout."""
    command = shlex.join([*PROGRAM, "serve", "--config", str(fleet.config)])
    piped = ["bash", "-c", f"exec {command} 2> >(head -n 1)"]
    running = Running(piped, fleet.folder, environment(fleet.folder))
    fleet.children.append(running)
    running.wait_for("serving ")
    handed_over(fleet)
    outcome_is(fleet, "promoted", "warm")
    running.signal(signal.SIGTERM)
    assert running.wait().code == 0


# Killed, stopped, frozen


@pytest.mark.parametrize("seed", [11, 23, 47])
def test_a_killed_server_is_followed_by_one_that_goes_on(fleet: Fleet, seed: int) -> None:
    """The host of the server dies at any moment, and a rollout is lost or done twice."""
    chance = random.Random(seed)
    running = serve(fleet)
    with fleet.load(pause_s=0.03) as load:
        handed_over(fleet)
        for point in sorted(chance.sample(range(3, 50), 3)):
            fleet.wait_journalled(point, running)
            running.signal(signal.SIGKILL)
            assert running.wait().code == -signal.SIGKILL
            assert fleet.status()["driven_by"] is None
            running = serve(fleet)
        outcome_is(fleet, "promoted", "warm")
    assert load.failures == []
    assert_once_each(fleet)
    assert fleet.weights == {"blue": 0, "green": 100} and len(fleet.started()) == 2
    stopped(running)


def test_a_second_server_is_refused_with_the_first_ones_name(fleet: Fleet) -> None:
    """Two servers drive one fleet."""
    running = serve(fleet)
    done = fleet.rollout("serve")
    assert done.code == 6, done
    assert f"process {running.pid}" in done.err and "Traceback" not in done.err
    stopped(running)
    second = serve(fleet)
    stopped(second)


def test_sigterm_lets_a_step_end_and_names_what_is_open(fleet: Fleet) -> None:
    """A restart of the server cuts a step in two, and nobody learns what is left undriven."""
    fleet.change(**LONG)
    running = serve(fleet)
    rollout = handed_over(fleet)
    fleet.wait_reached("intended", "swap:1:50", running)
    done = stopped(running)
    assert f"nobody drives these now: {rollout}" in done.err and "rollout serve" in done.err
    meant = {step for _, kind, step, _ in fleet.entries() if kind == "intended"}
    ended = {step for _, kind, step, _ in fleet.entries() if kind in RECORDS}
    assert meant <= ended, "what was begun is done and recorded"
    assert fleet.status()["driven_by"] is None
    fleet.change(traffic={"soak": "600ms"})
    assert fleet.rollout("abort", SERVICE, "--reason", "no").code == 0


def acts(fleet: Fleet) -> bool:
    """Has some job had the lease for a while?"""
    with closing(sqlite3.connect(f"file:{fleet.state}/rollout.db?mode=ro", uri=True, timeout=10)) as db:
        held = list[Any]()
        for _ in range(40):
            held.append(db.execute("SELECT holder, epoch FROM services").fetchone())
            time.sleep(0.01)
    return held[0][0] is not None and len(set(held)) == 1


def test_a_second_signal_leaves_at_once(fleet: Fleet) -> None:
    """Whoever is in a hurry has to kill the server, which looks like a crash."""
    fleet.change(**LONG)
    running = serve(fleet)
    rollout = handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50", running)
    balancer = fleet.pid_of("parent"), fleet.pid_of("worker")
    for pid in balancer:
        os.kill(pid, signal.SIGSTOP)  # whoever asks it has to wait
    try:
        wait_until(lambda: acts(fleet), "a job hangs")
        running.signal(signal.SIGTERM)
        running.wait_for("stopping: 1 jobs end first")
        asked = time.monotonic()
        running.signal(signal.SIGTERM)
        done = running.wait()
    finally:
        for pid in balancer:
            os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - asked < 2.0
    assert done.code == 130 and "left at once" in done.err and "Traceback" not in done.err, done
    assert fleet.status(rollout)["outcome"] == "running"
    fleet.change(traffic={"soak": "600ms"})
    assert fleet.rollout("abort", rollout, "--reason", "no").code == 0


def test_sighup_reads_the_fleet_file_again_or_keeps_what_it_had(fleet: Fleet) -> None:
    """A typing error in the fleet file ends the server, or a new receiver needs a restart."""
    running = serve(fleet)
    good = fleet.config.read_text()
    fleet.config.write_text(good + "nonsense: [\n")
    running.signal(signal.SIGHUP)
    running.wait_for("cannot be read again, what was read before holds")
    fleet.config.write_text(good)
    running.signal(signal.SIGHUP)
    running.wait_for("read the fleet file again")
    handed_over(fleet)
    outcome_is(fleet, "promoted", "warm")
    stopped(running)


def freeze(fleet: Fleet, running: Running) -> None:
    """Stop it between two transactions: one that stands still inside of one locks the file for everybody."""
    while True:
        running.signal(signal.SIGSTOP)
        with closing(sqlite3.connect(fleet.state / "rollout.db", timeout=0.1, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
                db.execute("ROLLBACK")
                return
            except sqlite3.OperationalError:
                running.signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_frozen_server_gives_its_place_up(fleet: Fleet) -> None:
    """A host that hung for a while comes back, and two servers drive one rollout."""
    fleet.change(traffic={"soak": "3s"})
    frozen = serve(fleet)
    with fleet.load(pause_s=0.03) as load:
        handed_over(fleet)
        fleet.wait_reached("waiting", "live:1:50", frozen)
        freeze(fleet, frozen)

        def taken() -> bool:
            second.append(fleet.begin("serve"))
            wait_until(
                lambda: "serving " in second[-1].err or second[-1].process.poll() is not None, "it began or was refused"
            )
            return "serving " in second[-1].err

        second = list[Running]()
        wait_until(taken, "the place of the frozen server is free")
        assert all(each.wait().code == 6 for each in second[:-1])
        outcome_is(fleet, "promoted", "warm")
        frozen.signal(signal.SIGCONT)
        done = frozen.wait()
    assert done.code == 6 and f"process {second[-1].pid}" in done.err, done
    assert load.failures == []
    assert_once_each(fleet)
    stopped(second[-1])


# Beside a command


def test_a_command_only_watches_while_the_server_drives(fleet: Fleet) -> None:
    """A command and the server drive one rollout together."""
    running = serve(fleet)
    done = fleet.rollout("start", SERVICE, "--image", "base-2", "--json")
    assert done.code == 0 and done.last["outcome"] == "promoted", done
    assert "driven from here" not in done.err
    wait_until(lambda: "promoted; the old side stays warm" in running.err, "the server told it, for it drove")
    assert_once_each(fleet)
    stopped(running)


def test_ctrl_c_at_a_watching_command_puts_traffic_back(fleet: Fleet) -> None:
    """Ctrl-C does what it says only where no server runs."""
    fleet.change(**LONG)
    running = serve(fleet)
    with fleet.load() as load:
        command = fleet.begin("start", SERVICE, "--image", "base-2")
        fleet.wait_reached("waiting", "live:1:50")
        command.signal(signal.SIGINT)
        command.wait_for("interrupted: putting traffic back")
        done = command.wait()
    assert done.code == 130 and "Traceback" not in done.err, done
    assert fleet.weights == {"blue": 100, "green": 0} and load.failures == []
    assert fleet.status()["outcome"] == "rolled_back"
    stopped(running)


def test_a_command_takes_over_from_a_server_that_died(fleet: Fleet) -> None:
    """The server is killed, and the command beside it waits for ever."""
    fleet.change(traffic={"soak": "2s"})
    running = serve(fleet)
    command = fleet.begin("start", SERVICE, "--image", "base-2", "--json")
    fleet.wait_reached("waiting", "live:1:50", command)
    running.signal(signal.SIGKILL)
    running.wait()
    done = command.wait()
    assert done.code == 0 and done.last["outcome"] == "promoted", done
    assert_once_each(fleet)


def test_a_rollback_by_hand_is_finished_by_the_server(fleet: Fleet) -> None:
    """The on-call command puts traffic back, and the patched side stays until somebody resumes."""
    fleet.change(**LONG)
    running = serve(fleet)
    with fleet.load() as load:
        handed_over(fleet)
        fleet.wait_reached("waiting", "live:1:50")
        done = fleet.rollout("rollback", SERVICE, "--reason", "errors", "--no-wait")
        assert done.code == 0, done
        assert fleet.weights == {"blue": 100, "green": 0}
        outcome_is(fleet, "rolled_back", "rolled_back")
    assert load.failures == [] and fleet.instances("green") == []
    stopped(running)


# The store


def test_a_store_of_a_newer_release(fleet: Fleet) -> None:
    """An older release writes over what it does not understand, or the way back needs that store."""
    fleet.promoted()
    with closing(sqlite3.connect(fleet.state / "rollout.db")) as db:
        db.execute("PRAGMA user_version = 99")
    for command in (("serve",), ("status",), ("start", SERVICE, "--image", "base-3")):
        done = fleet.rollout(*command)
        assert done.code == 1, (command, done)
        assert "newer release" in done.err and "rollout.db" in done.err and "Traceback" not in done.err, done.err
    assert fleet.weights == {"blue": 0, "green": 100}
    done = fleet.rollout("rollback", SERVICE, "--reason", "x", "--no-wait")
    assert done.code == 0, done
    assert fleet.weights == {"blue": 100, "green": 0}


def test_a_store_that_another_process_locks(fleet: Fleet) -> None:
    """A process that hangs inside of a transaction makes a server wait for ever, and the way back with it."""
    fleet.promoted()
    with closing(sqlite3.connect(fleet.state / "rollout.db", isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        done = fleet.rollout("serve")
        assert done.code == 1 and "Traceback" not in done.err, done
        assert "database is locked" in done.err and "rollout rollback works without the store" in done.err
        done = fleet.rollout("rollback", SERVICE, "--reason", "x", "--no-wait")
        assert done.code == 0, done
        assert fleet.weights == {"blue": 100, "green": 0}
        db.execute("ROLLBACK")
    running = serve(fleet)
    outcome_is(fleet, "rolled_back", "rolled_back")
    stopped(running)


@contextmanager
def full_disk(running: Running) -> Iterator[None]:
    """This process can write no file any longer: SQLite meets what it meets on a full disk."""
    _, most = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        if running.process.poll() is None:
            resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (most, most))


def test_a_full_disk_leaves_traffic_where_it_is_and_goes_on_afterwards(fleet: Fleet) -> None:
    """A full disk moves traffic nobody knows where to, or ends the server for good."""
    fleet.change(traffic={"soak": "3s"})
    running = serve(fleet)
    with fleet.load(pause_s=0.02) as load:
        handed_over(fleet)
        fleet.wait_reached("waiting", "live:1:50", running)
        with full_disk(running):
            running.wait_for("Nothing moves until it can be used")
            count = len(fleet.entries())
            assert "rollout.db" in running.err and "rollout rollback works without it" in running.err
            wait_until(lambda: running.err.count("cannot be used") >= 1, "it is told")
            assert fleet.weights == {"blue": 50, "green": 50}
            assert len(fleet.entries()) == count and running.process.poll() is None
        running.wait_for("the store can be used again")
        outcome_is(fleet, "promoted", "warm")
    assert load.failures == []
    assert_once_each(fleet)
    done = stopped(running)
    assert done.err.count("Nothing moves until it can be used") <= 2, "not five times a second"


def test_a_server_that_dies_on_a_full_disk_is_followed_by_one_that_goes_on(fleet: Fleet) -> None:
    """After the disk was full, the journal does not say where the rollout was."""
    fleet.change(traffic={"soak": "3s"})
    running = serve(fleet)
    handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50", running)
    with full_disk(running):
        running.wait_for("Nothing moves until it can be used")
        running.signal(signal.SIGKILL)
        running.wait()
    assert fleet.weights == {"blue": 50, "green": 50}
    second = serve(fleet)
    outcome_is(fleet, "promoted", "warm")
    assert_once_each(fleet)
    stopped(second)


def test_a_rollback_while_the_disk_of_the_server_is_full(fleet: Fleet) -> None:
    """The way back needs what is broken."""
    fleet.change(**LONG)
    running = serve(fleet)
    with fleet.load(pause_s=0.02) as load:
        handed_over(fleet)
        fleet.wait_reached("waiting", "live:1:50", running)
        with full_disk(running):
            running.wait_for("Nothing moves until it can be used")
            done = fleet.rollout("rollback", SERVICE, "--reason", "errors", "--no-wait")
            assert done.code == 0, done
            assert fleet.weights == {"blue": 100, "green": 0}
        outcome_is(fleet, "rolled_back", "rolled_back")
    assert load.failures == []
    stopped(running)


# A person's hand, through the real command line


def in_json(fleet: Fleet, *arguments: str) -> dict[str, Any]:
    """One document of a command that went well."""
    done = fleet.rollout(*arguments, "--json")
    assert done.code == 0, (arguments, done)
    document: dict[str, Any] = json.loads(done.out)
    return document


def test_pause_and_resume(fleet: Fleet) -> None:
    """Somebody says stop, and traffic moves on; or it never goes on again."""
    fleet.change(traffic={"soak": "2s"})
    running = serve(fleet)
    rollout = handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50", running)
    told = in_json(fleet, "pause", SERVICE, "--reason", "lunch")
    assert (told["id"], told["paused"]) == (rollout, True) and told["write_timeout_s"] > 0
    fleet.wait_reached("waiting", "paused:", running)
    assert fleet.weights == {"blue": 50, "green": 50}
    status = fleet.status()
    assert status["paused"]["reason"] == "lunch" and status["next"] == f"rollout resume {rollout}"
    again = fleet.rollout("pause", rollout)
    assert again.code == 2 and "paused already by" in again.err, again
    assert in_json(fleet, "resume", rollout, "--no-wait")["id"] == rollout
    outcome_is(fleet, "promoted", "warm")
    assert_once_each(fleet)
    assert fleet.rollout("pause", "nonsense").code == 2
    stopped(running)


def test_pause_in_words(fleet: Fleet) -> None:
    """Nobody knows what a pause does not stop."""
    fleet.change(**LONG)
    running = serve(fleet)
    rollout = handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50", running)
    done = fleet.rollout("pause", SERVICE)
    assert done.code == 0 and f"paused {rollout}" in done.out and "it is watched" in done.out, done
    assert f"rollout resume {rollout}" in done.out
    done = fleet.rollout("abort", rollout, "--reason", "enough")
    assert done.code == 0, done
    closed = fleet.rollout("pause", rollout)
    assert closed.code == 2 and "is closed already" in closed.err, closed
    stopped(running)


def test_hold_and_release(fleet: Fleet) -> None:
    """A deployment and a rollout work on one service."""
    unsaid = fleet.rollout("hold", SERVICE)
    assert unsaid.code == 2 and "--reason" in unsaid.err, unsaid
    for until in ("soon", "2020-01-01"):
        wrong = fleet.rollout("hold", SERVICE, "--reason", "x", "--until", until)
        assert wrong.code == 2 and "Traceback" not in wrong.err, wrong
    told = in_json(fleet, "hold", SERVICE, "--reason", "release 7", "--until", "2h")
    assert told["held"] is True
    refused = fleet.rollout("start", SERVICE, "--image", "base-2")
    assert refused.code == 6 and "release 7" in refused.err, refused
    assert f"rollout hold {SERVICE} --release" in refused.err
    assert in_json(fleet, "hold", SERVICE, "--release") == {"service": SERVICE, "released": True}
    assert in_json(fleet, "hold", SERVICE, "--release") == {"service": SERVICE, "released": False}
    fleet.change(**LONG)
    running = serve(fleet)
    handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50", running)
    busy = fleet.rollout("hold", SERVICE, "--reason", "release 8")
    assert busy.code == 6 and "has an open rollout" in busy.err, busy
    stopped(running)


def test_a_hold_keeps_the_old_side_until_it_is_released(fleet: Fleet) -> None:
    """The old side is deleted in the middle of a deployment."""
    fleet.change(keep_warm="3s")
    running = serve(fleet)
    handed_over(fleet)
    outcome_is(fleet, "promoted", "warm")
    in_json(fleet, "hold", SERVICE, "--reason", "release 7")
    fleet.wait_reached("waiting", "held", running)
    assert len(fleet.instances("blue")) == 1
    in_json(fleet, "hold", SERVICE, "--release")
    outcome_is(fleet, "promoted", "retired")
    assert fleet.instances("blue") == []
    stopped(running)


def test_approve(fleet: Fleet) -> None:
    """A rollout is approved by the one who wants it, or by nobody."""
    fleet.change(approval="required")
    running = serve(fleet)
    rollout = handed_over(fleet)
    outcome_is(fleet, "waiting_approval")
    alone = fleet.rollout("approve", rollout)
    assert alone.code == 2 and "somebody else has to approve it" in alone.err, alone
    with closing(sqlite3.connect(fleet.state / "rollout.db", timeout=10)) as db:
        db.execute("UPDATE rollouts SET actor = 'somebody@elsewhere'")
        db.commit()
    assert in_json(fleet, "approve", rollout) == {"id": rollout, "approved": True}
    outcome_is(fleet, "promoted", "warm")
    late = fleet.rollout("approve", rollout)
    assert late.code == 2 and "does not wait for approval" in late.err, late
    stopped(running)


def test_adopt(fleet: Fleet) -> None:
    """A rollout that nobody wants any more cannot be ended without moving traffic."""
    running = serve(fleet)
    unsaid = fleet.rollout("adopt", SERVICE)
    assert unsaid.code == 2 and "--reason" in unsaid.err, unsaid
    with fleet.load(pause_s=0.02) as load:
        rollout = handed_over(fleet)
        outcome_is(fleet, "promoted", "warm")
        done = fleet.rollout("adopt", SERVICE, "--reason", "it is right so", "--json")
    assert done.code == 0 and done.last["id"] == rollout, done
    assert (done.last["phase"], done.last["outcome"]) == ("adopted", "promoted")
    assert load.failures == [] and fleet.weights == {"blue": 0, "green": 100}
    assert fleet.instances("blue") == [] and len(fleet.instances("green")) == 1
    assert_once_each(fleet)
    refused = fleet.rollout("rollback", SERVICE, "--reason", "x")
    assert refused.code == 5 and "a person took what serves as it is" in refused.err, refused
    assert fleet.weights == {"blue": 0, "green": 100}
    assert fleet.rollout("start", SERVICE, "--image", "base-3").code == 0
    assert fleet.weights == {"blue": 100, "green": 0}
    stopped(running)


def test_adopt_refuses_split_traffic(fleet: Fleet) -> None:
    """Half of the users lose their side."""
    fleet.change(**LONG)
    running = serve(fleet)
    rollout = handed_over(fleet)
    fleet.wait_reached("waiting", "live:1:50", running)
    done = fleet.rollout("adopt", rollout, "--reason", "x", "--force")
    assert done.code == 5 and "served by both slots" in done.err, done
    assert fleet.weights == {"blue": 50, "green": 50} and fleet.status()["outcome"] == "running"
    stopped(running)


def test_adopt_after_the_store_was_lost(fleet: Fleet) -> None:
    """After a lost store the service can never be patched again."""
    fleet.promoted()
    for each in fleet.state.glob("rollout.db*"):
        each.unlink()
    done = fleet.rollout("adopt", SERVICE, "--reason", "the store was lost")
    assert done.code == 0 and "green serves" in done.out, done
    assert fleet.weights == {"blue": 0, "green": 100}
    assert fleet.rollout("adopt", SERVICE, "--reason", "once more").code == 0
    done = fleet.rollout("start", SERVICE, "--image", "base-3")
    assert done.code == 0, done
    assert fleet.weights == {"blue": 100, "green": 0}

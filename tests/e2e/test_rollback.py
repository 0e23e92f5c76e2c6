"""`rollout rollback`: traffic back with one short command, whatever else is broken."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from tests.e2e.kit import PROGRAM, SERVICE, Fleet, environment, wait_until

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
    assert waited.code == 0 and "Traceback" not in waited.err, waited
    assert "Traffic is back; the rest waits for the store" in waited.err
    assert warm.weights == BACK
    assert (warm.state / "rollout.db").exists() is (broken == "corrupt"), "an empty one hides that the other is gone"


def test_what_is_only_on_file_is_no_success(warm: Fleet) -> None:
    """The balancer died and its port is taken: nobody is served, and the engineer goes back to bed."""
    host, _, port = json.loads((warm.balancer / "config.json").read_text())["listen"].rpartition(":")
    for who in ("parent", "worker"):
        os.kill(warm.pid_of(who), signal.SIGKILL)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wait_until(lambda: taken.connect_ex((host, int(port))) != 0, "nobody listens any more")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, int(port)))
        taken.listen()
        done = warm.rollout("rollback", SERVICE, "--no-wait")
    assert done.code == 5, done
    assert "nobody serves by that" in done.err and f"port {port}" in done.err
    assert done.err.rstrip().endswith(f"which is harmless: rollout rollback {SERVICE}")
    again = warm.rollout("rollback", SERVICE, "--no-wait")
    assert again.code == 0, again
    assert warm.weights == BACK


def test_a_lost_connection_ends_nothing(warm: Fleet) -> None:
    """The terminal of the engineer goes away with its reader, in the middle: traffic stays on the bad side."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [*PROGRAM, "rollback", SERVICE, "--no-wait"]
    process = subprocess.Popen(command, cwd=warm.folder, env=environment(warm.folder), stdout=writes, stderr=writes)
    os.close(writes)
    assert process.wait(30) == 0
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
    assert warm.instances("green") or warm.healthy("blue"), done
    if done.code == 0:
        wait_until(lambda: warm.healthy("blue"), "what was launched anew serves")
    else:
        assert (done.code, bool(warm.instances("green"))) == (5, True), done


def test_after_the_window(written: Fleet) -> None:
    """Traffic would be sent to a side that was given up; or the only way back left would be to read the manual."""
    written.change(keep_warm="0s")
    written.up()
    written.promoted()
    assert written.rollout("resume", SERVICE).code == 0
    refused = written.rollout("rollback", SERVICE, "--no-cold")
    assert refused.code == 5, refused
    assert "Traffic stays on green" in refused.err
    assert f"rollout start {SERVICE} --image" in refused.err
    assert written.weights == {"blue": 0, "green": 100}
    before = written.rollout("rollback", SERVICE, "--json")
    assert (before.code, len(before.objects)) == (5, 1)
    command = before.last["next"].split()
    assert command[:3] == ["rollout", "start", SERVICE] and command[-1] == "--cold"

    written.change(approval="required")
    assert written.rollout("deny", SERVICE, before.last["image"], "--reason", "an old hole").code == 0
    assert written.rollout("freeze", "on", "--reason", "incident").code == 0
    with written.load() as load:
        cold = written.rollout("rollback", SERVICE, "--reason", "checkout is down")
    assert cold.code == 0, cold
    assert "going back cold: blue is stood up again from sha256:" in cold.err and "last time that took" in cold.err
    assert load.failures == []
    assert written.weights == BACK
    row = written.status()
    opened = next(data for _, kind, _, data in written.entries() if kind == "opened")
    assert (row["image"], opened["reason"]) == (before.last["image"], "checkout is down")
    assert [step for _, kind, step, _ in written.entries() if kind == "done" and step.startswith("swap")] == [
        "swap:1:100"
    ]


def test_with_the_balancer_dead(warm: Fleet) -> None:
    """When everything is down at once, the way back must still work, and bring the balancer up."""
    for who in ("parent", "worker"):
        os.kill(warm.pid_of(who), signal.SIGKILL)
    done = warm.rollout("rollback", SERVICE)
    assert done.code == 0, done
    assert warm.weights == BACK


# Two people, a server, and a disk


def test_two_people_at_once(warm: Fleet) -> None:
    """Both press the button: one of them undoes the other, or ends in red although traffic is back."""
    with warm.load() as load:
        both = [warm.begin("rollback", SERVICE, "--no-wait", "--reason", reason) for reason in ("one", "two")]
        ended = [running.wait() for running in both]
    assert [done.code for done in ended] == [0, 0], ended
    assert warm.weights == BACK and load.failures == []
    decided = [data for _, kind, _, data in warm.entries() if kind == "roll_back_decided"]
    assert len(decided) == 1 and decided[0]["reason"] in ("one", "two")
    rest = warm.rollout("resume", SERVICE, "--json")
    assert (rest.code, rest.last["outcome"]) == (0, "rolled_back"), rest


def test_through_the_running_server(warm: Fleet) -> None:
    """`rollout serve` has everything loaded, and nobody asks it; or what it says does not reach the engineer."""
    serving = warm.begin("serve")
    wait_until((warm.state / "hotline.sock").exists, "the server listens")
    done = warm.rollout("rollback", SERVICE, "--reason", "odd")
    assert done.code == 0, done
    assert "asking" in done.err and "all new traffic is on blue" in done.err and "going on directly" not in done.err
    assert warm.weights == BACK
    serving.signal(signal.SIGTERM)
    serving.wait()
    assert warm.status()["outcome"] == "rolled_back"
    assert warm.status()["reason"] == "odd"


def test_with_the_server_frozen(warm: Fleet) -> None:
    """A server that accepts and never answers keeps traffic on the bad side."""
    serving = warm.begin("serve")
    wait_until((warm.state / "hotline.sock").exists, "the server listens")
    serving.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        running = warm.begin("rollback", SERVICE, "--no-wait")
        wait_until(lambda: warm.weights == BACK, "traffic is back")
        took = time.monotonic() - began
        done = running.wait()
    finally:
        serving.signal(signal.SIGCONT)
    assert done.code == 0, done
    assert "going on directly" in done.err
    assert took < 10, "a second for the server, a moment for the store, and the machine's own load"
    serving.signal(signal.SIGTERM)
    serving.wait()


def test_with_a_full_disk(warm: Fleet) -> None:
    """Nothing can be written, neither the store nor the spool nor the mark: traffic stays on the bad side."""
    line = 'ulimit -f 0; exec "$@"'
    command = ["/bin/sh", "-c", line, "sh", *PROGRAM, "rollback", SERVICE, "--no-wait", "--config", str(warm.config)]
    full = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment(warm.folder))
    assert warm.weights == BACK, full.stderr
    assert full.returncode == 5, full.stderr
    assert "all new traffic is on blue, read back, but the hold mark with it was not confirmed" in full.stderr
    assert "Traceback" not in full.stderr
    again = warm.rollout("rollback", SERVICE, "--no-wait")
    assert again.code == 0, again


def test_the_first_line_comes_at_once(warm: Fleet) -> None:
    """The engineer does not know whether the command has begun."""

    def first_byte_s(*command: str) -> float:
        began = time.perf_counter()
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(warm.folder)) as process:
            assert process.stderr is not None
            os.read(process.stderr.fileno(), 1)
            took = time.perf_counter() - began
            process.stderr.read()
        return took

    drill = (*PROGRAM, "rollback", SERVICE, "--drill", "--config", str(warm.config))
    bare = (sys.executable, "-c", "import sys; sys.stderr.write('x')")
    seconds = [(first_byte_s(*bare), first_byte_s(*drill)) for _ in range(9)]
    nothing, first = (min(each) for each in zip(*seconds, strict=True))
    assert first < max(0.1, 8 * nothing), "0.1 s, or more where even a program that does nothing is that slow"


def test_an_address_leads_to_its_service(warm: Fleet) -> None:
    """The alarm names an address, and somebody has to find out whose it is."""
    done = warm.rollout("rollback", f"127.0.0.1:{warm.port}", "--no-wait")
    assert done.code == 0, done
    assert f"is of {SERVICE}" in done.err and warm.weights == BACK


def test_all_of_one(warm: Fleet) -> None:
    """The command for the worst night is tried for the first time in it."""
    done = warm.rollout("rollback", "--all", "--reason", "worst night")
    assert done.code == 0, done
    assert warm.weights == BACK and "all 1 services are back" in done.err

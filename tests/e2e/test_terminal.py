"""What people see while a rollout runs: in a real terminal, in a log, in a pipe; from who drives it and who watches."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pexpect
import pytest

from tests.e2e.kit import PATIENCE_S, PROGRAM, SERVICE, Fleet, environment, wait_until

pytestmark = pytest.mark.e2e
LONG = {"traffic": {"soak": "60s"}}
A_WHILE = {"traffic": {"soak": "3s"}}


@contextmanager
def terminal(fleet: Fleet, *arguments: str, columns: int = 100, **variables: str) -> Iterator[pexpect.spawn[str]]:
    """The program in a terminal of its own, gone afterwards; without colours, so that what it shows can be found."""
    child: pexpect.spawn[str] = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], *arguments, "--config", str(fleet.config)],
        env={**environment(fleet.folder), "TERM": "xterm-256color", "NO_COLOR": "1", **variables},
        encoding="utf-8",
        timeout=PATIENCE_S / 2,
        dimensions=(30, columns),
    )
    try:
        yield child
    finally:
        child.close(force=True)


def ended(child: pexpect.spawn[str]) -> tuple[int | None, str]:
    """The exit code, and what it said since it was last asked."""
    child.expect(pexpect.EOF)
    said = str(child.before or "")
    child.wait()
    return child.exitstatus, said


def visible(text: str) -> str:
    """Without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def shifting(fleet: Fleet) -> None:
    """Wait until half of the traffic is on the replacement."""
    fleet.wait_reached("waiting", "live:1:50")


# Who drives


def test_a_rollout_is_seen_as_it_goes_in_a_narrow_terminal(fleet: Fleet) -> None:
    """In half of a split screen a rollout is garbage, or nothing tells whether requests fail."""
    fleet.change(**A_WHILE)
    with fleet.load(), terminal(fleet, "start", SERVICE, "--image", "base-2", columns=60) as child:
        child.expect("side +traffic requests failed  per s in flight")
        child.expect(r"pass    balancer +\d+ s ago  1 targets healthy")
        child.expect(r"waits   live:1:50: \d+ passes \(2 needed\), \d of 3 s, \d+ s left")
        child.expect(r"back    rollout rollback shop")
        child.expect(r"blue  original +\d+ % +[1-9]\d*")
        code, said = ended(child)
    assert code == 0
    assert "green 100 %" in said.strip().splitlines()[-1]
    drawn = [
        line for part in visible(said).split("\n") for line in part.split("\r") if line.startswith(("waits", "back"))
    ]
    assert drawn and all(len(line) <= 60 for line in drawn), drawn
    assert "Traceback" not in said
    assert said.rstrip().rfind("\x1b[?25h") > said.rfind("\x1b[?25l"), "the cursor is there again"


def test_the_result_replaces_the_picture(fleet: Fleet) -> None:
    """The end of a rollout is told twice, and the older picture is taken for the newer."""
    with terminal(fleet, "start", SERVICE, "--image", "base-2") as child:
        _, said = ended(child)
    tail = said[said.rfind("\x1b[?25h") :]
    assert "way back rollout rollback shop until" in tail
    assert "in flight" not in tail and "back    rollout" not in tail


def test_no_colours_but_a_picture(fleet: Fleet) -> None:
    """Who sets NO_COLOR gets colours, or loses the view."""
    with terminal(fleet, "start", SERVICE, "--image", "base-2", NO_COLOR="1") as child:
        _, said = ended(child)
    assert "back    rollout rollback shop" in said
    assert not re.search(r"\x1b\[[0-9;]*m", said)
    with terminal(fleet, "status", SERVICE, "--watch", NO_COLOR="") as child:
        child.expect("\x1b\\[1mrollout rollback shop")


def test_a_dumb_terminal_gets_lines(fleet: Fleet) -> None:
    """An editor's shell window, a serial console and a screen reader get control characters."""
    with terminal(fleet, "start", SERVICE, "--image", "base-2", TERM="dumb") as child:
        code, said = ended(child)
    assert code == 0
    assert "\x1b" not in said and said.count("waiting: live:1:50") == 1


def test_without_a_terminal_there_are_lines(fleet: Fleet) -> None:
    """A CI job's log is full of pictures."""
    done = fleet.rollout("start", SERVICE, "--image", "base-2")
    assert done.code == 0
    assert "\x1b" not in done.err + done.out and "in flight" not in done.err
    assert done.err.count("waiting: live:1:50") == 1


def test_json_lines_have_traffic_and_end_with_the_result(fleet: Fleet) -> None:
    """A pipeline that follows a rollout never learns whether requests fail, or cannot tell the result."""
    fleet.change(**A_WHILE)
    with fleet.load():
        done = fleet.rollout("start", SERVICE, "--image", "base-2", "--json")
    events = [each for each in done.objects if "event" in each]
    traffic = [each for each in events if each["event"] == "traffic"]
    assert {"opened", "entered", "looked", "traffic", "done"} <= {each["event"] for each in events}
    assert traffic[-1]["sides"]["blue"]["requests"] > 0 and traffic[-1]["sides"]["green"]["role"] == "replacement"
    assert {each["id"] for each in events} == {done.last["id"]}
    assert "event" not in done.last and done.last["outcome"] == "promoted"


def test_a_terminal_that_vanishes_turns_back(fleet: Fleet) -> None:
    """The view fails in a closed terminal, and takes the way back with it."""
    fleet.change(**LONG)
    with terminal(fleet, "start", SERVICE, "--image", "base-2") as child:
        child.expect("back    rollout rollback shop")
        shifting(fleet)
        opened: Any = child
        opened.ptyproc.fileobj.close()
        wait_until(lambda: fleet.weights == {"blue": 100, "green": 0}, "traffic is back")
        wait_until(lambda: fleet.reached("closed"), "the rest is done, too")
    assert fleet.instances("green") == []


def test_a_frozen_balancer_does_not_stop_ctrl_c(fleet: Fleet) -> None:
    """The view waits for what does not answer, and Ctrl-C is heeded when that comes back."""
    fleet.change(**LONG)
    with terminal(fleet, "start", SERVICE, "--image", "base-2") as child:
        shifting(fleet)
        child.expect("back    rollout rollback shop")
        frozen = fleet.pid_of("worker")
        subprocess.run(["kill", "-STOP", str(frozen)], check=True)
        try:
            child.expect("traffic unknown: Transient")  # the readings hang, one after the other
            child.sendintr()
            child.expect("interrupted: putting traffic back", timeout=2)
        finally:
            subprocess.run(["kill", "-CONT", str(frozen)], check=True)
        code, _ = ended(child)
    assert code == 130
    assert fleet.weights == {"blue": 100, "green": 0}


# Who watches


def test_a_watcher_sees_what_another_process_does_to_the_end(fleet: Fleet) -> None:
    """Two people on call: the second one sees nothing, or gets in the way of the first."""
    fleet.change(**A_WHILE)
    driver = fleet.begin("start", SERVICE, "--image", "base-2", "--json")
    shifting(fleet)
    with terminal(fleet, "status", SERVICE, "--watch", columns=80) as child:
        child.expect(f"driven by process {driver.pid} on")
        child.expect("waits   live:")
        child.expect("promoted; the old side stays warm")
        done = driver.wait()
        assert done.code == 0
        child.expect("nobody drives it")
        ender = fleet.begin("start", SERVICE, "--image", "base-3", "--end-warm", "--json")
        code, said = ended(child)
        assert ender.wait().code == 0
    assert code == 0, "as `start` would have ended"
    assert "promoted (retired)" in said
    assert not [entry for entry in fleet.entries(done.last["id"]) if entry[1] in ("roll_back_decided", "halted")]


def test_a_watcher_ends_as_the_rollout_does(fleet: Fleet) -> None:
    """A script that waits for a rollout takes a rollback for a success."""
    fleet.image("faulty", behaves="faulty")
    fleet.change(checks={"live": ["failed_responses"]}, **A_WHILE)
    with fleet.load():
        driver = fleet.begin("start", SERVICE, "--image", "faulty")
        shifting(fleet)
        watcher = fleet.begin("status", SERVICE, "--watch", "--json")
        done, drove = watcher.wait(), driver.wait()
    assert (done.code, drove.code) == (4, 4)
    assert done.last["outcome"] == "rolled_back" and "event" not in done.last
    events = done.objects[:-1]
    seqs = [each["seq"] for each in events if "seq" in each]
    assert seqs == list(range(1, len(seqs) + 1)), "all of it, each once"
    assert {"traffic", "looked", "roll_back_decided", "closed"} <= {each["event"] for each in events}


def test_ctrl_c_of_a_watcher_changes_nothing(fleet: Fleet) -> None:
    """Whoever stops looking stops the rollout."""
    fleet.change(**LONG)
    driver = fleet.begin("start", SERVICE, "--image", "base-2")
    shifting(fleet)
    before = [entry for entry in fleet.entries() if entry[1] != "verdict_changed"]
    with terminal(fleet, "status", SERVICE, "--watch") as child:
        child.expect("waits   live:1:50")
        asked = time.monotonic()
        child.sendintr()
        code, said = ended(child)
        assert time.monotonic() - asked < 2.0
    assert code == 130
    assert not re.search("Traceback|interrupted|left at once", said)
    assert driver.process.poll() is None and fleet.weights == {"blue": 50, "green": 50}
    assert [entry for entry in fleet.entries() if entry[1] != "verdict_changed"] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_watcher_is_stopped_by_any_signal(fleet: Fleet, number: signal.Signals) -> None:
    """A watcher in a closed window stays for ever, or complains into a log."""
    fleet.promoted()
    watcher = fleet.begin("status", "--watch") if number == signal.SIGINT else fleet.begin("status", SERVICE, "--watch")
    watcher.wait_for("promoted")
    watcher.signal(number)
    done = watcher.wait()
    assert done.code == 130 and done.out == "" and "Traceback" not in done.err


def test_a_watcher_that_nobody_reads_ends(fleet: Fleet) -> None:
    """`rollout status --watch --json | head -1` never comes back while nothing happens."""
    fleet.promoted()
    command = shlex.join([*PROGRAM, "status", SERVICE, "--watch", "--json", "--config", str(fleet.config)])
    piped = ["bash", "-c", f"{command} | head -n 1"]
    done = subprocess.run(
        piped, env=environment(fleet.folder), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert json.loads(done.stdout)["event"] == "opened"
    assert "Traceback" not in done.stderr


def test_a_busy_store_does_not_end_the_watching(fleet: Fleet) -> None:
    """A backup that locks the store's file ends every view of it, and Ctrl-C waits for the backup."""
    rollout = fleet.promoted()["id"]
    with terminal(fleet, "status", rollout, "--watch") as child:
        child.expect("nobody drives it")
        with closing(sqlite3.connect(fleet.state / "rollout.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            child.expect(r"promoted \(warm\)")
            child.sendintr()
            code, said = ended(child)
    assert code == 130 and "Traceback" not in said


def test_the_whole_fleet_can_be_watched(written: Fleet) -> None:
    """Somebody on call cannot leave a view open that shows whatever begins next."""
    with terminal(written, "status", "--watch", columns=60) as child:
        child.expect("no rollouts yet; begin with: rollout plan SERVICE")
        assert not (written.state / "rollout.db").exists(), "looking makes nothing"
        written.up()
        rollout = written.promoted()["id"]
        child.expect(rf"{rollout}  promoted \(warm\)  20")
        child.expect("way back rollout rollback shop until")
        child.expect("nobody watches")
        child.sendintr()
        code, said = ended(child)
    assert code == 130 and "Traceback" not in said


def test_the_list_names_reason_holder_and_server(fleet: Fleet) -> None:
    """At night the list does not say why a patch was made, and what puts it back."""
    fleet.rollout("start", SERVICE, "--image", "base-2", "--reason", "CVE-2026-1")
    done = fleet.rollout("status")
    assert re.search(r"opened   by \S+: CVE-2026-1", done.out)
    assert "way back rollout rollback shop until" in done.out
    assert re.search(r"traffic  blue 0 %, green 100 % \(base-2 sha256:\w{12}\)", done.out)

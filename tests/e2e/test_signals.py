"""Ctrl-C, SIGTERM and a closed terminal: answered at once, and traffic is left on a side that can serve."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pexpect
import pytest

from tests.e2e.kit import PATIENCE_S, PROGRAM, SERVICE, Fleet, environment, wait_until

pytestmark = pytest.mark.e2e
LONG = {"traffic": {"soak": "60s"}}


def shifting(fleet: Fleet) -> None:
    """Wait until half of the traffic is on the replacement."""
    fleet.wait_reached("waiting", "live:1:50")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_puts_traffic_back(fleet: Fleet, number: signal.Signals) -> None:
    """Ctrl-C, a CI job's cancellation or a lost connection would leave a half-tested patch serving."""
    fleet.change(**LONG)
    with fleet.load() as load:
        running = fleet.begin("start", SERVICE, "--image", "base-2")
        shifting(fleet)
        asked = time.monotonic()
        running.signal(number)
        running.wait_for("interrupted: putting traffic back")
        answered_s = time.monotonic() - asked
        done = running.wait()
    assert answered_s < 1.0
    assert done.code == 130, done
    assert "Traceback" not in done.err
    assert "rolled_back" in done.out
    assert "blue 100 %, green 0 %" in done.out.splitlines()[-1]
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []
    assert load.failures == []


def test_the_second_signal_leaves_at_once_and_resume_finishes(fleet: Fleet) -> None:
    """Somebody in a hurry could not get away, or what they left could not be finished."""
    fleet.change(**LONG)
    running = fleet.begin("start", SERVICE, "--image", "base-2")
    shifting(fleet)
    running.signal(signal.SIGINT)
    running.wait_for("interrupted: putting traffic back")
    asked = time.monotonic()
    running.signal(signal.SIGINT)
    done = running.wait()
    assert time.monotonic() - asked < 2.0
    assert done.code == 130, done
    assert "Traceback" not in done.err
    found = re.search(r"Finish it with: (rollout resume \S+)", done.err)
    assert found, done.err
    assert not fleet.reached("closed")
    done = fleet.rollout(*found[1].split()[1:], "--json")
    assert done.code == 4, done
    assert done.last["outcome"] == "rolled_back"
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []


def test_interrupted_before_traffic_moved(fleet: Fleet) -> None:
    """An early Ctrl-C would leave the mirror behind, or complain about a route that was never touched."""
    fleet.image("sick", behaves="sick")
    running = fleet.begin("start", SERVICE, "--image", "sick")
    fleet.wait_reached("waiting", "healthy", running)
    running.signal(signal.SIGINT)
    done = running.wait()
    assert done.code == 130, done
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.instances("green") == []
    assert fleet.rollout("deny", SERVICE, "--json").last["denied"] == {}, "an interrupt proves nothing of an image"


def test_interrupted_while_the_rest_of_a_rollback_is_done(fleet: Fleet) -> None:
    """Ctrl-C after the traffic is back would undo the rollback, or strand it."""
    fleet.promoted()
    running = fleet.begin("rollback", SERVICE)
    running.wait_for("the rest: giving the patched side up")
    running.signal(signal.SIGINT)
    running.wait()
    assert fleet.weights == {"blue": 100, "green": 0}
    assert fleet.rollout("resume", SERVICE).code in (0, 4)
    assert fleet.status()["phase"] == "rolled_back"


@contextmanager
def terminal(fleet: Fleet, *arguments: str, **variables: str) -> Iterator[pexpect.spawn[str]]:
    """The program in a terminal of its own, gone afterwards."""
    child: pexpect.spawn[str] = pexpect.spawn(
        PROGRAM[0],
        [*PROGRAM[1:], *arguments, "--config", str(fleet.config)],
        env={**environment(fleet.folder), "TERM": "xterm", **variables},
        encoding="utf-8",
        timeout=PATIENCE_S,
        dimensions=(24, 100),
    )
    try:
        yield child
    finally:
        child.close(force=True)


def test_ctrl_c_on_a_terminal(fleet: Fleet) -> None:
    """The key itself, which reaches every process of the terminal: instances must not die of it."""
    fleet.change(**LONG)
    with fleet.load() as load, terminal(fleet, "start", SERVICE, "--image", "base-2") as child:
        shifting(fleet)
        child.sendintr()
        child.expect("interrupted: putting traffic back", timeout=1)
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 130
        assert "Traceback" not in (child.before or "")
    assert fleet.weights == {"blue": 100, "green": 0}
    assert load.failures == []


def test_a_closed_terminal_puts_traffic_back(fleet: Fleet) -> None:
    """The connection to the jump host breaks, and a half-tested patch would go on serving unwatched."""
    fleet.change(**LONG)
    with terminal(fleet, "start", SERVICE, "--image", "base-2") as child:
        shifting(fleet)
        opened: Any = child
        opened.ptyproc.fileobj.close()  # the kernel sends SIGHUP, and writing fails from now on
        wait_until(lambda: fleet.weights == {"blue": 100, "green": 0}, "traffic is back")
        wait_until(lambda: fleet.reached("closed"), "the rest is done, too")
    assert fleet.instances("green") == []


def test_a_closed_pipe_does_not_strand_the_rollout(fleet: Fleet) -> None:
    """`rollout start … | head -1` would kill the driver in the middle, and call that success."""
    command = shlex.join([*PROGRAM, "start", SERVICE, "--image", "base-2", "--json", "--config", str(fleet.config)])
    piped = ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(piped, env=environment(fleet.folder), capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done
    assert fleet.status()["outcome"] == "promoted"
    assert fleet.weights == {"blue": 0, "green": 100}

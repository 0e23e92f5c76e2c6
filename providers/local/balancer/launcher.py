"""Starts and stops the balancer's processes from any command. Standard library only."""

from __future__ import annotations

import json
import os
import select
import signal
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from providers.local.balancer.answers import StateAnswer
from providers.local.balancer.client import SOCKET, BalancerClient, BalancerError
from providers.local.balancer.identity import Identity, end, recorded, wait_gone
from providers.local.balancer.log import LOG
from providers.local.balancer.store import lock_within

PARENT, WORKER, CRASHES, LAUNCH_LOCK = "parent.json", "worker.json", "crash.log", "launch.lock"
COMMAND = (sys.executable, "-P", "-m", "providers.local.balancer")
ROOT = Path(__file__).resolve().parents[3]


class LaunchError(Exception):
    """The balancer did not start, answer or stop; the message says why and where to look."""


def ensure_running(directory: Path, timeout_s: float) -> None:
    """Returns when the balancer of this folder answers; starts it if its parent is not alive.

    The folder must hold config.json and state.json. Safe when several commands call it at once.
    Raises LaunchError.
    """

    def start_if_gone(directory: Path, deadline: float) -> None:
        if recorded(directory / PARENT) is None:
            _start(directory, deadline)

    until_it_answers(directory, timeout_s, start_if_gone, BalancerClient, (LOG, CRASHES))


class Answers(Protocol):
    """A client, as far as it is needed to see that something answers."""

    def state(self) -> StateAnswer: ...


def until_it_answers(
    directory: Path,
    timeout_s: float,
    start_if_gone: Callable[[Path, float], None],
    client: Callable[[Path, float], Answers],
    logs: Sequence[str],
) -> None:
    """Start what is gone, ask it, and begin anew until it answers; LaunchError names these logs of the folder."""
    deadline = time.monotonic() + timeout_s
    directory = directory.absolute()
    if not directory.is_dir():
        raise LaunchError(f"{directory} is not there: the balancer was never set up")
    while True:
        with one_at_a_time(directory, deadline - time.monotonic()):
            start_if_gone(directory, deadline)
        try:
            client(directory, max(deadline - time.monotonic(), 0.05)).state()
            return
        except BalancerError as error:
            # It may have been dying while we looked; reading again is harmless.
            if time.monotonic() >= deadline:
                raise LaunchError(f"{error}; see {' and '.join(str(directory / log) for log in logs)}") from error
            time.sleep(0.02)


def stop(directory: Path, timeout_s: float) -> None:
    """End parent and worker and leave no process nor socket; requests in flight get the drain time.

    What has not ended within `timeout_s` is killed. Raises LaunchError if even that does not help.
    """
    directory = directory.absolute()
    if not directory.is_dir():
        return
    deadline = time.monotonic() + timeout_s
    with one_at_a_time(directory, timeout_s):
        parent = recorded(directory / PARENT)
        if parent is not None and not end(parent, signal.SIGTERM, deadline - time.monotonic()):
            _kill(parent)
        worker = recorded(directory / WORKER)
        # Without its parent the worker ends by itself.
        if worker is not None and not wait_gone(worker, max(deadline - time.monotonic(), 0.5)):
            _kill(worker)
        for name in (SOCKET, WORKER, PARENT):
            (directory / name).unlink(missing_ok=True)


def _start(directory: Path, deadline: float) -> None:
    hears, says = os.pipe()
    try:
        try:
            with (directory / CRASHES).open("ab") as crashes:
                subprocess.run(
                    [*COMMAND, "--dir", str(directory), "--ready", str(says)],
                    stdin=subprocess.DEVNULL,
                    stdout=crashes,
                    stderr=crashes,
                    start_new_session=True,
                    pass_fds=(says,),
                    env=_environment(),
                    timeout=max(deadline - time.monotonic(), 0.05),
                    check=False,
                )
        finally:
            os.close(says)
        poll = select.poll()  # select() takes no descriptor above 1023, and a server of many services has more
        poll.register(hears, select.POLLIN)
        said = os.read(hears, 65536) if poll.poll(max(deadline - time.monotonic(), 0.05) * 1000) else b""
    except subprocess.TimeoutExpired:
        said = b""
    finally:
        os.close(hears)
    if not said:
        raise LaunchError(f"the balancer in {directory} did not start; see {directory / CRASHES}")
    if problem := json.loads(said)["problem"]:
        raise LaunchError(f"the balancer in {directory} did not start: {problem}")


def _environment() -> dict[str, str]:
    # From a checkout the package has to be pointed out; an installed one is found by itself.
    if str(ROOT) in site.getsitepackages():
        return dict(os.environ)
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


@contextmanager
def one_at_a_time(directory: Path, timeout_s: float) -> Iterator[None]:
    """Only one command starts or stops the balancer of a folder. Raises LaunchError."""
    lock = os.open(directory / LAUNCH_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        lock_within(lock, timeout_s, "")
        yield
    except TimeoutError:
        raise LaunchError(f"another command is starting or stopping the balancer in {directory}") from None
    finally:
        os.close(lock)


def _kill(process: Identity) -> None:
    if not end(process, signal.SIGKILL, 5.0):
        raise LaunchError(f"process {process.pid} of the balancer cannot be killed")

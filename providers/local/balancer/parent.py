"""Holds the listening sockets and respawns the worker, so that a dead worker refuses nobody."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from providers.local.balancer.client import SOCKET
from providers.local.balancer.config import Config, ConfigError, load_config
from providers.local.balancer.identity import end, record, recorded
from providers.local.balancer.log import log_to
from providers.local.balancer.state import split_address
from providers.local.balancer.store import StateUnusable, load

PARENT, WORKER, LOCK, CRASHES = "parent.json", "worker.json", "parent.lock", "crash.log"
BACKLOG = 4096
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
LEFTOVER_S = 1.0
LONG_LIFE_S = 5.0
MAX_BACK_OFF_S = 2.0
MAX_CRASH_LOG = 256 * 1024


class StartError(Exception):
    """The balancer cannot start; the message says what stands in the way."""


class Parent:
    """Runs in the balancer's folder as working directory, so that the length of its path does not matter."""

    def __init__(self, directory: Path, config: Config, log: logging.Logger) -> None:
        self._directory, self._config, self._log = directory, config, log
        self._sockets: dict[str, socket.socket] = {}
        self._read_end, self._write_end = os.pipe()  # the worker sees its end when this process is gone
        self._quick_deaths = 0

    def open(self) -> None:
        """Bind everything and say who we are. Raises StartError, OSError."""
        self._sockets["traffic"] = self._bind("listen", self._config.listen)
        if self._config.test_listen is not None:
            self._sockets["test"] = self._bind("test_listen", self._config.test_listen)
        Path(SOCKET).unlink(missing_ok=True)  # of a dead parent: we hold parent.lock
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.bind(SOCKET)
        control.listen(BACKLOG)
        self._sockets["control"] = control
        record(Path(PARENT), os.getpid())
        self._log.info("parent listens on %s, test %s", self._config.listen, self._config.test_listen)

    def run(self) -> None:
        """Keep a worker alive until a signal asks to end. The signals must be blocked."""
        while True:
            began = time.monotonic()
            worker = self._spawn()
            while worker.poll() is None:
                if _wait_for_signal(1.0):
                    self._close(worker)
                    return
            self._note_death(worker, time.monotonic() - began)
            pause_until = time.monotonic() + self._back_off()
            while (left := pause_until - time.monotonic()) > 0:
                if _wait_for_signal(left):
                    self._close(None)
                    return

    def _spawn(self) -> subprocess.Popen[bytes]:
        _shorten(CRASHES)
        descriptors = {name: held.fileno() for name, held in self._sockets.items()}
        command = [sys.executable, "-P", "-m", "providers.local.balancer.worker", "--dir", "."]
        command += ["--sockets", json.dumps(descriptors), "--pipe", str(self._read_end)]
        worker = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(*descriptors.values(), self._read_end))
        try:
            record(Path(WORKER), worker.pid)
        except ProcessLookupError:
            self._log.warning("worker %d died before it could be recorded", worker.pid)
        return worker

    def _close(self, worker: subprocess.Popen[bytes] | None) -> None:
        for name in ("traffic", "test"):
            if name in self._sockets:
                self._sockets[name].close()
        if worker is not None:
            worker.terminate()
            try:
                worker.wait(self._config.drain_s + 2.0)
            except subprocess.TimeoutExpired:
                self._log.warning("worker %d did not end in time and is killed", worker.pid)
                worker.kill()
                worker.wait()
        for leftover in (SOCKET, WORKER, PARENT):
            Path(leftover).unlink(missing_ok=True)
        self._log.info("parent ends")

    def _note_death(self, worker: subprocess.Popen[bytes], lived_s: float) -> None:
        self._quick_deaths = self._quick_deaths + 1 if lived_s < LONG_LIFE_S else 0
        self._log.warning("worker %d ended with %s; starting another", worker.pid, worker.returncode)

    def _back_off(self) -> float:
        """Seconds; the first death costs none."""
        return 0.0 if self._quick_deaths < 2 else min(0.05 * 2.0**self._quick_deaths, MAX_BACK_OFF_S)

    def _bind(self, key: str, address: str) -> socket.socket:
        host, port = split_address(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        deadline = time.monotonic() + LEFTOVER_S
        while True:
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((host, port))
                listening.listen(BACKLOG)
                return listening
            except OSError as error:
                listening.close()
                # The worker of a parent that was killed gives its sockets up within moments.
                leftover = recorded(Path(WORKER))
                if leftover is None:
                    raise StartError(f"{key}: port {port} ({address}) cannot be taken: {error.strerror}") from None
                if time.monotonic() >= deadline:
                    end(leftover, signal.SIGKILL, LEFTOVER_S)
                time.sleep(0.01)


def main() -> int:
    """Exit status 0 after an orderly end, 1 when the start failed (said on stderr or down the ready pipe)."""
    parser = argparse.ArgumentParser(prog="python -m providers.local.balancer")
    parser.add_argument("--dir", type=Path, required=True, help="the balancer's folder")
    parser.add_argument("--ready", type=int, help=argparse.SUPPRESS)  # the launcher's pipe; go to background
    options = parser.parse_args()
    if options.ready is not None:
        os.set_inheritable(options.ready, False)
        if os.fork() > 0:  # nobody's child: whoever called the launcher gets no zombie
            os._exit(0)
    try:
        parent = _start(options.dir.absolute())
    except (StartError, ConfigError, StateUnusable, OSError) as error:
        _tell(options.ready, str(error))
        return 1
    _tell(options.ready, "")
    parent.run()
    return 0


def _start(directory: Path) -> Parent:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.umask(0o077)
    os.chdir(directory)
    config = load_config(directory)
    load(directory)  # a state that cannot be used is the caller's to know, not only the log's
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # held for as long as we live
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartError(f"another balancer runs in {directory}") from None
    parent = Parent(directory, config, log_to(Path()))
    parent.open()
    return parent


def _wait_for_signal(timeout_s: float) -> bool:
    """True when it asks to end; False for a child's death or after the time."""
    received = signal.sigtimedwait(SIGNALS, timeout_s)
    return received is not None and received.si_signo != signal.SIGCHLD


def _tell(ready: int | None, problem: str) -> None:
    if ready is None:
        if problem:
            sys.stderr.write(problem + "\n")
        return
    os.write(ready, json.dumps({"problem": problem}).encode())
    os.close(ready)


def _shorten(name: str) -> None:
    path = Path(name)
    if path.exists() and path.stat().st_size > MAX_CRASH_LOG:
        os.truncate(path, 0)

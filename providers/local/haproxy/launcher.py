"""Starts and stops HAProxy from any command: a daemon that outlives it. Standard library only.

Found again by what is on record (pid, start time, boot), else by the tag in its environment, so that one whose
starter was killed before it could write that down is not started twice.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path

from providers.local.balancer import store
from providers.local.balancer.client import SOCKET, BalancerError
from providers.local.balancer.config import Config, ConfigError, load_config
from providers.local.balancer.identity import Identity, end, record, recorded
from providers.local.balancer.launcher import CRASHES, LaunchError, one_at_a_time, until_it_answers
from providers.local.balancer.state import State, split_address
from providers.local.haproxy import program, stats
from providers.local.haproxy.cli import Cli, SocketLost
from providers.local.haproxy.client import PROCESS, HaproxyClient, disk_entry
from providers.local.haproxy.text import backend_of, render
from providers.local.haproxy.weights import MAP, entry_of, file_text

CFG, PID = "haproxy.cfg", "haproxy.pid"
TAG = "ROLLOUT_BALANCER"
FIRST_CHECKS_S = 1.0
LAST_S = 0.5
MAX_CRASH_LOG = 256 * 1024


def ensure_running(directory: Path, timeout_s: float) -> None:
    """Returns when the HAProxy of this folder answers; starts it if it is dead, or its socket is gone.

    Safe when several commands call it at once. Raises LaunchError.
    """

    def start_if_gone(directory: Path, deadline: float) -> None:
        running = find(directory)
        if running is None or _socket_lost(directory, deadline):
            _start(directory, deadline, running)

    until_it_answers(directory, timeout_s, start_if_gone, HaproxyClient, (CRASHES,))


def stop(directory: Path, timeout_s: float) -> None:
    """End all of it, those of earlier starts, too; requests in flight get the drain time. Raises LaunchError."""
    directory = directory.absolute()
    if not directory.is_dir():
        return
    deadline = time.monotonic() + timeout_s
    with one_at_a_time(directory, timeout_s):
        for process in _all(directory):
            _end(process, deadline, _drain_s(directory))
        for name in (SOCKET, PROCESS, PID):
            (directory / name).unlink(missing_ok=True)


def find(directory: Path) -> Identity | None:
    """The live HAProxy of this folder, None when there is none."""
    process = recorded(directory / PROCESS)
    if process is not None:
        return process
    # The oldest is no one's successor, and a starter that was killed left at most one.
    found = sorted(_tagged(directory), key=lambda each: (each.start, each.pid))
    if not found:
        return None
    record(directory / PROCESS, found[-1].pid)
    return found[-1]


def _all(directory: Path) -> list[Identity]:
    process, tagged = recorded(directory / PROCESS), _tagged(directory)
    return tagged if process is None or process in tagged else [process, *tagged]


def _tagged(directory: Path) -> list[Identity]:
    wanted = f"{TAG}={directory}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # another user's, or gone
            identity = Identity.of(int(entry.name)) if wanted in variables else None
            if identity is not None:
                found.append(identity)
    return found


def _socket_lost(directory: Path, deadline: float) -> bool:
    """It lives, and nobody can be told anything: another one has to take its place. A slow one is not replaced."""
    try:
        Cli(directory, deadline).ask("show version")
    except SocketLost:
        return True
    except BalancerError:
        return False
    return False


def _start(directory: Path, deadline: float, instead_of: Identity | None) -> None:
    """instead_of: takes its connections over; it ends when its last request is done."""
    try:
        config = load_config(directory)
        held = store.StateStore.open(directory, max(deadline - time.monotonic(), 0.05))
    except (ConfigError, store.StateUnusable, OSError, TimeoutError) as error:
        raise LaunchError(f"the balancer in {directory} did not start: {error}") from None
    try:
        _write_down(directory, config, held.state)
        if instead_of is None:
            _raise_if_taken(config)
        _run(directory, config, deadline, instead_of)
        _note(directory)
    except OSError as error:
        raise LaunchError(f"the balancer in {directory} did not start: {error}") from None
    finally:
        held.close()
    _await_first_checks(directory, deadline, held.state)


def _write_down(directory: Path, config: Config, state: State) -> None:
    """All that it starts with. A map that a person wrote stays; one that is damaged or behind is written anew."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    store.write_atomic(directory / CFG, render(config, state, most).encode())
    before, found = store.previous(directory), disk_entry(directory)
    if not found.plain or (before is not None and found == entry_of(before)):
        store.write_atomic(directory / MAP, file_text(entry_of(state)).encode())


def _raise_if_taken(config: Config) -> None:
    # HAProxy shares its ports with every other process of this user that shares them, too: another service's.
    for key, address in (("listen", config.listen), ("test_listen", config.test_listen)):
        if address is not None:
            host, port = split_address(address)
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise LaunchError(f"{key}: port {port} ({address}) cannot be taken: {error.strerror}") from None


def _run(directory: Path, config: Config, deadline: float, instead_of: Identity | None) -> None:
    path = config.program if config.program and os.access(config.program, os.X_OK) else program.find()
    if path is None:
        raise LaunchError(f"HAProxy is not installed here any more (it was {config.program}); install it again")
    command = [path, "-D", "-C", str(directory), "-f", CFG, "-p", PID]
    if instead_of is not None:
        command += ["-sf", str(instead_of.pid)]
    crashes = directory / CRASHES
    if crashes.exists() and crashes.stat().st_size > MAX_CRASH_LOG:
        os.truncate(crashes, 0)
    began = crashes.stat().st_size if crashes.exists() else 0
    with crashes.open("ab") as said:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
                umask=0o077,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", TAG: str(directory)},
                timeout=max(deadline - time.monotonic(), 0.05),
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LaunchError(f"HAProxy in {directory} did not start in time; see {crashes}") from None
    if done.returncode:
        raise LaunchError(f"the balancer in {directory} did not start: {_last_words(crashes, began, done.returncode)}")


def _last_words(crashes: Path, began: int, code: int) -> str:
    lines = [line.strip() for line in crashes.read_bytes()[began:].decode("utf-8", "replace").splitlines()]
    alerts = [line for line in lines if line.startswith("[ALERT]")] or lines
    return f"{alerts[0] if alerts else f'exit status {code}'}; see {crashes}"


def _note(directory: Path) -> None:
    try:
        record(directory / PROCESS, int((directory / PID).read_text().split()[0]))
    except (ValueError, IndexError, ProcessLookupError) as error:
        raise LaunchError(f"HAProxy in {directory} started and ended at once: {error}") from None


def _await_first_checks(directory: Path, deadline: float, state: State) -> None:
    # Who asks for the state may decide by it whether the side without traffic can serve.
    until = min(time.monotonic() + FIRST_CHECKS_S, deadline)
    wanted = sum(len(addresses) for addresses in state.targets.values())
    while time.monotonic() < until:
        try:
            found = stats.parse(Cli(directory, until).ask("show stat"))
        except (BalancerError, stats.Unreadable):
            return  # whoever asks next says why
        rows = [row for slot in state.targets for row in found.of(backend_of(slot)).values()]
        if sum(stats.judged(row) is not None for row in rows) >= wanted:
            return
        time.sleep(0.02)


def _drain_s(directory: Path) -> float:
    try:
        return load_config(directory).drain_s
    except ConfigError:
        return Config.drain_s


def _end(process: Identity, deadline: float, drain_s: float) -> None:
    left = max(deadline - time.monotonic(), 0.0)
    if end(process, signal.SIGUSR1, min(drain_s, max(left - LAST_S, 0.0))):
        return
    if not end(process, signal.SIGTERM, LAST_S) and not end(process, signal.SIGKILL, 5.0):
        raise LaunchError(f"process {process.pid} of the balancer cannot be killed")

"""Instances as processes of their own session: started, found again by tag, pid and start time, and stopped.

Nothing is signalled whose tag or start time does not match what is on record.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from providers.base import Clock, Instance, InstanceState, Invalid
from providers.local.balancer.identity import Identity
from providers.local.builds import Builds
from providers.local.records import Record, Records

INSTANCE, SERVICE = "ROLLOUT_INSTANCE", "ROLLOUT_SERVICE"
POLL_S = 0.02
KILL_S = 5.0
DYING_S = 0.2
LIVES_S = 1.0  # what serves on no port runs once it has lived so long: it did not exit at once
SAID_CHARS = 600
EXITED_AT_ONCE = "exited at once"
# How programs say that somebody else was faster: the number was free when it was chosen.
_PORT_TAKEN = re.compile(r"EADDRINUSE|\b(address|port|connection)\b.{0,40}\bin use\b", re.IGNORECASE)


@dataclass(frozen=True)
class Start:
    """How to start an instance: its arguments, variables (with secrets: never written down), limits."""

    argv: list[str]
    variables: Mapping[str, str]
    cwd: Path
    umask: int
    nofile: tuple[int, int]


class Processes:
    """The processes of one service. `tag` names service and state folder, so that fleets never meet."""

    def __init__(self, records: Records, builds: Builds, tag: str, clock: Clock) -> None:
        self._records, self._builds, self._tag, self._clock = records, builds, tag, clock
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, record: Record, start: Start) -> Record:
        """Start the process of a written record; a command that cannot be run is on record, not raised."""
        path = f"{Path(start.argv[0]).parent}:{os.defpath}" if "/" in start.argv[0] else os.defpath
        variables = {"PATH": path, "LANG": "C.UTF-8", "HOME": _home(), "PYTHONUNBUFFERED": "1"}
        variables |= {**start.variables, INSTANCE: record.id, SERVICE: self._tag}
        try:
            start.cwd.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._records.log(record), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab") as log:
                child = subprocess.Popen(
                    start.argv,
                    env=variables,
                    cwd=start.cwd,
                    umask=start.umask,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            written = replace(record, problem=f"cannot be started: {error.strerror}: {error.filename}")
        else:
            self._children[record.id] = child
            _limit(child.pid, start.nofile)
            identity = Identity.of(child.pid)
            written = record.started(identity) if identity else replace(record, problem=EXITED_AT_ONCE)
        self._records.write(written)
        return written

    def find(self, record: Record) -> psutil.Process | None:
        """The live process of an instance, also when its starter was killed before it wrote down the pid."""
        identity = record.identity
        if identity is None:
            return None if record.problem else self._leader(record)
        if not identity.alive:
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(identity.pid)
            # The identity is compared again last: from here on psutil itself refuses to signal a reused pid.
            if self._tagged(process) == record.id and identity.alive:
                return process
        return None

    def observe(self, record: Record, starting: bool) -> Instance:
        """The instance as it is. `starting`: somebody may be between writing the record and starting it."""
        self._reap(record)
        self._records.bound_log(record)
        process = self.find(record)
        if process is not None:
            with contextlib.suppress(psutil.Error):
                image, began = self.image(process), process.create_time()
                if record.stopping:
                    return _instance(record, "failed", image, "it was asked to stop", began)
                return _instance(record, self._phase(process, record, began), image, began=began)
        elif record.identity is None and not record.problem:
            if starting:
                return _instance(record, "starting", None)
            return _instance(record, "failed", None, "its start was interrupted")
        reason, own_fault = self._end(record)
        return _instance(record, "failed", None, reason, own_fault=own_fault)

    def all_of(self, record: Record) -> list[psutil.Process]:
        """The live processes of an instance: those with its tag, also if they were left behind, and their children."""
        found = {process.pid: process for process in self._members().get(record.id, [])}
        for process in list(found.values()):
            with contextlib.suppress(psutil.Error):
                found |= {child.pid: child for child in process.children(recursive=True)}
        return list(found.values())

    def image(self, process: psutil.Process) -> str | None:
        """The image that a process really runs: from its command line, else from its executable."""
        for text in [*process.cmdline(), process.exe()]:
            digest = self._builds.digest_in(text)
            if digest is not None:
                return digest
        return None

    def terminate(self, records: Iterable[Record]) -> None:
        """Ask each instance's whole group to end; returns at once."""
        for record in records:
            self._signal(record, signal.SIGTERM)

    def wait_or_kill(self, records: Iterable[Record], timeout_s: float) -> None:
        """Wait for the end of what was terminated, at most `timeout_s` in all; kill what is left."""
        left = self._left(records, timeout_s)
        for record in left:
            self._signal(record, signal.SIGKILL)
        self._left(left, KILL_S)

    def _left(self, records: Iterable[Record], timeout_s: float) -> list[Record]:
        deadline, left = self._clock.now() + timeout_s, list(records)
        while True:
            for record in left:
                self._reap(record)
            members = self._members()
            left = [record for record in left if members.get(record.id)]
            if not left or self._clock.now() >= deadline:
                return left
            self._clock.sleep(POLL_S)

    def _signal(self, record: Record, number: signal.Signals) -> None:
        leader = self.find(record)
        if leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader.pid, number)
        if leader is None or number is signal.SIGKILL:
            for process in self._members().get(record.id, []):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(number)

    def _leader(self, record: Record) -> psutil.Process | None:
        for process in self._members().get(record.id, []):
            with contextlib.suppress(OSError):
                if os.getsid(process.pid) == process.pid:
                    return process
        return None

    def _members(self) -> dict[str, list[psutil.Process]]:
        """All live processes that carry this service's tag, by instance."""
        found: dict[str, list[psutil.Process]] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                name = self._tagged(process)
                if name is not None and process.status() != psutil.STATUS_ZOMBIE:
                    found.setdefault(name, []).append(process)
        return found

    def _tagged(self, process: psutil.Process) -> str | None:
        variables = process.environ()
        return variables.get(INSTANCE) if variables.get(SERVICE) == self._tag else None

    def _reap(self, record: Record, wait_s: float = 0.0) -> None:
        child = self._children.get(record.id)
        if child is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(wait_s)
        if child.returncode is not None:
            del self._children[record.id]
            if (self._records.folder / f"{record.id}.json").exists():
                self._records.set_exit(record, child.returncode)

    def _phase(self, process: psutil.Process, record: Record, began: float) -> InstanceState:
        if record.listens:
            return "running" if _listens(process, record.port) else "starting"
        return "running" if self._clock.now() - began >= LIVES_S else "starting"

    def _end(self, record: Record) -> tuple[str, bool]:
        """Why an instance is no more, and whether that is its own fault: neither killed nor kept from its port."""
        if record.problem and record.problem != EXITED_AT_ONCE:
            return record.problem, False
        self._reap(record, DYING_S)  # a dying process shows nothing any more a moment before it can be reaped
        code, output = self._records.exit_code(record), self._records.output(record)
        if code is None:
            how = "its process is gone (nobody saw how it ended)"
        else:
            how = f"exited with code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        said = output.rpartition("\n")[2][-SAID_CHARS:]  # the last line names the error; the log has the rest
        own_fault = code is not None and _by_itself(code) and not record.stopping and not _PORT_TAKEN.search(output)
        return f"{how}: {said}" if said else how, own_fault


def _by_itself(code: int) -> bool:
    # A shell answers 128 + n for a command that signal n ended.
    return code > 0 and code - 128 not in set(signal.Signals)


def free_port(ports: range, used: set[int], start: int) -> int:
    """A port of the range that nobody has on record or listens on, from `start` on. Raises Invalid."""
    for step in range(len(ports)):
        port = ports[(start + step) % len(ports)]
        if port not in used and bindable(port):
            return port
    raise Invalid(f"no free port in {ports[0]}-{ports[-1]}; widen the option ports or stop what uses them")


def bindable(port: int, host: str = "127.0.0.1") -> bool:
    """Could somebody listen there now?"""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _listens(process: psutil.Process, port: int) -> bool:
    for member in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            for connection in member.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def _instance(
    record: Record,
    state: InstanceState,
    image: str | None,
    reason: str = "",
    began: float | None = None,
    own_fault: bool = False,
) -> Instance:
    return Instance(record.id, record.slot, state, image, record.address, reason, began, own_fault)


def _limit(pid: int, nofile: tuple[int, int]) -> None:
    # After the start, for running code of ours in the child is not safe beside threads. What could not be set
    # shows as a difference in the fingerprint.
    if hasattr(resource, "prlimit"):
        with contextlib.suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, nofile)


def _home() -> str:
    return pwd.getpwuid(os.getuid()).pw_dir

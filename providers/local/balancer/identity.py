"""Which process a recorded pid meant: pid, start time and boot together, so a reused pid is not ours."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from providers.local.balancer.store import write_atomic


@dataclass(frozen=True)
class Identity:
    """pid; start: clock ticks since boot at which it began; boot_id: of the running kernel."""

    pid: int
    start: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The live process with that pid; None when there is none or it is a zombie."""
        started = _start_time(pid)
        return None if started is None else cls(pid, started, _boot_id())

    @property
    def alive(self) -> bool:
        return Identity.of(self.pid) == self


def record(path: Path, pid: int) -> None:
    """Write who `pid` is. Raises OSError, ProcessLookupError."""
    identity = Identity.of(pid)
    if identity is None:
        raise ProcessLookupError(pid)
    write_atomic(path, json.dumps(asdict(identity)).encode() + b"\n")


def recorded(path: Path) -> Identity | None:
    """Who was recorded and is alive; None: no file, unreadable, dead, or the pid is another's now."""
    try:
        document = json.loads(path.read_bytes())
        identity = Identity(int(document["pid"]), int(document["start"]), str(document["boot_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return identity if identity.alive else None


def end(identity: Identity, sent: signal.Signals, timeout_s: float) -> bool:
    """Send a signal to exactly this process and wait; True when it is gone."""
    with _handle(identity) as handle:
        if handle is None:
            return True
        signal.pidfd_send_signal(handle, sent)
        return _gone(handle, timeout_s)


def wait_gone(identity: Identity, timeout_s: float) -> bool:
    """Wait for this process to end; True when it is gone."""
    with _handle(identity) as handle:
        return handle is None or _gone(handle, timeout_s)


@contextmanager
def _handle(identity: Identity) -> Iterator[int | None]:
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        # Compared after opening: from here on the handle cannot come to mean another process.
        yield handle if identity.alive else None
    finally:
        os.close(handle)


def _gone(handle: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    return bool(poll.poll(max(0, round((deadline - time.monotonic()) * 1000))))


def _start_time(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(b")")[2].split()
    return None if state in (b"Z", b"X") else int(rest[18])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

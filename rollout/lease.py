"""Who acts: a process, named so that another process on the same host can tell whether it is still alive.

Standard library only. A lease whose holder is provably dead here (boot id, pid, start time; a zombie is dead) is
taken at once; any other runs out by itself.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LEASE_S = 10.0
HEARTBEAT_S = 3.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A process on a host. `started` is the kernel's start time of the pid, empty where the kernel hides it.

    Machines that share a store may share a name, and containers a kernel: `machine` is the host's own id, empty where
    it has none, and `space` the kernel's name for the pids that are seen there (empty: an earlier release wrote it).
    """

    host: str
    boot: str
    pid: int
    started: str
    machine: str = ""
    space: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Holder:
        more = (data.get("machine", ""), data.get("space", ""))
        return cls(data["host"], data["boot"], data["pid"], data["started"], *more)


def this_process() -> Holder:
    pid = os.getpid()
    return Holder(socket.gethostname(), _boot_id(), pid, _start_time(pid) or "", _machine_id(), _pid_space())


def is_seen_here(holder: Holder) -> bool:
    """Whether its pid means the same process here as it does to itself."""
    same_kernel = bool(holder.boot) and (holder.host, holder.boot) == (socket.gethostname(), _boot_id())
    return same_kernel and holder.space in ("", _pid_space())


def is_provably_dead(holder: Holder) -> bool:
    """True only when this host can tell; a holder elsewhere, or one that cannot be judged, is not."""
    if not holder.boot or holder.host != socket.gethostname():
        return False
    if holder.boot != _boot_id():  # the host was started again since, unless it is another one of that name
        return not holder.space or bool(holder.machine and holder.machine == _machine_id())
    if not is_seen_here(holder):
        return False
    started = _start_time(holder.pid)
    return started is None or ("" not in (started, holder.started) and started != holder.started)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _machine_id() -> str:
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""


def _pid_space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """The pid's start time in kernel ticks; None when there is no such process or it is a zombie; "" unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if _is_gone(pid) else ""  # the kernel may hide other users' processes
    except OSError:
        return ""
    return None if fields[0] in "ZX" else fields[19]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False

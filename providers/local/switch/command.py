"""One of the owner's commands: started as an argument list, bounded in time, killed with its whole process group.

Standard library only.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
TAG = "ROLLOUT_SWITCH"
KEPT_BYTES = 4096
GONE_S = 5.0
POLL_S = 0.01


@dataclass(frozen=True)
class Ended:
    """code None: it did not end in time, or was killed, and what it did is unknown. started False: it did nothing.

    out: what it printed (the end of it). why: in words, empty where it ended with 0. seconds: how long it took.
    """

    code: int | None
    out: str = ""
    why: str = ""
    seconds: float = 0.0
    started: bool = True

    @property
    def good(self) -> bool:
        return self.code == 0


def run(
    argv: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    timeout_s: float,
    began: Callable[[int], None] = lambda pid: None,
) -> Ended:
    """Run one command to its end; never raises for what it does. `began` is told its pid, which is its group's too."""
    start = time.monotonic()
    fixed = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": pwd.getpwuid(os.getuid()).pw_dir}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # Files and no pipes: what a command leaves running must not keep us waiting for the end of its output.
        try:
            child = subprocess.Popen(
                list(argv),
                cwd=folder,
                env={**fixed, **variables},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            return Ended(None, "", f"cannot be started: {why}", started=False)
        try:
            began(child.pid)
            code: int | None = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        took = time.monotonic() - start
        said = _end_of(out)
        return _judged(code, said, _end_of(err) or said, took, timeout_s)


def _judged(code: int | None, out: str, said: str, took: float, timeout_s: float) -> Ended:
    last = said.strip().rpartition("\n")[2][:300]
    told = f": {last}" if last else ""
    if code is None:
        return Ended(None, out, f"did not end within {timeout_s:g} s and was killed{told}", took)
    if code < 0:
        return Ended(None, out, f"was ended by signal {-code}{told}", took)
    return Ended(code, out, f"ended with exit code {code}{told}" if code else "", took)


def _end_of(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - KEPT_BYTES))
    return file.read().decode(errors="replace")


def end_left_over(tag: str, group: int | None) -> bool:
    """Kill what is left of a command whose starter died: the processes with this tag in its group, or, where nobody
    wrote down which that is, of the session that it leads. True: nothing of it lives."""
    deadline = time.monotonic() + GONE_S
    while left := list(_left(tag, group)):
        if time.monotonic() >= deadline:
            return False
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL_S)
    return True


def _left(tag: str, group: int | None) -> Iterator[int]:
    wanted = f"{TAG}={tag}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        with suppress(OSError, ValueError):
            if (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                continue
            ours = os.getsid(pid) == pid if group is None else os.getpgid(pid) == group
            if ours and wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield pid

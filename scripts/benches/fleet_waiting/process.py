"""One process of ours, as a user would start it: what it uses, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0


class Process:
    """`rollout ARGUMENTS --config fleet.yaml`, from here until it has said its first word."""

    def __init__(self, fleet_file: Path, *arguments: str, **environment: str) -> None:
        path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
        self.said = fleet_file.with_name(f"said-{arguments[0]}-{time.monotonic_ns()}")
        self.began = time.monotonic()
        with self.said.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rollout", *arguments, "--config", str(fleet_file)],
                stdout=said,
                stderr=said,
                env={**os.environ, "PYTHONPATH": path, **environment},
            )
        while not self.said.stat().st_size:
            if self._process.poll() is not None or time.monotonic() - self.began > PATIENCE_S:
                self.kill()
                raise RuntimeError(f"{arguments} ended or said nothing: {self.said.read_text()}")
            time.sleep(0.02)
        self.ready_s = time.monotonic() - self.began

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """Seconds of CPU so far, of its own and of the system for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, which: str = "VmRSS") -> float:
        """VmRSS: now; VmHWM: at its peak."""
        (line,) = (each for each in Path(f"/proc/{self.pid}/status").read_text().splitlines() if each.startswith(which))
        return int(line.split()[1]) / 1024

    def kill(self) -> None:
        """As a lost host ends: at once."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

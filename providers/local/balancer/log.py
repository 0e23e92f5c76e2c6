"""balancer.log: short plain lines of parent and worker in one bounded file (the one before is .1)."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

LOG = "balancer.log"
MAX_BYTES = 512 * 1024


class SharedLog(logging.Handler):
    """Two processes write here, so each line opens the file, and the lock decides who turns it over."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
            self._append(line)
        except OSError:
            self.handleError(record)

    def _append(self, line: bytes) -> None:
        for _ in range(3):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not self._is_current(descriptor):
                    continue
                if os.fstat(descriptor).st_size + len(line) > MAX_BYTES:
                    self._path.replace(self._path.with_name(self._path.name + ".1"))
                    continue
                os.write(descriptor, line)
                return
            finally:
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        try:
            return self._path.stat().st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            return False


def log_to(directory: Path) -> logging.Logger:
    """The logger of this process, writing to `directory`/balancer.log; libraries' warnings go there too."""
    handler = SharedLog(directory / LOG)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logger = logging.getLogger("balancer")
    logger.setLevel(logging.INFO)
    return logger

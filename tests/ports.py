"""Ports that nobody listens on, and that nobody else of this run of the tests is given."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from itertools import cycle

ROW = 30
ROWS, SINGLES = range(10_000, 22_000, ROW), range(22_000, 32_000)
"""Below those that a system gives to clients: one may be taken by one before the server has it; or it connects to
itself there."""


def free_port() -> int:
    """One that is free now."""
    return next(port for port in _singles if is_free(port))


def free_row() -> int:
    """The first of ROW free ports in a row."""
    return next(first for first in _rows if all(is_free(port) for port in range(first, first + ROW)))


def is_free(port: int) -> bool:
    """Could a server listen there now?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _share(ports: range) -> Iterator[int]:
    """What belongs to this process of the run alone, in any order: one is given again after all others only."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    own = list(ports[int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) :: processes])
    random.SystemRandom().shuffle(own)
    return cycle(own)


_singles, _rows = _share(SINGLES), _share(ROWS)

"""Files that survive a crash: written aside, synced and renamed; and locks with a time limit."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from providers.base import Clock, Transient
from providers.local.balancer.store import write_atomic

POLL_S = 0.02


def read_json(path: Path) -> Any:
    """None when there is no such file. Raises ValueError for a damaged one."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def write_json(path: Path, document: object) -> None:
    """The old content or the new one, never a part; makes the folder (0700)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, json.dumps(document, indent=1, sort_keys=True).encode() + b"\n")


@contextmanager
def locked(path: Path, clock: Clock, timeout_s: float, complaint: str) -> Iterator[int]:
    """Hold an exclusive lock that the kernel takes back when we die; yields its descriptor.

    Raises Transient(complaint) after `timeout_s`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = clock.now() + timeout_s
        while not _taken(descriptor):
            if clock.now() >= deadline:
                raise Transient(complaint)
            clock.sleep(POLL_S)
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody holds that lock at this moment."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

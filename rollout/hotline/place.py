"""Where `rollout serve` listens for a rollback: one socket in the state folder, whose rights are the folder's.

Standard library only, and little of it: a rollback waits for what is imported here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

SOCKET = "hotline.sock"
MOST_PATH_BYTES = 100  # the kernel takes 107


def connected(path: str, timeout_s: float) -> socket.socket:
    """A connection to the socket at `path`; OSError where nobody listens there, or nobody takes it in time."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        channel.settimeout(timeout_s)
        _within_limits(path, channel.connect)
    except BaseException:
        channel.close()
        raise
    return channel


def bound(path: str, mode: int) -> socket.socket:
    """A socket that is bound to `path` with these rights from its first moment, and listens to nobody yet."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), mode)
        _within_limits(path, listener.bind)
    except BaseException:
        listener.close()
        raise
    return listener


def _within_limits(path: str, do: Callable[[str], None]) -> None:
    """The kernel limits a socket's path, not a folder's: a long one is reached through its open descriptor."""
    if len(os.fsencode(path)) <= MOST_PATH_BYTES:
        do(path)
        return
    folder, name = os.path.split(path)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        do(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)

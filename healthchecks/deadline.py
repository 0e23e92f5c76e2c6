"""The time that one ask may take, and what makes it end: whatever still hangs then is hung up."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any


class Deadline(AbstractContextManager["Deadline"]):
    """Hangs up on every connection when the time is over: an answer that drips in is not waited for.

    A time-out on each read would not do that, as every byte starts it again.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._guard = threading.Lock()
        self._timer = threading.Timer(seconds, self._hang_up)
        self._timer.daemon = True

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    @property
    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def hold(self, connection: socket.socket) -> None:
        """Remember a connection, to hang up on it."""
        with self._guard:
            self._sockets.append(connection)
        if not self.left:
            self._hang_up()

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx's trace extension: remember each connection as it is made."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self.hold(info["return_value"].get_extra_info("socket"))

    def _hang_up(self) -> None:
        with self._guard:
            for connection in self._sockets:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # closed already

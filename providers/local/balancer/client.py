"""Synchronous client of the control socket. Standard library only: the emergency path imports it."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from providers.local.balancer.answers import StateAnswer

SOCKET = "control.sock"
UNTIL = "X-Rollout-Until"  # the monotonic time at which the caller stops waiting; a write is not begun after it
MAX_SOCKET_PATH = 100  # bytes; the kernel takes 107


class BalancerError(Exception):
    """Root of: Unreachable, Refused (of which Conflict)."""


class Unreachable(BalancerError):
    """No answer. may_have_applied: whether the request could have been carried out nevertheless."""

    def __init__(self, message: str, *, may_have_applied: bool) -> None:
        super().__init__(message)
        self.may_have_applied = may_have_applied


class Refused(BalancerError):
    """The balancer said no and changed nothing (a 5xx: promises nothing). status: its HTTP status."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class Conflict(Refused):
    """The revision was not the expected one. state: the one in force."""

    def __init__(self, message: str, *, state: StateAnswer) -> None:
        super().__init__(message, status=409)
        self.state = state


class BalancerClient:
    """Talks to the balancer of one folder; a connection for each call.

    timeout_s is for all calls together, counted from here on: make another client for what may take longer. A
    balancer that was frozen meanwhile carries nothing out afterwards. All calls raise Unreachable and Refused;
    writes raise Conflict.
    """

    def __init__(self, directory: Path | str, timeout_s: float = 5.0) -> None:
        self._directory = Path(directory)
        self._deadline = time.monotonic() + timeout_s

    def state(self) -> StateAnswer:
        return cast("StateAnswer", self._call("GET", "/v1/state"))

    def set_weights(self, weights: Mapping[str, int], *, expected_revision: int | None, token: str) -> StateAnswer:
        """Route by these weights; in force and on disk when this returns. expected_revision None: any.

        A repeat of the last write (same token and weights) changes nothing and succeeds.
        """
        body = {"weights": dict(weights), "expected_revision": expected_revision, "token": token}
        return cast("StateAnswer", self._call("PUT", "/v1/weights", body))

    def set_targets(
        self, slot: str, addresses: Sequence[str], *, expected_revision: int | None, token: str
    ) -> StateAnswer:
        """Replace the targets (`ip:port`) of one slot, under the same rules as the weights."""
        body = {"addresses": list(addresses), "expected_revision": expected_revision, "token": token}
        return cast("StateAnswer", self._call("PUT", f"/v1/targets/{slot}", body))

    def cut(self, slot: str) -> int:
        """Close what is in flight on a slot; returns how many requests that were."""
        return int(cast("dict[str, int]", self._call("POST", f"/v1/cut/{slot}"))["closed"])

    def _call(self, method: str, path: str, body: object = None) -> object:
        connection = _UnixConnection(self._directory, self._deadline)
        content = None if body is None else json.dumps(body)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise Unreachable(f"balancer at {self._directory}: {error}", may_have_applied=False) from error
            try:
                headers = {"Content-Type": "application/json", UNTIL: repr(self._deadline)}
                connection.request(method, path, content, headers)
                answer = connection.getresponse()
                status, document = answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                message = f"balancer at {self._directory}: no answer to {method} {path}: {error!r}"
                raise Unreachable(message, may_have_applied=method != "GET") from error
        finally:
            connection.close()
        return _judge(status, document)


def _judge(status: int, document: object) -> object:
    if status == 200:
        return document
    fields = document if isinstance(document, dict) else {}
    message = str(fields.get("error", document))
    if status == 409:
        raise Conflict(message, state=cast("StateAnswer", fields["state"]))
    raise Refused(message, status=status)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, directory: Path, deadline: float) -> None:
        super().__init__("localhost")
        self._directory = directory
        self._deadline = deadline

    def connect(self) -> None:
        channel = Channel(self._deadline)
        try:
            with short_path(self._directory) as path:
                channel.connect(path)
        except BaseException:
            channel.close()
            raise
        self.sock = channel


class Channel(socket.socket):
    """Every step gets only what is left of the whole: an answer that drips does not go on for ever."""

    def __init__(self, deadline: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._deadline = deadline

    def connect(self, address: Any) -> None:
        self._limit()
        super().connect(address)

    def sendall(self, *arguments: Any) -> None:
        self._limit()
        super().sendall(*arguments)

    def recv(self, *arguments: Any) -> bytes:
        self._limit()
        return super().recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        self._limit()
        return super().recv_into(*arguments)

    def _limit(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)


@contextmanager
def short_path(directory: Path) -> Iterator[str]:
    """The path of a folder's control socket, in a form that the kernel takes."""
    # The kernel limits a socket's path, not a folder's: a long one is reached through its open descriptor.
    direct = str(directory / SOCKET)
    if len(os.fsencode(direct)) <= MAX_SOCKET_PATH:
        yield direct
        return
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not Path(f"/proc/self/fd/{descriptor}").exists():
            raise OSError(f"the path is longer than {MAX_SOCKET_PATH} bytes, and /proc is not there to shorten it")
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)

"""One HTTP request to a judged address, within a deadline and a size. No redirects, proxies or retries."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import httpx

from healthchecks.addresses import Pinned

BODY_BYTES = 64 * 1024
Problem = Literal["", "refused", "rubbish", "timeout", "unreachable"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back in `seconds`. Without a status, `problem` says what kind of trouble and `detail` which.

    refused      nothing listens there, or it hung up: a definite answer of the other side
    rubbish      what came back is not HTTP: a definite answer, too
    timeout      no complete answer in time
    unreachable  our own way there is broken
    """

    status: int | None
    seconds: float
    body: bytes = b""
    problem: Problem = ""
    detail: str = ""


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

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx's trace extension: remember each connection as it is made."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._guard:
                self._sockets.append(info["return_value"].get_extra_info("socket"))
            if not self.left:
                self._hang_up()

    def _hang_up(self) -> None:
        with self._guard:
            for connection in self._sockets:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # closed already


def fetch(at: Pinned, path: str, headers: Mapping[str, str], method: str, deadline: Deadline) -> Fetched:
    """Ask once. Never raises for what the network does."""
    if not deadline.left:
        return Fetched(None, 0.0, problem="timeout", detail="no time was left to ask")
    began = time.monotonic()
    try:
        status, body = _exchange(at, path, headers, method, deadline)
    except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
        problem: Problem = "timeout" if not deadline.left else _kind(error)
        return Fetched(None, time.monotonic() - began, problem=problem, detail=type(error).__name__)
    seconds = time.monotonic() - began
    if not deadline.left:
        return Fetched(None, seconds, problem="timeout", detail="the answer was not complete in time")
    return Fetched(status, seconds, body)


def _exchange(at: Pinned, path: str, headers: Mapping[str, str], method: str, deadline: Deadline) -> tuple[int, bytes]:
    target = f"{at.path}{path}".encode("ascii")
    url = httpx.URL(scheme=at.scheme, host=str(at.address), port=at.port, raw_path=target)
    # identity: a compressed answer could unpack to any size.
    sent = {"host": at.authority, "accept-encoding": "identity", "connection": "close"}
    sent |= {name.lower(): value for name, value in headers.items()}
    extensions = {"trace": deadline.watch, "sni_hostname": at.host}
    timeout = max(deadline.left, 0.001)
    with (
        httpx.Client(verify=_trust(), trust_env=False, follow_redirects=False, timeout=timeout) as client,
        client.stream(method, url, headers=sent, extensions=extensions) as response,
    ):
        body = b""
        for chunk in response.iter_raw():
            body += chunk
            if len(body) >= BODY_BYTES:
                break
        return response.status_code, body[:BODY_BYTES]


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()  # reading all certificates for each request would take most of its time


def _kind(error: BaseException) -> Problem:
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError | ConnectionResetError | BrokenPipeError):
            return "refused"
        cause = cause.__cause__ or cause.__context__
    return "rubbish" if isinstance(error, httpx.RemoteProtocolError) else "unreachable"

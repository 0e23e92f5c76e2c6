"""One HTTP request to a judged address, within a deadline and a size. No redirects, proxies or retries."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

import httpx

from healthchecks.addresses import Pinned
from healthchecks.deadline import Deadline as Deadline

BODY_BYTES = 64 * 1024
Problem = Literal["", "refused", "rubbish", "timeout", "unreachable"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back in `seconds`. Without a status, `problem` says what kind of trouble and `detail` which.

    `body` is its first BODY_BYTES, all of it only if `whole`. The names of `headers` are in small letters.

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
    headers: Mapping[str, str] = field(default_factory=dict)
    whole: bool = True


def fetch(
    at: Pinned, path: str, headers: Mapping[str, str], method: str, deadline: Deadline, body: bytes = b""
) -> Fetched:
    """Ask once. Never raises for what the network does."""
    if not deadline.left:
        return Fetched(None, 0.0, problem="timeout", detail="no time was left to ask")
    began = time.monotonic()
    try:
        found = _exchange(at, path, headers, method, deadline, body)
    except (httpx.TransportError, httpx.InvalidURL, OSError) as error:
        problem: Problem = "timeout" if not deadline.left else _kind(error)
        return Fetched(None, time.monotonic() - began, problem=problem, detail=type(error).__name__)
    seconds = time.monotonic() - began
    if not deadline.left:
        return Fetched(None, seconds, problem="timeout", detail="the answer was not complete in time")
    return replace(found, seconds=seconds)


def fetch_first(
    places: Sequence[Pinned], path: str, headers: Mapping[str, str], method: str, deadline: Deadline
) -> Fetched:
    """Ask the first of a name's places that takes the request: not every host can reach all of them.

    For what may be asked twice only: who hangs up may have read the request.
    """
    found = Fetched(None, 0.0, problem="unreachable", detail="there is no address")
    for at in places:
        found = fetch(at, path, headers, method, deadline)
        if found.problem not in ("refused", "unreachable"):
            break
    return found


def _exchange(
    at: Pinned, path: str, headers: Mapping[str, str], method: str, deadline: Deadline, body: bytes
) -> Fetched:
    target = f"{at.path}{path}".encode("ascii")
    url = httpx.URL(scheme=at.scheme, host=str(at.address), port=at.port, raw_path=target)
    # identity: a compressed answer could unpack to any size.
    sent = {"host": at.authority, "accept-encoding": "identity", "connection": "close"}
    sent |= {name.lower(): value for name, value in headers.items()}
    extensions = {"trace": deadline.watch, "sni_hostname": at.host}
    timeout = max(deadline.left, 0.001)
    with (
        httpx.Client(verify=_trust(), trust_env=False, follow_redirects=False, timeout=timeout) as client,
        client.stream(method, url, headers=sent, content=body or None, extensions=extensions) as response,
    ):
        said, whole = b"", True
        for chunk in response.iter_raw():
            said += chunk
            if len(said) >= BODY_BYTES:
                whole = False
                break
        headers_back = {name.lower(): value for name, value in response.headers.items()}
        return Fetched(response.status_code, 0.0, said[:BODY_BYTES], headers=headers_back, whole=whole)


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

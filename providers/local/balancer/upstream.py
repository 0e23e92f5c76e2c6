"""One attempt to have one target answer one request, and what exactly went wrong if it did not."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

import aiohttp
from aiohttp.web_request import BaseRequest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from providers.local.balancer.config import Config

SMALL_BODY = 64 * 1024  # bytes; up to this a body is held in memory, so that an attempt can be made again
MAX_HEADER = 64 * 1024
HOP_BY_HOP = (
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
SLOT_HEADER = "X-Rollout-Slot"
# These say that this machine is short of something: no fault of the target's.
OWN_TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}


class NotSent(Exception):
    """No connection came about, so the target saw nothing. targets_fault: it refused or did not answer."""

    def __init__(self, message: str, *, targets_fault: bool) -> None:
        super().__init__(message)
        self.targets_fault = targets_fault


class BrokenOff(Exception):
    """The connection broke after something was sent: the target may have acted."""


class TooSlow(Exception):
    """Nothing came within the response time-out."""


@dataclass
class Answer:
    """body: whole, when it is small; else None, and it is still to be read from `source`."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    body: bytes | None
    source: aiohttp.ClientResponse


class Upstream:
    """Connections to the targets. `close` at the end."""

    def __init__(self, config: Config) -> None:
        self._trust_forwarded = config.trust_forwarded
        self._pooled = _session(config, aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0))
        self._fresh = _session(config, aiohttp.TCPConnector(limit=0, force_close=True))

    async def send(self, address: str, request: BaseRequest, body: bytes | None, *, fresh: bool) -> Answer:
        """Have the target answer. body None: stream the client's. fresh: on a connection of its own.

        Raises NotSent, BrokenOff, TooSlow.
        """
        session = self._fresh if fresh else self._pooled
        url = URL(f"http://{address}{_path(request)}", encoded=True)
        headers = self._headers(request)
        if body is not None:
            headers.pop("Content-Length", None)
        data = (body or None) if body is not None else request.content
        try:
            answer = await session.request(request.method, url, headers=headers, data=data, allow_redirects=False)
            return await _take(answer, request.method)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            code = error.os_error.errno if isinstance(error, aiohttp.ClientConnectorError) else None
            raise NotSent(brief(error), targets_fault=code not in OWN_TROUBLE) from error
        except TimeoutError as error:
            raise TooSlow(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenOff(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        await self._pooled.close()
        await self._fresh.close()

    def _headers(self, request: BaseRequest) -> CIMultiDict[str]:
        headers = without_hop_by_hop(request.headers)
        headers.popall(SLOT_HEADER, None)
        headers.popall("Expect", None)
        if not (self._trust_forwarded and "X-Forwarded-Proto" in headers):
            headers["X-Forwarded-Proto"] = "http"
        if not (self._trust_forwarded and "X-Forwarded-Host" in headers) and "Host" in headers:
            headers["X-Forwarded-Host"] = headers["Host"]
        peer = request.transport.get_extra_info("peername") if request.transport else None
        sender = [str(peer[0])] if peer else []
        if chain := [*headers.getall("X-Forwarded-For", []), *sender]:
            headers["X-Forwarded-For"] = ", ".join(chain)
        return headers


def without_hop_by_hop(
    headers: CIMultiDict[str] | CIMultiDictProxy[str],
) -> CIMultiDict[str]:
    """A copy without what concerns one connection only, including what its Connection header names."""
    kept = CIMultiDict(headers)
    for line in headers.getall("Connection", ()):
        for name in line.split(","):
            kept.popall(name.strip(), None)
    for name in HOP_BY_HOP:
        kept.popall(name, None)
    return kept


def brief(error: Exception) -> str:
    """What went wrong, without the library's wrapping around it."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, OSError) and cause.errno is not None:
        return os.strerror(cause.errno).lower()
    return str(error) or type(error).__name__


async def _take(answer: aiohttp.ClientResponse, method: str) -> Answer:
    length = answer.content_length
    empty = method == "HEAD" or answer.status in (204, 304)
    body: bytes | None = None
    if empty or (length is not None and length <= SMALL_BODY):
        body = await answer.read()
    return Answer(answer.status, answer.reason or "", without_hop_by_hop(answer.headers), body, answer)


def _path(request: BaseRequest) -> str:
    # Byte for byte as the client wrote it; the absolute form (to a proxy) loses its host.
    raw = request.raw_path
    return raw if raw.startswith("/") else URL(raw, encoded=True).raw_path_qs


def _session(config: Config, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=config.connect_timeout_s, sock_read=config.response_timeout_s
        ),
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
    )
    # aiohttp sends PUT and DELETE a second time after a reset, even a body that it has half read. What may be
    # repeated is decided in proxy.py; the option has no public name, a test holds it.
    session._retry_connection = False
    return session

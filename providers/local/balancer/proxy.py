"""Passes requests on to targets and their answers back.

What may be tried again: a connection that never came about, always, since nothing was sent; a broken one only
for a GET, HEAD or OPTIONS without a body, once. Anything else would risk that an order is placed twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

import aiohttp
from aiohttp import web
from aiohttp.web_request import BaseRequest

from providers.local.balancer.config import Config
from providers.local.balancer.counters import Counters, Flights, SlotCounters, reset
from providers.local.balancer.route import RouteTable
from providers.local.balancer.state import SLOTS
from providers.local.balancer.upstream import (
    SLOT_HEADER,
    SMALL_BODY,
    Answer,
    BrokenOff,
    NotSent,
    TooSlow,
    Upstream,
)

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
SERVED_BY = "X-Rollout-Served-By"


class NoSlot(Exception):
    """The request does not say which slot it is for."""


class Failed(Exception):
    """No answer from the target: status is what the client gets."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Proxy:
    """The handler of one port.

    choose: the slot of a request (may raise NoSlot). slots_for: that slot and those that may stand in for it.
    """

    def __init__(
        self,
        routes: RouteTable,
        upstream: Upstream,
        flights: Flights,
        config: Config,
        *,
        choose: Callable[[BaseRequest], str],
        slots_for: Callable[[str], Iterable[str]],
    ) -> None:
        self.counters = Counters()
        self._routes, self._upstream, self._flights = routes, upstream, flights
        self._served_by = config.served_by
        self._choose, self._slots_for = choose, slots_for

    async def handle(self, request: BaseRequest) -> web.StreamResponse:
        began = time.perf_counter()
        body = await _small_body(request)
        try:
            # As late as possible: a request that is being uploaded during a swap goes to the new side.
            chosen = self._choose(request)
        except NoSlot as error:
            return _plain(400, str(error))
        for slot in self._slots_for(chosen):
            candidates = self._routes.candidates(slot)
            if not candidates:
                continue
            counters = self.counters[slot]
            with self._flights.on(slot, counters, request.transport) as flight:
                try:
                    answer = await self._ask(candidates, request, body, counters)
                    if answer is None:
                        continue
                    if slot != chosen:
                        self.counters[chosen].fallbacks += 1
                    counters.answered(answer.status, time.perf_counter() - began)
                    flight.answered = True
                    return await self._reply(request, slot, answer, counters)
                except Failed as failure:
                    if _left(request):
                        counters.requests += 1
                        counters.client_gone += 1
                        raise ConnectionResetError("the client left") from failure
                    counters.lost()
                    return _plain(failure.status, str(failure))
                except asyncio.CancelledError:
                    counters.requests += not flight.answered
                    raise
        self.counters[chosen].lost()
        return _plain(503, f"no healthy target in {chosen}")

    async def _ask(
        self, candidates: list[str], request: BaseRequest, body: bytes | None, counters: SlotCounters
    ) -> Answer | None:
        """The first answer from these targets; None when none of them took a connection. Raises Failed."""
        repeatable = request.method in REPEATABLE and body == b""
        fresh = not repeatable
        queue = deque(candidates)
        while queue:
            address = queue.popleft()
            try:
                return await self._upstream.send(address, request, body, fresh=fresh)
            except NotSent as error:
                if error.targets_fault:
                    self._routes.refused(address, str(error))
            except BrokenOff as error:
                if not repeatable:
                    raise Failed(502, f"the target broke off: {error}") from error
                # Once, on connections nobody used before; the same target last, since it may only have
                # closed an idle connection.
                repeatable, fresh = False, True
                queue.append(address)
            except TooSlow as error:
                raise Failed(504, "the target did not answer in time") from error
            counters.retries += 1
        return None

    async def _reply(
        self, request: BaseRequest, slot: str, answer: Answer, counters: SlotCounters
    ) -> web.StreamResponse:
        if self._served_by:
            answer.headers[SERVED_BY] = slot
        if answer.body:
            answer.headers.pop("Content-Length", None)
            return web.Response(status=answer.status, reason=answer.reason, headers=answer.headers, body=answer.body)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=answer.headers)
        try:
            await response.prepare(request)
            if answer.body is None:
                await _pass_on(answer.source, response)
            await response.write_eof()
        except BrokenOff:
            counters.broke_off(answer.status)
            # The client must see that this is not the whole answer.
            reset(request.transport)
            raise ConnectionResetError("the target broke off its answer") from None
        except ConnectionError:
            counters.client_gone += 1
            raise
        finally:
            answer.source.close()  # harmless when it was read to its end
        return response


def slot_by_header(request: BaseRequest) -> str:
    """The test route: the header says the slot. Raises NoSlot."""
    slot = request.headers.get(SLOT_HEADER, "").strip().lower()
    if slot not in SLOTS:
        raise NoSlot(f"this is the test route: send the header {SLOT_HEADER}: {' or '.join(SLOTS)}")
    return slot


def slot_by_weight(routes: RouteTable) -> Callable[[BaseRequest], str]:
    """The traffic route: weights decide, whatever the client sends."""
    return lambda request: routes.choose_slot()


async def _small_body(request: BaseRequest) -> bytes | None:
    """The body if it is small, b"" if there is none; None: it has to be streamed. Also answers `Expect`."""
    if "Expect" in request.headers and request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    if not request.can_read_body:
        return b""
    length = request.content_length
    return await request.read() if length is not None and length <= SMALL_BODY else None


async def _pass_on(source: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
    while True:
        try:
            chunk = await source.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BrokenOff(str(error)) from error
        if not chunk:
            return
        await response.write(chunk)


def _left(request: BaseRequest) -> bool:
    return request.transport is None or request.transport.is_closing()


def _plain(status: int, message: str) -> web.Response:
    return web.Response(status=status, text=f"balancer: {message}\n")

"""The first look at all targets when a worker begins: clients wait for whom they need, readers for everybody."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from providers.local.balancer import health
from providers.local.balancer.config import Health
from providers.local.balancer.health import HealthWatch
from providers.local.balancer.route import RouteTable
from providers.local.balancer.state import State


@asynccontextmanager
async def _target(answers: asyncio.Event) -> AsyncIterator[str]:
    """Answers its checks once it may."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await answers.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        answers.set()
        server.close()


@asynccontextmanager
async def _watch(slow: asyncio.Event, timeout_s: float) -> AsyncIterator[tuple[HealthWatch, RouteTable, str]]:
    """Blue has all traffic and answers; green, the side without any, is slow."""
    quick = asyncio.Event()
    quick.set()
    async with _target(quick) as blue, _target(slow) as green:
        state = State(1, {"blue": 100, "green": 0}, {"blue": (blue,), "green": (green,)})
        chance = random.Random()
        routes = RouteTable(state, fall=2, rise=2, now=lambda: 0.0, changed=lambda _: None, chance=chance)
        watch = HealthWatch(routes, Health(timeout_s=timeout_s))
        try:
            watch.sync()
            yield watch, routes, green
        finally:
            await watch.close()


def _judged(routes: RouteTable, address: str) -> bool | None:
    return next(t["healthy"] for found in routes.describe().values() for t in found if t["address"] == address)


def test_clients_do_not_wait_for_the_side_without_traffic() -> None:
    """Else a broken replacement that has no traffic delays every client after a restart."""

    async def story() -> None:
        slow = asyncio.Event()
        async with _watch(slow, timeout_s=60.0) as (watch, routes, green):
            await watch.until_servable()
            assert _judged(routes, green) is None
            slow.set()
            await watch.until_all_asked()
            assert _judged(routes, green) is True

    asyncio.run(story())


def test_readers_wait_for_the_slow_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else one target that hangs keeps the way back at night from being looked at."""
    monkeypatch.setattr(health, "FIRST_PASS_S", 0.05)

    async def story() -> None:
        async with _watch(asyncio.Event(), timeout_s=60.0) as (watch, routes, green):
            await watch.until_all_asked()
            assert _judged(routes, green) is None

    asyncio.run(story())

"""Asks each target, all the time, whether it can serve, and tells the route table."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from yarl import URL

from providers.local.balancer.config import Health
from providers.local.balancer.route import RouteTable
from providers.local.balancer.state import split_address
from providers.local.balancer.upstream import brief

FIRST_PASS_S = 1.0


class HealthWatch:
    """One small task for each target. Call `sync` after the targets changed, `close` at the end."""

    def __init__(self, routes: RouteTable, health: Health) -> None:
        self._routes = routes
        self._health = health
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: set[str] = set()  # whose first check is over
        self._checked = asyncio.Event()  # set, and replaced, after each check
        # A connection for each check: whether new ones are accepted is part of the question.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=health.timeout_s),
            headers={"User-Agent": "rollout-balancer-health"},
        )

    async def until_servable(self) -> None:
        """Returns once every slot that gets traffic can serve, or when all targets were asked."""
        while not (self._routes.servable() or self._all_asked()):
            await self._checked.wait()

    async def until_all_asked(self) -> None:
        """Returns once every target was asked, those without traffic too; they have FIRST_PASS_S to answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_PASS_S):
                while not self._all_asked():
                    await self._checked.wait()

    def sync(self) -> None:
        """Watch the targets that there are now."""
        wanted = set(self._routes.addresses())
        for address in set(self._tasks) - wanted:
            self._tasks.pop(address).cancel()
        for address in wanted - set(self._tasks):
            self._tasks[address] = asyncio.create_task(self._watch(address))

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._session.close()

    async def _watch(self, address: str) -> None:
        while True:
            try:
                await self._check(address)
            finally:
                self._asked.add(address)
                self._checked.set()
                self._checked = asyncio.Event()
            await asyncio.sleep(self._health.interval_s)

    def _all_asked(self) -> bool:
        return self._asked.issuperset(self._routes.addresses())

    async def _check(self, address: str) -> None:
        try:
            problem = await (self._connect(address) if self._health.path is None else self._get(address))
        except TimeoutError:
            problem = f"no answer within {self._health.timeout_s:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            problem = f"check failed: {brief(error)}"
        if problem is None:
            self._routes.passed(address)
        else:
            self._routes.failed(address, problem)

    async def _get(self, address: str) -> str | None:
        url = URL(f"http://{address}{self._health.path}", encoded=True)
        async with self._session.get(url, allow_redirects=False) as answer:
            return None if 200 <= answer.status < 400 else f"check answered {answer.status}"

    async def _connect(self, address: str) -> None:
        host, port = split_address(address)
        async with asyncio.timeout(self._health.timeout_s):
            _, writer = await asyncio.open_connection(host, port)
        writer.close()

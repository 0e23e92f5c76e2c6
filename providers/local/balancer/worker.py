"""The process that serves: it inherits the listening sockets, and ends when its parent does."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import resource
import signal
import socket
import sys
import time
from pathlib import Path

from aiohttp import web

from providers.local.balancer.config import Config, load_config
from providers.local.balancer.control import Control
from providers.local.balancer.counters import Flights
from providers.local.balancer.health import HealthWatch
from providers.local.balancer.log import log_to
from providers.local.balancer.proxy import Proxy, slot_by_header, slot_by_weight
from providers.local.balancer.route import RouteTable
from providers.local.balancer.store import StateStore
from providers.local.balancer.upstream import MAX_HEADER, Upstream

BACKLOG = 4096
KEEP_ALIVE_S = 75.0
LOCK_TIMEOUT_S = 5.0
QUIT = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """Everything that serves one balancer, put together. `run` returns after an orderly end."""

    def __init__(self, directory: Path, config: Config, store: StateStore, log: logging.Logger) -> None:
        self._config, self._store, self._log = config, store, log
        self._routes = RouteTable(
            store.state,
            fall=config.health.fall,
            rise=config.health.rise,
            now=time.time,
            changed=log.info,
            chance=random.Random(),  # noqa: S311  # spreads load, guards nothing
        )
        self._watch = HealthWatch(self._routes, config.health)
        self._upstream = Upstream(config)
        flights = Flights()
        self._traffic = Proxy(
            self._routes,
            self._upstream,
            flights,
            config,
            choose=slot_by_weight(self._routes),
            slots_for=self._routes.with_fallback,
        )
        self._test = Proxy(
            self._routes,
            self._upstream,
            flights,
            config,
            choose=slot_by_header,
            slots_for=lambda slot: (slot,),
        )
        self._control = Control(
            directory,
            config,
            store,
            self._routes,
            self._watch,
            flights,
            self._traffic.counters,
            self._test.counters,
            log,
        )

    async def run(self, sockets: dict[str, socket.socket], parent_pipe: int) -> None:
        quit_asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(parent_pipe, quit_asked.set)  # only ever readable at its end: the parent is gone
        for number in QUIT:
            loop.add_signal_handler(number, quit_asked.set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*QUIT, signal.SIGCHLD})  # the parent keeps them blocked
        self._watch.sync()
        # Clients wait in the listen queue until somebody is known to be able to answer them.
        await self._watch.until_servable()
        proxies = [
            await _serve(_runner(proxy, self._config.drain_s), sockets[name])
            for name, proxy in (("traffic", self._traffic), ("test", self._test))
            if name in sockets
        ]
        # Who asks for the state may decide by it whether the side without traffic can serve.
        await self._watch.until_all_asked()
        control = web.AppRunner(self._control.app, access_log=None, shutdown_timeout=1.0)
        await _serve(control, sockets["control"])
        self._log.info("worker serves revision %d", self._store.state.revision)
        await quit_asked.wait()
        loop.remove_reader(parent_pipe)
        await self._end(control, proxies)

    async def _end(self, control: web.BaseRunner, proxies: list[web.BaseRunner]) -> None:
        for port in proxies:  # others may need these addresses at once
            for site in list(port.sites):
                await site.stop()
        await control.cleanup()
        self._control.finish()
        self._store.close()  # from here on the next worker may write
        await asyncio.gather(*(port.cleanup() for port in proxies))
        await self._watch.close()
        await self._upstream.close()
        self._log.info("worker ends")


async def _serve(runner: web.BaseRunner, listening: socket.socket) -> web.BaseRunner:
    await runner.setup()
    await web.SockSite(runner, listening, backlog=BACKLOG).start()
    return runner


def _runner(proxy: Proxy, drain_s: float) -> web.BaseRunner:
    server = web.Server(
        proxy.handle,
        access_log=None,
        keepalive_timeout=KEEP_ALIVE_S,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        auto_decompress=False,
    )
    return web.ServerRunner(server, shutdown_timeout=drain_s)


async def _main(directory: Path, sockets: dict[str, socket.socket], pipe: int, log: logging.Logger) -> None:
    config = load_config(directory)
    store = StateStore.open(directory, LOCK_TIMEOUT_S)
    if store.notice is not None:
        log.error("%s", store.notice)
    await Worker(directory, config, store, log).run(sockets, pipe)


def main() -> int:
    parser = argparse.ArgumentParser(description="serves for the balancer; started by its parent")
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--sockets", type=json.loads, required=True, help="JSON: name → descriptor")
    parser.add_argument("--pipe", type=int, required=True, help="ends when the parent does")
    options = parser.parse_args()
    log = log_to(options.dir)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        sockets = {name: socket.socket(fileno=number) for name, number in options.sockets.items()}
        asyncio.run(_main(options.dir, sockets, options.pipe, log))
    except Exception as error:
        log.exception("worker failed: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

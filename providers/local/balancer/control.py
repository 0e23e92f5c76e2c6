"""The control API: reads the state, changes it one writer at a time, cuts what is in flight."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from providers.local.balancer.answers import StateAnswer
from providers.local.balancer.client import UNTIL
from providers.local.balancer.config import Config
from providers.local.balancer.counters import Counters, Flights
from providers.local.balancer.health import HealthWatch
from providers.local.balancer.mark import read_mark
from providers.local.balancer.route import RouteTable
from providers.local.balancer.state import (
    InvalidState,
    StaleRevision,
    State,
    Unservable,
    parse_addresses,
    parse_revision,
    parse_slot,
    parse_token,
    parse_weights,
)
from providers.local.balancer.store import StateStore

# From the state in force to the wanted one; None: the last write was this one already.
Change = Callable[[State], State | None]


class TooLate(Exception):
    """Whoever asked has stopped waiting, and may have told others that this will not happen any more."""


class Control:
    """`app` is the API. `finish` waits for a write that is under way; call it before the store is closed."""

    def __init__(
        self,
        directory: Path,
        config: Config,
        store: StateStore,
        routes: RouteTable,
        watch: HealthWatch,
        flights: Flights,
        traffic: Counters,
        test: Counters,
        log: logging.Logger,
    ) -> None:
        self._directory = directory
        self._own_addresses = {config.listen, config.test_listen}
        self._store, self._routes, self._watch, self._flights = store, routes, watch, flights
        self._traffic, self._test, self._log = traffic, test, log
        self._counters_id = f"{os.getpid()}-{secrets.token_hex(6)}"
        self._writing = asyncio.Lock()
        self._writer = ThreadPoolExecutor(1, "state-writer")
        self.app = web.Application(middlewares=[self._errors_as_json])
        self.app.add_routes(
            [
                web.get("/v1/state", self._get_state),
                web.put("/v1/weights", self._put_weights),
                web.put("/v1/targets/{slot}", self._put_targets),
                web.post("/v1/cut/{slot}", self._post_cut),
            ]
        )

    def finish(self) -> None:
        self._writer.shutdown(wait=True)

    def describe(self) -> StateAnswer:
        state = self._routes.state
        return StateAnswer(
            revision=state.revision,
            weights=dict(state.weights),
            targets=self._routes.describe(),
            token=state.token,
            mark=read_mark(self._directory),
            counters=self._traffic.to_json(),
            test_counters=self._test.to_json(),
            counters_id=self._counters_id,
            notice=self._store.notice,
            at=time.time(),
        )

    async def _get_state(self, request: web.Request) -> web.Response:
        return web.json_response(self.describe())

    async def _put_weights(self, request: web.Request) -> web.Response:
        body, token, expected = await _read_write(request, "weights")
        weights = parse_weights(body)

        def change(state: State) -> State | None:
            if (state.token, state.weights) == (token, weights):
                return None
            _raise_if_stale(state, expected)
            return state.with_weights(weights, token)

        return await self._write(request, change)

    async def _put_targets(self, request: web.Request) -> web.Response:
        slot = parse_slot(request.match_info["slot"])
        body, token, expected = await _read_write(request, "addresses")
        addresses = parse_addresses(body)
        if own := self._own_addresses.intersection(addresses):
            raise InvalidState(f"addresses: {', '.join(map(str, own))} is the balancer itself")

        def change(state: State) -> State | None:
            if (state.token, state.targets[slot]) == (token, addresses):
                return None
            _raise_if_stale(state, expected)
            return state.with_targets(slot, addresses, token)

        return await self._write(request, change)

    async def _post_cut(self, request: web.Request) -> web.Response:
        slot = parse_slot(request.match_info["slot"])
        _raise_if_late(request)
        closed = self._flights.cut(slot)
        self._log.info("cut %s: %d requests closed", slot, closed)
        return web.json_response({"closed": closed})

    async def _write(self, request: web.Request, change: Change) -> web.Response:
        """Disk, then route, then answer."""
        async with self._writing:
            _raise_if_late(request)
            wanted = change(self._store.state)
            if wanted is not None:
                loop = asyncio.get_running_loop()
                try:
                    await loop.run_in_executor(self._writer, self._store.save, wanted)
                finally:
                    self._routes.adopt(self._store.state)
                    self._watch.sync()
                self._log.info("applied %s", json.dumps(wanted.to_json()))
            return web.json_response(self.describe())

    @web.middleware
    async def _errors_as_json(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except InvalidState as error:
            return web.json_response({"error": str(error)}, status=400)
        except Unservable as error:
            return web.json_response({"error": str(error)}, status=422)
        except StaleRevision as error:
            return web.json_response({"error": str(error), "state": self.describe()}, status=409)
        except TooLate as error:
            self._log.warning("%s %s: %s", request.method, request.path, error)
            return web.json_response({"error": str(error)}, status=503)
        except web.HTTPException as error:
            return web.json_response({"error": f"{error.reason}: {request.path}"}, status=error.status)
        except Exception as error:
            self._log.exception("%s %s", request.method, request.path)
            return web.json_response({"error": f"not carried out: {error}"}, status=500)


async def _read_write(request: web.Request, subject: str) -> tuple[object, str, int | None]:
    """(what to write, token, expected revision or None). Raises InvalidState."""
    try:
        document = json.loads(await request.read())
    except ValueError as error:
        raise InvalidState(f"the body is not JSON: {error}") from None
    keys = {subject, "expected_revision", "token"}
    if not isinstance(document, dict) or set(document) != keys:
        raise InvalidState(f"exactly the keys {sorted(keys)} are needed")
    expected = document["expected_revision"]
    return (
        document[subject],
        parse_token(document["token"]),
        None if expected is None else parse_revision(expected),
    )


def _raise_if_late(request: web.Request) -> None:
    try:
        until = float(request.headers.get(UNTIL, "inf"))
    except ValueError:
        raise InvalidState(f"{UNTIL}: a monotonic time in seconds is needed") from None
    if time.monotonic() > until:
        raise TooLate("came too late: nothing was changed")


def _raise_if_stale(state: State, expected: int | None) -> None:
    if expected is not None and expected != state.revision:
        raise StaleRevision(f"the revision is {state.revision}, not {expected}: someone else changed it")

"""Wake-ups through Procrastinate, on the store's own PostgreSQL: a thread with an event loop, and jobs in threads.

The queue only spreads the work, and everything in it may be lost: what is due stands in the store, so it is queued
again by any process that lives. Whatever breaks here is begun anew; a job that acts meanwhile goes on, fenced by its
lease. Each statement is a transaction of its own, so that a process that is stopped in the middle holds nothing up.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from procrastinate import App, PsycopgConnector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Job, Status

from rollout.engine.dispatch import DUE, NEXT, WakeUp, queues, wake_ups
from rollout.engine.working import Worker
from rollout.stores.address import Address
from rollout.stores.connecting import options_of
from rollout.stores.waking import CHANNEL

TASK = "advance"
LOOK_S = 0.5
"""What is due is looked for so often, and at once where the store says that something is."""
GATHER_S, STAGGERED = 0.01, 5
"""What the store says within so short a time is looked at together; not by all processes at the same instant, so that
most find it queued already."""
SHARE = 4
"""Looking takes no more than one part in so many of the time."""
AT_ONCE, LOOKED_AT = 500, 2000
"""So many are queued at once. More are looked at: what somebody drives is among them, and is left to him."""
ASKED = 3
AGAIN_S = 1.0
"""After a connection that was lost."""
ANSWER_S = 20.0
"""A database that takes longer for one look does not answer."""
BEAT_S, STALLED_S = 5.0, 30.0
"""Of a worker, as Procrastinate knows it: what a silent one had taken is cleared away. Nobody waits for that."""
TIDY_S = 10.0
LOGGERS = ("procrastinate", "psycopg.pool", "asyncio")


class Queue:
    """`start`, then `usable` as the store is or is not; `stop` once. `note` is for the log, `trouble` for people."""

    def __init__(
        self,
        address: Address,
        worker: Worker,
        jobs: int,
        *,
        note: Callable[[str], None],
        trouble: Callable[[BaseException], None],
    ) -> None:
        self._address, self._worker, self._jobs = address, worker, jobs
        self._trouble = trouble
        self._note: Callable[[str], None] = lambda text: note(address.clean(text))
        self._thread = threading.Thread(target=self._run, daemon=True, name="queue")
        self._loop = asyncio.new_event_loop()
        self._usable, self._over, self._woken = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._named: set[str] = set()
        self._gather_s = GATHER_S * (1 + worker.holder.pid % STAGGERED)
        self._failing_since: float | None = None
        self._told = False

    # For other threads

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def usable(self, store_is: bool) -> None:
        self._call(self._usable.set if store_is else self._usable.clear)

    def stop(self, within_s: float) -> None:
        """Take no more from the queue, and put nothing into it. Jobs that act go on in their threads."""
        self._worker.stopping.set()
        self._call(self._over.set)
        self._thread.join(within_s)

    def _call(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(what)

    # In the thread

    def _run(self) -> None:
        self._loop.set_exception_handler(lambda loop, told: self._note(str(told.get("exception") or told["message"])))
        with _logged(self._note), asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._go_on())

    async def _go_on(self) -> None:
        while not self._over.is_set():
            await _first(self._usable.wait(), self._over.wait())
            if self._over.is_set():
                return
            try:
                await self._session()
            except Exception as error:
                self._failed(error)
            await _first(asyncio.sleep(AGAIN_S), self._over.wait())

    def _failed(self, error: Exception) -> None:
        """Logged; and told once, if it lasts while the store can be used."""
        self._note(f"{type(error).__name__}: {error.__cause__ or error}")
        if not self._usable.is_set() or self._failing_since is None:
            self._failing_since = self._loop.time()
        elif self._loop.time() - self._failing_since > STALLED_S and not self._told:
            self._told = True
            self._trouble(error)

    def _works(self) -> None:
        self._failing_since, self._told = None, False

    async def _session(self) -> None:
        """Until a connection is lost, or it is over."""
        app = self._app()
        async with app.open_async():
            parts: list[Coroutine[Any, Any, Any]] = [self._dispatch(app), self._listen(app), self._tidy(app)]
            parts += [app.run_worker_async(**options) for options in self._workers()]
            await _first(*parts, self._over.wait())

    def _app(self) -> App:
        async def each_its_own_transaction(connection: Any) -> None:
            await connection.set_autocommit(True)

        connector = PsycopgConnector(
            conninfo=self._address.url,
            kwargs=options_of(self._address.url),
            configure=each_its_own_transaction,
            min_size=1,
            max_size=4,
            timeout=ANSWER_S / 2,
            reconnect_timeout=AGAIN_S,
        )
        app = App(connector=connector)
        app.task(name=TASK)(self._advance)
        return app

    def _workers(self) -> list[Any]:
        """Two, one of which takes only what cannot wait: what may take long gets three quarters of the slots."""
        if not self._jobs:
            return []
        most = max(self._jobs, 2)
        kept = max(1, most // 4)
        shared = {
            "fetch_job_polling_interval": 2 * LOOK_S,
            "abort_job_polling_interval": 600.0,  # nobody aborts a wake-up
            "shutdown_graceful_timeout": 0.0,  # jobs go on in their threads
            "delete_jobs": "always",
            "install_signal_handlers": False,
            "update_heartbeat_interval": BEAT_S,
            "stalled_worker_timeout": STALLED_S,
        }
        return [
            {**shared, "name": "all", "queues": queues(urgent_only=False), "concurrency": most - kept},
            {**shared, "name": "urgent", "queues": queues(urgent_only=True), "concurrency": kept},
        ]

    async def _advance(self, rollout: str) -> None:
        """The task. Its thread is not waited for where the queue is lost or left."""
        ended = asyncio.Event()

        def work() -> None:
            self._worker.carry_out(rollout)
            self._call(ended.set)

        threading.Thread(target=work, daemon=True, name=f"job {rollout}").start()
        await ended.wait()

    # What is due

    async def _dispatch(self, app: App) -> None:
        """All that is due, twice a second; between that, what the store names."""
        all_at = 0.0
        while True:
            began = self._loop.time()
            named = None if began >= all_at else sorted(self._named)
            self._woken.clear()
            self._named.clear()
            async with asyncio.timeout(ANSWER_S):
                await self._queue_what_is_due(app, named)
                next_s = await self._next_s(app)
            self._works()
            ended = self._loop.time()
            if named is None:
                all_at = ended + max(LOOK_S, SHARE * (ended - began))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), max(0.0, min(all_at - ended, next_s)))
            if next_s <= self._loop.time() - ended:
                all_at = 0.0  # its time has come, and nobody says so
            await asyncio.sleep(max(self._gather_s, SHARE * (ended - began)))

    async def _next_s(self, app: App) -> float:
        (row,) = await app.connector.execute_query_all_async(NEXT)
        return LOOK_S if row["seconds"] is None else max(float(row["seconds"]), 0.0)

    async def _queue_what_is_due(self, app: App, named: list[str] | None) -> None:
        """Where another process queues the same at this moment, what is left is asked for anew."""
        found: list[WakeUp] = []
        for _ in range(ASKED):
            found = wake_ups(await app.connector.execute_query_all_async(DUE, named=named, most=LOOKED_AT))[:AT_ONCE]
            if not found or await _defer(app, found):
                return
        for each in found:
            await _defer(app, [each])

    async def _listen(self, app: App) -> None:
        async def told(channel: str, payload: str) -> None:
            self._named.add(payload)
            self._woken.set()

        await app.connector.listen_notify(told, [CHANNEL])

    async def _tidy(self, app: App) -> None:
        """What a worker had taken that is gone."""
        manager = app.job_manager
        while True:
            for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
                with suppress(ConnectorException):  # somebody else did
                    await manager.finish_job(job, status=Status.FAILED, delete_job=True)
            await manager.prune_stalled_workers(STALLED_S)
            await asyncio.sleep(TIDY_S)


async def _defer(app: App, found: list[WakeUp]) -> bool:
    """All of them or, where one is queued already, none."""
    jobs = [
        Job(
            queue=each.queue,
            priority=each.priority,
            lock=None,
            queueing_lock=each.lock,
            task_name=TASK,
            task_kwargs={"rollout": each.rollout},
        )
        for each in found
    ]
    try:
        await app.job_manager.batch_defer_jobs_async(jobs)
    except AlreadyEnqueued:
        return False
    return True


async def _first(*parts: Coroutine[Any, Any, Any]) -> None:
    """Until one of them ends; the others are cancelled. Raises what that one raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        await task


class _Handler(logging.Handler):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(f"{record.name}: {record.getMessage()}"[:1000])


@contextmanager
def _logged(note: Callable[[str], None]) -> Iterator[None]:
    """What the libraries say belongs in the log, not on the screen."""
    handler = _Handler(note)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate = propagate

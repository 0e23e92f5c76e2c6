"""`rollout worker`, put together: one of several processes on one store, how it stops, and what it tells.

SIGTERM or Ctrl-C: it takes nothing more, what acts ends, and what stays open is named. Once more: at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rollout import control
from rollout.engine.local import Job
from rollout.engine.serve import TICK_S, Chore, Watchers
from rollout.engine.shared import SharingServer
from rollout.engine.systemd import notify
from rollout.exposed import Meter
from rollout.follow import LeftAtOnce
from rollout.journal import Entry
from rollout.lease import this_process
from rollout.log import fleet_log, open_log
from rollout.presence import present_server
from rollout.rows import Row
from rollout.serving import GRACE_S, MERGE_S, WATCHDOG_S
from rollout.sharing import address_of, sharing_server
from rollout.store import StoreError
from rollout.telling import sentence
from rollout.vigil import LOOK_S
from rollout.wiring import Installation, steady


class Working:
    """`say` is for people, `event` for those who read JSON lines. NotShared where the store is a file."""

    def __init__(
        self,
        installation: Installation,
        say: Callable[[str], None],
        event: Callable[..., None],
        jobs: int | None,
        metrics: str | None = None,
    ) -> None:
        address_of(installation)
        self._installation, self._say, self._event = installation, say, event
        self._jobs = jobs or installation.fleet.serve.jobs
        self._meter = Meter(installation, metrics or installation.fleet.serve.metrics)
        self._asked = 0
        self._unmerged: set[Path] = set()
        self._store_failed = False
        self._me = this_process()
        self._log = open_log(installation.state_dir, installation.clock).bind(worker=str(self._me))
        self._note_job = fleet_log(installation.state_dir, installation.clock, worker=str(self._me))

    def until_stopped(self) -> list[str]:
        """Work; then the ids of what is open and driven by nobody else. StoreError: it never began."""
        installation = self._installation
        watchers = self._meter.beside(Watchers(self._tell, self._end_job, self._trouble, self._store_trouble))
        server = sharing_server(installation, self._jobs, watchers, self._chores(), self._log, serves=False)
        server.begin()
        with self._meter.shown(lambda: server.running), self._signals():
            self._say(self._greeting(server))
            self._event("working", worker=str(self._me), jobs=self._jobs)
            notify("READY=1")
            try:
                self._loop(server)
            finally:
                notify("STOPPING=1")
                server.leave()
        self._event("stopped", worker=str(self._me))
        return self._undriven()

    def _loop(self, server: SharingServer) -> None:
        stopping_at: float | None = None
        while True:
            server.tick()
            if self._asked > 1:
                raise LeftAtOnce("left at once; what was being done is journalled, and another worker goes on with it")
            if self._asked and stopping_at is None:
                stopping_at = steady()
                server.stop()
                self._say(f"stopping: {server.running} jobs end first (once more to leave at once)")
            if stopping_at is not None and (not server.running or steady() - stopping_at > GRACE_S):
                server.tick()
                return
            self._installation.clock.sleep(TICK_S)

    def _undriven(self) -> list[str]:
        """What nobody drives once this one has gone."""
        store, now = self._installation.store, self._installation.clock.now()
        try:
            return [row.id for row in store.rollouts(open_only=True) if store.driver(row.id, now) is None]
        except StoreError as error:
            self._say(f"{error}; what is open could not be read")
            return []

    # What is told

    def _greeting(self, server: SharingServer) -> str:
        store, now = self._installation.store, self._installation.clock.now()
        leading = present_server(store.db, now)
        beside = (
            f"; served by {leading.holder}"
            if leading
            else ("; nobody serves: campaigns, notifications and checkpoints wait for a rollout serve")
        )
        opened = len(store.rollouts(open_only=True))
        return f"working for {self._installation.fleet_file}, {self._jobs} jobs at a time: {opened} are open{beside}"

    def _tell(self, row: Row, entry: Entry) -> None:
        told = sentence(entry)
        self._event(entry.kind, id=row.id, service=row.service, seq=entry.seq, at=entry.at, step=entry.step, text=told)
        if told:
            self._say(f"{time.strftime('%H:%M:%S', time.localtime(entry.at))}  {row.service}: {told}")

    def _end_job(self, row: Row, job: Job) -> None:
        self._note_job(row.service, job)

    def _trouble(self, what: str, error: BaseException) -> None:
        self._log.error("trouble", what=what, kind=type(error).__name__, text=str(error))
        self._event("trouble", what=what, text=str(error))
        self._say(f"{what}: {type(error).__name__}: {error}")

    def _store_trouble(self, error: StoreError | None) -> None:
        """Told once, and once more when it is over."""
        if error is None:
            self._store_failed = False
            self._say("the store can be used again")
            self._event("store_again")
        elif not self._store_failed:
            self._store_failed = True
            self._log.error("store_trouble", text=str(error))
            self._event("store_trouble", text=str(error))
            self._say(f"{error}. Nothing moves until it can be used; rollout rollback works without it")

    # What else is done

    def _chores(self) -> list[Chore]:
        return [
            Chore("watchdog", WATCHDOG_S, lambda: notify("WATCHDOG=1"), needs_store=False, each=True),
            Chore("spool", MERGE_S, self._merge_spool, each=True),
            Chore("halted", LOOK_S, self._wake_halted, each=True),
        ]

    def _merge_spool(self) -> None:
        for merged in control.merge_spool(self._installation, self._unmerged):
            self._say(merged)

    def _wake_halted(self) -> None:
        """A hold mark turns a halted rollout back, too; who serves looks at that, or else a worker."""
        store, now = self._installation.store, self._installation.clock.now()
        if present_server(store.db, now) is None:
            store.wake_all(now, halted=True)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._asked += 1

        def stay(number: int, frame: FrameType | None) -> None:
            """A reload, or a terminal that was closed."""

        handlers: dict[signal.Signals, Any] = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: stay}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

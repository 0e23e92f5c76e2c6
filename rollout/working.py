"""`rollout worker`, put together: one of several processes on one store, how it stops, and what it tells.

What stays open when it stops, and nobody else drives, is named.
"""

from __future__ import annotations

from collections.abc import Callable

from rollout.attended import Attended
from rollout.engine.local import Job
from rollout.engine.serve import Chore, Watchers
from rollout.engine.shared import SharingServer
from rollout.engine.systemd import notify
from rollout.exposed import Meter
from rollout.lease import this_process
from rollout.log import fleet_log, open_log
from rollout.presence import present_server
from rollout.rows import Row
from rollout.sharing import address_of, sharing_server
from rollout.store import StoreError
from rollout.vigil import LOOK_S
from rollout.wiring import Installation


class Working(Attended):
    """One that works beside others, until it is stopped. NotShared where the store is a file."""

    goes_on = ", and another worker goes on with it"

    def __init__(
        self,
        installation: Installation,
        say: Callable[[str], None],
        event: Callable[..., None],
        jobs: int | None,
        metrics: str | None = None,
    ) -> None:
        address_of(installation)
        self._me = this_process()
        log = open_log(installation.state_dir, installation.clock).bind(worker=str(self._me))
        super().__init__(installation, say, event, log)
        self._jobs = jobs or installation.fleet.serve.jobs
        self._meter = Meter(installation, metrics or installation.fleet.serve.metrics)
        self._store_failed = False
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

    def _end_job(self, row: Row, job: Job) -> None:
        self._note_job(row.service, job)

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
        return [*self._own_chores(), Chore("halted", LOOK_S, self._wake_halted, each=True)]

    def _wake_halted(self) -> None:
        """A hold mark turns a halted rollout back, too; who serves looks at that, or else a worker."""
        store, now = self._installation.store, self._installation.clock.now()
        if present_server(store.db, now) is None:
            store.wake_all(now, halted=True)

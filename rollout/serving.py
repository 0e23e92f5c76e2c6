"""`rollout serve`, put together: the engine, who is told, what else is done now and then, and how it stops.

What stays open when it stops is named. SIGHUP reads the fleet file again (receivers, checkpoints, retention), or keeps
what it had and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.attended import Attended
from rollout.campaign.runner import LOOK_S as CAMPAIGNS_S
from rollout.campaign.runner import Runner
from rollout.care.checkpoint import write_checkpoint
from rollout.care.retention import prune
from rollout.engine.local import Job
from rollout.engine.serve import Chore, Server, Watchers
from rollout.engine.systemd import notify
from rollout.engine.watch import Observer
from rollout.exposed import Meter
from rollout.fleet_journal import FleetJournal
from rollout.hotline.switchboard import Switchboard
from rollout.lease import this_process
from rollout.log import fleet_log, open_log
from rollout.notify.background import delivering
from rollout.notify.deliverer import Deliverer
from rollout.notify.direct import StoreTrouble
from rollout.notify.target import targets_of
from rollout.presence import AlreadyServed
from rollout.rows import Row
from rollout.settings import SettingsErrors
from rollout.store import StoreError
from rollout.vigil import LOOK_S
from rollout.wiring import Installation, steady

if TYPE_CHECKING:
    from rollout.hotline.web import Listen

HOUR_S = 3600.0
ARCHIVED_AT_ONCE = 50
OPEN = "SELECT id, phase FROM rollouts WHERE closed_at IS NULL ORDER BY number DESC LIMIT ?"
GREETED = 20
"""So many of those that are open are named when it begins."""


class Serving(Attended):
    """One that serves, until it is stopped."""

    goes_on = ". Go on with: rollout serve"

    def __init__(
        self,
        installation: Installation,
        say: Callable[[str], None],
        event: Callable[..., None],
        jobs: int | None,
        listen: Listen | None = None,
        metrics: str | None = None,
    ) -> None:
        """Raises BadListen, BadTokens and OSError where it cannot listen as it is told to."""
        super().__init__(installation, say, event, open_log(installation.state_dir, installation.clock))
        self._jobs = jobs
        self._reload = False
        self._said_at: float | None = None
        self._note_job = fleet_log(installation.state_dir, installation.clock)
        self._meter = Meter(installation, metrics or installation.fleet.serve.metrics)
        self._switchboard = Switchboard(installation, say, self._log, listen)

    def until_stopped(self) -> list[str]:
        """Serve; then the ids of what is still open. AlreadyServed, StoreError and SettingsErrors: it never began."""
        installation = self._installation
        server = self._made_server()
        self._tell_receivers()
        server.begin()
        shown = self._meter.shown(lambda: server.running)
        delivered = delivering(lambda: self._deliverer, self._delivery_trouble)
        with self._switchboard.open(), shown, self._signals(), delivered:
            self._say(self._greeting())
            notify("READY=1")
            try:
                self._loop(server)
            finally:
                notify("STOPPING=1")
                server.leave()
        return [row.id for row in installation.store.rollouts(open_only=True)]

    def _made_server(self) -> Server:
        """Alone on a file; on PostgreSQL beside others, of which one leads."""
        installation, jobs, chores = self._installation, self._most_jobs(), self._chores()
        watchers = self._meter.beside(Watchers(self._tell, self._end_job, self._trouble, self._store_trouble))
        if installation.is_shared:
            from rollout.sharing import sharing_server

            return sharing_server(installation, jobs, watchers, chores, self._log, serves=True, led=self._led)
        return Server(
            store=installation.store,
            means_of=installation.means,
            now=installation.clock.now,
            steady=steady,
            holder=this_process(),
            jobs=jobs,
            watchers=watchers,
            chores=chores,
            observer=Observer(installation.store, installation.provider, installation.clock.now),
        )

    def _led(self, by: AlreadyServed | None) -> None:
        """Where several serve: who does what is done once for all."""
        self._say(
            f"{by}: this one works beside it, and takes its place when it is gone"
            if by
            else "this one leads: campaigns, checkpoints and the looks for all rollouts are done from here"
        )

    def _greeting(self) -> str:
        rows = self._installation.store.db.all(OPEN, GREETED + 1)
        told = "; ".join(f"{rollout} ({phase})" for rollout, phase in rows[:GREETED]) or "nothing is open"
        more = "; and more: rollout status" if len(rows) > GREETED else ""
        return f"serving {self._installation.fleet_file}: {told}{more}"

    # What is told

    def _end_job(self, row: Row, job: Job) -> None:
        self._note_job(row.service, job)

    def _trouble(self, what: str, error: BaseException) -> None:
        super()._trouble(what, error)
        if what == "clock":
            now = self._installation.clock.now()
            FleetJournal(self._installation.store.db).append("clock_jumped", "", {"text": str(error)}, now)

    def _store_trouble(self, error: StoreError | None) -> None:
        """Told at once, and once more when it is over."""
        if error is None:
            self._say("the store can be used again")
            problems = self._direct.over()
        else:
            problems = self._direct.seen(error)
            if self._is_new():
                self._log.error("store_trouble", text=str(error))
                self._say(f"{error}. Nothing moves until it can be used; rollout rollback works without it")
        for problem in problems:
            self._say(problem)

    def _delivery_trouble(self, error: Exception) -> None:
        self._log.error("deliveries", kind=type(error).__name__, text=str(error))

    def _is_new(self) -> bool:
        """A store that stays full would otherwise be told five times a second."""
        if self._said_at is not None and steady() - self._said_at < LOOK_S:
            return False
        self._said_at = steady()
        return True

    # What else is done

    def _chores(self) -> list[Chore]:
        installation, keep = self._installation, self._installation.fleet.keep
        chores = [
            *self._switchboard.chores(),
            *self._own_chores(),
            # A hold mark turns a halted rollout back, too; nothing else looks at it.
            Chore("halted", LOOK_S, lambda: installation.store.wake_all(installation.clock.now(), halted=True)),
            Chore("campaigns", CAMPAIGNS_S, Runner(installation, this_process(), self._say).look, aside=True),
        ]
        if keep.checkpoints:
            folder, every_s = self._folder(keep.checkpoints), keep.checkpoint_every_s
            chores.append(Chore("checkpoint", every_s, lambda: self._checkpoint(folder), aside=True))
        if keep.journals_s and keep.archive:
            older_s, archive = keep.journals_s, self._folder(keep.archive)
            chores.append(Chore("retention", HOUR_S, lambda: self._archive(older_s, archive), aside=True))
        return chores

    def _checkpoint(self, folder: Path) -> None:
        write_checkpoint(self._installation, folder)

    def _archive(self, older_s: float, folder: Path) -> None:
        done = prune(self._installation, older_s, folder, at_most=ARCHIVED_AT_ONCE)
        for why in done.left:
            self._log.info("not_archived", text=why)

    def _folder(self, written: str) -> Path:
        return self._installation.fleet_file.absolute().parent / written

    # The fleet file, read again

    def _hang_up(self) -> None:
        self._reload = True

    def _look_up(self, server: Server) -> None:
        if self._reload and not self._asked:
            self._read_again(server)

    def _read_again(self, server: Server) -> None:
        self._reload = False
        try:
            self._installation.read_again()
        except (SettingsErrors, OSError) as error:
            self._say(f"the fleet file cannot be read again, what was read before holds: {error}")
            return
        self._read_certificate_again()
        server.jobs, server.chores = self._most_jobs(), self._chores()
        self._tell_receivers()
        self._say("read the fleet file again")

    def _read_certificate_again(self) -> None:
        try:
            self._switchboard.read_again()
        except ValueError as error:
            self._say(f"{error}; what was read before holds")

    def _most_jobs(self) -> int:
        return self._installation.fleet.serve.jobs if self._jobs is None else self._jobs

    def _tell_receivers(self) -> None:
        """Who is told of news, as the fleet file has it now."""
        installation, targets = self._installation, targets_of(self._installation.fleet.notify)
        self._deliverer = Deliverer(installation.store.db, targets, installation.clock)
        self._direct = StoreTrouble(targets, installation.clock)

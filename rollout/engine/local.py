"""Drive one rollout from this process until it needs nothing more: jobs in a thread, a heartbeat for the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from providers.base import Clock
from rollout.engine.job import Advanced, advance
from rollout.journal import Entry
from rollout.lease import HEARTBEAT_S, Holder
from rollout.run import Means
from rollout.store import Fenced, LeaseHeld, Row, Store, Wait

TICK_S = 0.1
WATCH_S = 0.5


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told while a rollout is driven: each new journal entry, each look at a wait, and who else drives."""

    entry: Callable[[Entry], None] = lambda entry: None
    wait: Callable[[Wait], None] = lambda wait: None
    elsewhere: Callable[[LeaseHeld], None] = lambda held: None


@dataclass
class Job:
    """One `advance` in a thread of its own, so that the caller can go on listening to people."""

    rollout: str
    means: Means
    holder: Holder
    advanced: Advanced | None = None
    error: BaseException | None = None
    epoch: int | None = None
    done: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        threading.Thread(target=self._work, daemon=True, name=f"job {self.rollout}").start()
        threading.Thread(target=self._beat, daemon=True, name=f"heartbeat {self.rollout}").start()

    def _work(self) -> None:
        try:
            self.advanced = advance(self.rollout, self.means, self.holder, on_lease=self._leased)
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()

    def _leased(self, epoch: int) -> None:
        self.epoch = epoch

    def _beat(self) -> None:
        """Renew the lease while the job acts; whoever raised the epoch meanwhile has it now."""
        service = self.means.store.rollout(self.rollout).service
        while not self.done.wait(HEARTBEAT_S):
            if self.epoch is not None:
                try:
                    self.means.store.renew_lease(service, self.epoch, self.means.clock.now())
                except Fenced:
                    return


class Driver:
    """Jobs for one rollout, one after the other, each when it is due. Entries after `told_seq` are told."""

    def __init__(self, rollout: str, means: Means, holder: Holder, listener: Listener, told_seq: int = 0) -> None:
        self.rollout, self._means, self._holder, self._listener = rollout, means, holder, listener
        self._store: Store = means.store
        self._clock: Clock = means.clock
        self._job: Job | None = None
        self._told_seq = told_seq
        self._told_wait: Wait | None = None

    def tick(self) -> Row:
        """Begin or end a job if one is due, tell what is new, and return how the rollout stands."""
        if self._job and self._job.done.is_set():
            self._end(self._job)
        self._tell()
        row = self._store.rollout(self.rollout)
        if self._job is None and row.closed_at is None and row.due_at <= self._clock.now():
            self._job = Job(self.rollout, self._means, self._holder)
            self._job.begin()
        return row

    @property
    def busy(self) -> bool:
        return self._job is not None

    def _end(self, job: Job) -> None:
        self._job = None
        if isinstance(job.error, LeaseHeld):
            self._listener.elsewhere(job.error)
            self._clock.sleep(min(WATCH_S, max(TICK_S, job.error.expires_in_s)))
        elif job.error:
            raise job.error

    def _tell(self) -> None:
        for entry in self._store.entries(self.rollout, self._told_seq):
            self._told_seq = entry.seq
            self._listener.entry(entry)
        wait = self._store.wait(self.rollout)
        if wait and wait != self._told_wait:
            self._told_wait = wait
            self._listener.wait(wait)

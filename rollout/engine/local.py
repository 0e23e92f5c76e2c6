"""Drive one rollout from this process until it needs nothing more: jobs in a thread, a heartbeat for the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from providers.base import Clock
from rollout.engine.job import Advanced, advance
from rollout.journal import Entry
from rollout.lease import HEARTBEAT_S, Holder
from rollout.means import Means
from rollout.observer import Shared
from rollout.rows import Row, Wait
from rollout.store import Fenced, LeaseHeld, Store, StoreError

TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told while a rollout is driven: each new entry, each look at a wait, who else drives, each job's end."""

    entry: Callable[[Entry], None] = lambda entry: None
    wait: Callable[[Wait], None] = lambda wait: None
    elsewhere: Callable[[Holder], None] = lambda holder: None
    job: Callable[[Job], None] = lambda job: None


@dataclass
class Job:
    """One `advance` in a thread of its own, so that the caller can go on listening to people. `then` is called there
    once it is done."""

    rollout: str
    means: Means
    holder: Holder
    shared: Shared | None = None
    advanced: Advanced | None = None
    error: BaseException | None = None
    epoch: int | None = None
    seconds: float = 0.0
    step: str = ""
    """Of the last entry that it wrote with one, for the log; known once its entries were read (`note_step`)."""
    done: threading.Event = field(default_factory=threading.Event)
    then: Callable[[], None] = lambda: None

    def begin(self) -> None:
        threading.Thread(target=self.run, daemon=True, name=f"job {self.rollout}").start()

    def run(self) -> None:
        """In the thread that calls, until it is done."""
        threading.Thread(target=self._beat, daemon=True, name=f"heartbeat {self.rollout}").start()
        self._work()

    def note_step(self, entries: Sequence[Entry]) -> None:
        """Among them are those that it wrote."""
        self.step = next((entry.step for entry in reversed(entries) if entry.step and entry.epoch == self.epoch), "")

    def _work(self) -> None:
        began = self.means.clock.now()
        try:
            self.advanced = advance(self.rollout, self.means, self.holder, shared=self.shared, on_lease=self._leased)
        except BaseException as error:
            self.error = error
        finally:
            self.seconds = self.means.clock.now() - began
            self.done.set()
            self.then()

    def _leased(self, epoch: int) -> None:
        self.epoch = epoch

    def _beat(self) -> None:
        """Renew the lease while the job acts; whoever raised the epoch meanwhile has it now."""
        while not self.done.wait(HEARTBEAT_S):
            if self.epoch is not None:
                try:
                    service = self.means.store.rollout(self.rollout).service
                    self.means.store.renew_lease(service, self.epoch, self.means.clock.now())
                except Fenced:
                    return
                except StoreError:
                    continue  # busy or full: the next beat may come through; the epoch fences either way


class Driver:
    """Jobs for one rollout, one after the other, each when it is due. Entries after `told_seq` are told.

    Where another process drives already, this one watches, and takes over when that one has gone.
    """

    def __init__(self, rollout: str, means: Means, holder: Holder, listener: Listener, told_seq: int = 0) -> None:
        self.rollout, self._means, self._holder, self._listener = rollout, means, holder, listener
        self._store: Store = means.store
        self._clock: Clock = means.clock
        self._job: Job | None = None
        self._told_seq = told_seq
        self._told_wait: Wait | None = None
        self._noted_at: float | None = None
        self._began = False
        self._looked_at: float | None = None

    def tick(self) -> Row:
        """Begin or end a job if one is due, tell what is new, and return how the rollout stands."""
        new: list[Entry] | None = None
        if self._job and self._job.done.is_set():
            job, self._job = self._job, None
            with suppress(StoreError):  # that the job ended is told in any case
                new = self._new()
            job.note_step(new or ())
            self._listener.job(job)
            if job.error and not isinstance(job.error, LeaseHeld):
                raise job.error
        row = self._tell(self._new() if new is None else new)
        now = self._clock.now()
        if self._looked_at is not None and now < self._looked_at:
            self._began = False  # the clock was set back: by it, nothing is due for long
        self._looked_at = now
        if (
            row.closed_at is None
            and self._is_ours(now)
            and self._job is None
            and (row.due_at <= now or not self._began)
        ):
            self._began = True  # the first look is at once: what waits may have a hold mark by now
            self._job = Job(self.rollout, self._means, self._holder)
            self._job.begin()
        return row

    def look(self) -> Row:
        """Tell what is new, and return how the rollout stands."""
        return self._tell(self._new())

    def _new(self) -> list[Entry]:
        return self._store.entries(self.rollout, self._told_seq)

    def _tell(self, new: Sequence[Entry]) -> Row:
        for entry in new:
            self._told_seq = entry.seq
            self._listener.entry(entry)
        wait = self._store.wait(self.rollout)
        if wait and wait != self._told_wait:
            self._told_wait = wait
            self._listener.wait(wait)
        return self._store.rollout(self.rollout)

    def close(self) -> None:
        """This process drives no longer."""
        if self._noted_at is not None:
            self._store.leave_driver(self.rollout, self._holder)

    @property
    def busy(self) -> bool:
        return self._job is not None

    def _is_ours(self, now: float) -> bool:
        present = self._store.driver(self.rollout, now)
        if present not in (None, self._holder):
            self._listener.elsewhere(present)
            self._began = False  # once that one has gone: what it observed nobody wakes any more
            return False
        if self._noted_at is None or now - self._noted_at >= HEARTBEAT_S:
            self._store.note_driver(self.rollout, self._holder, now)
            self._noted_at = now
        return True

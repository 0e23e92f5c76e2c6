"""The engine of a process that shares its store with others: what is due goes through the queue, to whoever is free.

Any number of processes work; one of those that serve does what is done once for a fleet (chores, and looking at what
is awaited), and the next one does when it is gone. Leases and epochs keep apart what one of them did too late.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from providers.base import Reading
from rollout.engine.queue_tables import prepare_queue
from rollout.engine.serve import Chore, Server
from rollout.engine.watch import Observer
from rollout.engine.working import Broke, Ended, Worker
from rollout.lease import HEARTBEAT_S
from rollout.observer import Answer, Fact, Shared
from rollout.presence import (
    AlreadyServed,
    is_observed,
    leave_server,
    note_server,
    note_sharing,
    present_server,
    present_workers,
)
from rollout.store import StoreError

LOOK_S = 1.0
"""How often a process looks whether the store can be used, and whether the one that leads is there still."""
LEAVE_S = 5.0


class Queue(Protocol):
    """What brings wake-ups (rollout/engine/distributed.py)."""

    @property
    def is_alive(self) -> bool: ...
    def start(self) -> None: ...
    def usable(self, store_is: bool) -> None: ...
    def stop(self, within_s: float) -> None: ...


class QueueEnded(Exception):
    """Nothing would be woken from here any more."""


class NobodyWorks(Exception):
    """This process only queues what is due, and there is no worker to take it."""

    def __init__(self) -> None:
        super().__init__("nobody takes what is due: nothing moves until there is a rollout worker, or serve has jobs")


class ObservedElsewhere:
    """Another process looks at what is awaited, for all: jobs here need not, and are woken."""

    reads_here = False
    is_short = False

    def answer(self, service: str, fact: Fact, after: float) -> Answer | None:
        return None

    def reading(self, service: str, after: float) -> Reading | None:
        return None


@dataclass
class SharingServer(Server):
    """`queue_of` makes the queue for a worker. `serves`: it may lead, else it only works.

    `led` is told when it begins to lead (None), and by whom it is led instead.
    """

    queue_of: Callable[[Worker], Queue] = lambda worker: _none()
    serves: bool = True
    led: Callable[[AlreadyServed | None], None] = lambda by: None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.leads: bool | None = None
        self._ended: deque[Ended | Broke] = deque()
        self._queue: Queue | None = None
        self._looked_at: float | None = None
        self._elsewhere: ObservedElsewhere | None = None
        self._since = 0.0
        self._unworked = False
        self.worker = Worker(
            self.store, self.means_of, self.now, self.holder, self._ended.append, lambda: self._observing
        )

    @property
    def running(self) -> int:
        return len(self.worker.acting)

    def begin(self) -> None:
        """Work, and lead where nobody does. Raises StoreError."""
        prepare_queue(self.store.db)
        self._since = self.now()
        self._noted_at, self._offset = None, self.now() - self.steady()
        self._note_presence()
        self._queue = self.queue_of(self.worker)
        self._queue.start()
        self._queue.usable(True)

    def tick(self) -> None:
        super().tick()
        if self._queue:
            self._queue.usable(not self._store_failed)

    def stop(self) -> None:
        self.jobs = 0
        if self._queue:
            self._queue.stop(0.0)

    def leave(self) -> None:
        if self._queue:
            self._queue.stop(LEAVE_S if not self.worker.acting else 0.0)
        with suppress(StoreError):  # then it is forgotten after a while
            leave_server(self.store.db, self.holder)

    def _begin_what_is_due(self) -> None:
        """The queue does. Here it is told whether it can."""
        if self._queue and not self._queue.is_alive and not self.worker.stopping.is_set():
            raise QueueEnded("the queue's thread has ended; what is due is done by others, or by the next process here")
        if self._looked_at is not None and self.steady() - self._looked_at < LOOK_S:
            return
        self._look()

    def _look(self) -> None:
        now = self.now()
        self._elsewhere = ObservedElsewhere() if not self.leads and is_observed(self.store.db, now) else None
        self._say_whether_anybody_works(now)
        if self.serves and not self.leads and present_server(self.store.db, now) is None:
            self._lead()
        self._looked_at = self.steady()

    def _say_whether_anybody_works(self, now: float) -> None:
        """Once each time that there is nobody to take what is queued here."""
        stopping = self.worker.stopping.is_set()
        before, self._unworked = self._unworked, not (self.jobs or stopping or present_workers(self.store.db, now))
        if self._unworked and not before:
            self.watchers.trouble("workers", NobodyWorks())

    def _acting(self) -> set[str]:
        return self.worker.acting

    def _collect(self) -> None:
        while self._ended:
            ended = self._ended.popleft()
            if isinstance(ended, Broke):
                self.watchers.trouble(ended.rollout, ended.error)
                continue
            self.watchers.job(ended.row, ended.job)
            for entry in ended.entries:
                self.watchers.entry(ended.row, entry)

    # Who leads

    def _note_presence(self) -> None:
        if self._noted_at is not None and self.steady() - self._noted_at < HEARTBEAT_S:
            return
        observes = bool(self.leads and self.observer and self.observer.is_awake)
        works = self.jobs > 0 or not self.serves
        note_sharing(self.store.db, self.holder, self._since, self.now(), works=works, observes=observes)
        if self.serves:
            self._lead()
        self._noted_at = self.steady()

    def _lead(self) -> None:
        before = self.leads
        try:
            note_server(self.store.db, self.holder, self.now())
        except AlreadyServed as other:
            self.leads = False
            if before is not False:
                self.led(other)
            return
        if not before:
            self.store.wake_all(self.now())  # what the one before observed
        self.leads = True
        if not before:
            self.led(None)

    def _is_ours(self, chore: Chore) -> bool:
        return chore.each or bool(self.leads)

    # Who observes

    @property
    def _shared(self) -> Observer | None:
        return super()._shared if self.leads else None

    @property
    def _observing(self) -> Shared | None:
        """For jobs: what this process reads for all, or that another one does."""
        return self._shared or self._elsewhere

    def _heed_observer(self) -> None:
        """What was left to who observed is looked at by jobs again, once nobody does."""
        observed = self._observing is not None
        if self._observed and not observed:
            self.store.wake_all(self.now())
        self._observed = observed


def _none() -> Queue:
    raise NotImplementedError("a server that shares its store needs a queue")

"""Carry out one wake-up: the jobs of a rollout until it has to wait, in the thread that calls. Never raises.

A wake-up is only a hint. Whether there is anything to do stands in the store, the lease decides who does it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rollout.engine.local import Job
from rollout.journal import Entry
from rollout.lease import Holder
from rollout.means import Means
from rollout.observer import Shared
from rollout.rows import Row
from rollout.store import LeaseHeld, Store, StoreError

MOST_JOBS = 20
"""Of one wake-up: what is due again at once goes on at once, but not for ever."""
EARLY_S = 0.05
"""What is due so soon is due: clocks of two machines differ by as much."""
AGAIN_S, MOST_S = 1.0, 10.0
"""After a job that broke: the first wait, doubled each time up to the second."""
LATE_WORDS = 5
"""So many of a person's words before the first entry of a job are told with it."""
OF_PEOPLE = ("opened", "roll_back_decided", "paused", "resumed", "approved", "adopted")


@dataclass(frozen=True, slots=True)
class Ended:
    """One job, for who tells of it: the entries that it wrote, with what people said just before."""

    row: Row
    job: Job
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Broke:
    """A job that could not be tried, or failed of itself."""

    rollout: str
    error: BaseException


@dataclass
class Worker:
    """`carry_out` from any number of threads; each rollout in one of them at a time. `shared`: who observes now."""

    store: Store
    means_of: Callable[[str], Means]
    now: Callable[[], float]
    holder: Holder
    tell: Callable[[Ended | Broke], None]
    shared: Callable[[], Shared | None] = lambda: None
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._guard = threading.Lock()
        self._acting: set[str] = set()
        self._broken: dict[str, int] = {}

    @property
    def acting(self) -> set[str]:
        """The rollouts that are driven here at this moment."""
        with self._guard:
            return set(self._acting)

    def carry_out(self, rollout: str) -> None:
        with self._guard:  # our own lease would let us in a second time
            if rollout in self._acting:
                return
            self._acting.add(rollout)
        try:
            self._drive(rollout)
        except StoreError:
            return  # told by who looks after the store; it is due still
        except Exception as error:
            self.tell(Broke(rollout, error))
        finally:
            with self._guard:
                self._acting.discard(rollout)

    def _drive(self, rollout: str) -> None:
        for _ in range(MOST_JOBS):
            if self.stopping.is_set():
                return
            try:
                row = self.store.rollout(rollout)
            except KeyError:
                return  # a wake-up from before the store was replaced
            if row.closed_at is not None or row.due_at > self.now() + EARLY_S or not self._job(row):
                return

    def _job(self, row: Row) -> bool:
        """One job; False where another one would be in vain now."""
        try:
            means = self.means_of(row.plan["provider"])
        except Exception as error:  # a provider that cannot be loaded here: only its own rollouts wait
            self._put_off(row, None, error)
            return False
        job = Job(row.id, means, self.holder, self.shared())
        job.run()
        if isinstance(job.error, LeaseHeld):
            return False
        if job.error is None:
            self._broken.pop(row.id, None)
        entries = self._last_entries(row)
        job.step = next((entry.step for entry in reversed(entries) if entry.step), "")
        self.tell(Ended(row, job, written(entries, job.epoch)))
        if job.error is not None:
            self._put_off(row, job.epoch, job.error)
        return job.error is None

    def _last_entries(self, row: Row) -> list[Entry]:
        try:
            return self.store.entries(row.id, max(0, row.head_seq - LATE_WORDS))
        except StoreError:
            return []

    def _put_off(self, row: Row, epoch: int | None, error: BaseException) -> None:
        """What broke is tried again ever more rarely; whoever gets to it then."""
        if isinstance(error, StoreError):
            return  # its lease runs out, and it is due still
        self.tell(Broke(row.id, error))
        times = self._broken[row.id] = self._broken.get(row.id, 0) + 1
        due_at = self.now() + min(AGAIN_S * 2 ** min(times - 1, 10), MOST_S)
        if epoch is not None:
            self.store.release_lease(row.id, epoch, due_at)
            return
        with self.store.db.transaction() as db:  # unless the rollout has moved since
            db.execute(
                "UPDATE rollouts SET due_at = ? WHERE id = ? AND head_seq = ? AND due_at <= ? AND closed_at IS NULL",
                (due_at, row.id, row.head_seq, due_at),
            )


def written(entries: Sequence[Entry], epoch: int | None) -> tuple[Entry, ...]:
    """Those of an epoch, with what people said directly before: whoever goes on after their words tells them."""
    own = [at for at, entry in enumerate(entries) if entry.epoch == epoch and entry.kind not in OF_PEOPLE]
    if not own:
        return ()
    begin = own[0]
    while begin and entries[begin - 1].kind in OF_PEOPLE:
        begin -= 1
    return tuple(entries[at] for at in (*range(begin, own[0]), *own))

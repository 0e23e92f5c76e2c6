"""Drive everything that is open, in one process: what is due becomes a job, jobs are bounded, nothing waits in memory.

The store says what is due, so that any other process may change it at any time; a look at it costs one indexed read.
A rollout that a living command drives is left to that command.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rollout.database import StoreReplaced
from rollout.engine.local import Job
from rollout.engine.watch import AWAKE_S, EVERY_S, Observer
from rollout.journal import Entry
from rollout.lease import HEARTBEAT_S, Holder
from rollout.means import Means
from rollout.presence import leave_server, note_server
from rollout.rows import Row
from rollout.store import LeaseHeld, Store, StoreError

TICK_S = 0.2
"""Between two ticks; where more is due than may act at once, the next one follows the end of a job."""
AGAIN_S = 5.0
MOST_S = 60.0
"""After a job that broke, which says nothing of when to try again: the first wait, doubled each time up to this."""
BACK, WATCHED, LATER = range(3)
"""How urgent a job is. A job of the last kind may take long (an image is built), so that it gets no more than three
quarters of the slots."""
DUE = (
    "SELECT CASE WHEN phase = 'rolling_back' THEN 0 WHEN phase IN ('shifting', 'baking') THEN 1 ELSE 2 END AS urgency,"
    " id, head_seq, due_at, drivers.rollout IS NOT NULL FROM rollouts LEFT JOIN drivers ON drivers.rollout = id"
    " WHERE closed_at IS NULL AND due_at <= ? ORDER BY urgency, due_at, id"
)
HEADS = "SELECT id, head_seq FROM rollouts WHERE closed_at IS NULL"
DECIDED = "SELECT DISTINCT rollout FROM journal WHERE kind = 'roll_back_decided' AND rollout IN ({})"
ASKED_AT_ONCE = 500
JUMP_S = 5.0
"""A clock that differs by more than this from a steady one was set."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something else that a serving process does now and then. What it raises is told, and stops nothing.

    `aside`: it may take long (another disk, a large archive), so that it has a thread of its own. `each`: where several
    processes serve, each of them does it, for it is about its own host.
    """

    name: str
    every_s: float
    do: Callable[[], None]
    aside: bool = False
    needs_store: bool = True
    each: bool = False


class Due(NamedTuple):
    """What is due, without its plan: where thousands are, few of them begin at a tick."""

    urgency: int
    id: str
    head_seq: int
    due_at: float
    has_driver: bool
    """A command noted itself beside it, now or some time ago."""


@dataclass
class Watchers:
    """Who is told: entries as they are written, jobs as they end, trouble in words."""

    entry: Callable[[Row, Entry], None] = lambda row, entry: None
    job: Callable[[Row, Job], None] = lambda row, job: None
    trouble: Callable[[str, BaseException], None] = lambda what, error: None
    store_trouble: Callable[[StoreError | None], None] = lambda error: None


@dataclass
class Server:
    """`tick` again and again; `steady` is a clock that nobody can set, in seconds. At most `jobs` jobs act at once
    (of 1, one more that turns back or watches), some of which are kept for what cannot wait."""

    store: Store
    means_of: Callable[[str], Means]
    now: Callable[[], float]
    steady: Callable[[], float]
    holder: Holder
    jobs: int = 8
    watchers: Watchers = field(default_factory=Watchers)
    chores: Sequence[Chore] = ()
    observer: Observer | None = None

    def __post_init__(self) -> None:
        self._own = [Chore("observer", EVERY_S, self.observer.look, aside=True)] if self.observer else []
        self._observed = False
        self._running: dict[str, tuple[Row, Job]] = {}
        self._urgent: dict[str, bool] = {}  # of those that run
        self._told: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._broken: dict[str, int] = {}  # how often in a row its job broke
        self._done_at: dict[str, float] = {}
        self._aside: dict[str, threading.Thread] = {}
        self._noted_at: float | None = None
        self._offset: float | None = None
        self._ran_over_jump: set[str] = set()
        self._store_failed = False
        self._ready: deque[Due] = deque()  # what was due when it was last looked
        self._asked_at: float | None = None
        self._is_full = False
        self._freed = threading.Event()  # a job ended since
        self._decided: dict[str, tuple[int, bool]] = {}  # up to which entry it was looked for a decision

    @property
    def running(self) -> int:
        """Jobs that act at this moment."""
        return len(self._running)

    def begin(self) -> None:
        """Be the one that serves; AlreadyServed where another one does."""
        self._noted_at, self._offset = None, self.now() - self.steady()
        self._note_presence()
        self._told |= dict(self.store.db.all(HEADS))
        self.store.wake_all(self.now())  # whoever drove before is gone, and with it what it would have woken

    def tick(self) -> None:
        """End jobs that are done, begin those that are due, and do chores. Trouble is told, never raised.

        AlreadyServed is: another process took this one's place while it was stopped. So is StoreReplaced.
        """
        self._collect()
        try:
            self._heed_clock()
            self._note_presence()
            self._heed_observer()
            self._begin_what_is_due()
        except StoreReplaced:
            raise  # by a restore: whoever starts this process again has the new one
        except StoreError as error:
            self._store_failed, self._is_full = True, False  # nothing begins, however many jobs end
            self.watchers.store_trouble(error)
            self._do_chores(without_store=True)
            return
        if self._store_failed:
            self._store_failed = False
            self._not_before.clear()
            self.watchers.store_trouble(None)
        self._do_chores()

    def stop(self) -> None:
        """Begin nothing more; `tick` goes on collecting what still runs."""
        self.jobs = 0

    def leave(self) -> None:
        leave_server(self.store.db, self.holder)

    def _begin_what_is_due(self) -> None:
        self._freed.clear()
        if not self._is_full or self._asked_at is None or self.steady() - self._asked_at >= TICK_S:
            self._ready, self._asked_at = deque(self._by_urgency(self.now())), self.steady()
        most = max(self.jobs, 2) if self.jobs else 0
        while self._ready:
            due = self._ready[0]
            slow = sum(not urgent for urgent in self._urgent.values())
            self._is_full = len(self._running) >= most or (due.urgency == LATER and slow >= most - max(1, most // 4))
            if self._is_full:
                return
            self._consider(self._ready.popleft())
        self._is_full = False

    def _consider(self, due: Due) -> None:
        """Begin it, unless it has to wait for something that the store does not know."""
        if due.id in self._running or self._not_before.get(due.id, 0.0) > self.steady():
            return
        if self.observer and self.observer.holds(due.id, due.due_at):
            return
        if due.has_driver and self.store.driver(due.id, self.now()) != self.holder:
            self._put_off(due.id, 1.0)  # a command drives it, and goes on once it has gone
            return
        row = self.store.rollout(due.id)
        if row.closed_at is None and row.due_at == due.due_at:  # else another one was there first
            self._begin(row, urgent=due.urgency != LATER)

    def rest(self, sleep: Callable[[float], None]) -> None:
        """Until there is something to do for this process: the next tick."""
        if self._is_full and self.jobs:
            self._freed.wait(TICK_S)
        else:
            sleep(TICK_S)

    def _by_urgency(self, now: float) -> Iterator[Due]:
        """What turns back comes first, then what has users on a side that is being proven, then the rest."""
        found = [each for each in self.store.db.all(DUE, now) if each[1] not in self._running]
        self._look_for_decisions([each for each in found if each[2] > self._decided.get(each[1], (0, False))[0]])
        decided = {each[1] for each in found if self._decided[each[1]][1]}
        yield from (Due(BACK, *each[1:]) for each in found if each[1] in decided)
        yield from (Due(*each) for each in found if each[1] not in decided)

    def _look_for_decisions(self, grown: Sequence[tuple[int, str, int, float, bool]]) -> None:
        """The phase follows only once a job has begun to turn back."""
        for at in range(0, len(grown), ASKED_AT_ONCE):
            heads = {rollout: head for _, rollout, head, *_ in grown[at : at + ASKED_AT_ONCE]}
            found = self.store.db.all(DECIDED.format(", ".join("?" * len(heads))), *heads)
            decided = {rollout for (rollout,) in found}
            self._decided |= {rollout: (head, rollout in decided) for rollout, head in heads.items()}

    def _begin(self, row: Row, *, urgent: bool) -> None:
        try:
            job = Job(row.id, self.means_of(row.plan["provider"]), self.holder, self._shared, then=self._freed.set)
        except Exception as error:  # a provider that cannot be loaded: only its own rollouts wait
            self._break(row.id, error)
            return
        self._told.setdefault(row.id, row.head_seq - 1 if row.head_seq == 1 else row.head_seq)
        self._running[row.id], self._urgent[row.id] = (row, job), urgent
        job.begin()

    def _collect(self) -> None:
        for name, (row, job) in list(self._running.items()):
            if not job.done.is_set():
                continue
            del self._running[name], self._urgent[name]
            if isinstance(job.error, LeaseHeld):
                self._put_off(name, min(job.error.expires_in_s, AGAIN_S))
            elif job.error is not None:
                self._break(name, job.error)
            else:
                self._broken.pop(name, None)
            new = self._new_entries(row)
            job.note_step(new)
            self.watchers.job(row, job)
            self._tell(row, new)

    def _new_entries(self, row: Row) -> list[Entry]:
        try:
            return self.store.entries(row.id, self._told.get(row.id, 0))
        except StoreError:
            return []  # told after the next job

    def _tell(self, row: Row, new: Sequence[Entry]) -> None:
        for entry in new:
            self._told[row.id] = entry.seq
            self.watchers.entry(row, entry)
            if entry.kind == "closed":
                self._told.pop(row.id, None)
                self._decided.pop(row.id, None)

    def _break(self, rollout: str, error: BaseException) -> None:
        """Told each time, and tried again ever more rarely: what no new try changes must not fill the log."""
        times = self._broken[rollout] = self._broken.get(rollout, 0) + 1
        self.watchers.trouble(rollout, error)
        self._put_off(rollout, min(AGAIN_S * 2 ** min(times - 1, 10), MOST_S))

    def _put_off(self, rollout: str, seconds: float) -> None:
        self._not_before[rollout] = self.steady() + seconds

    def _note_presence(self) -> None:
        if self._noted_at is None or self.steady() - self._noted_at >= HEARTBEAT_S:
            note_server(self.store.db, self.holder, self.now())
            self._noted_at = self.steady()

    def _acting(self) -> set[str]:
        return set(self._running)

    def _heed_clock(self) -> None:
        """Due times were written by another clock, if this one was set: look at everything again."""
        offset = self.now() - self.steady()
        if self._offset is not None and abs(offset - self._offset) > JUMP_S:
            jumped_s = offset - self._offset
            self.store.wake_all(self.now())
            self._not_before.clear()
            self._ran_over_jump = self._acting()
            self._noted_at = None  # by the new time, this server was last seen long ago
            self._observed = False  # and its observer looked last long ago
            if self.observer:
                self.observer.forget()
            self.watchers.trouble("clock", ClockJumped(jumped_s))
        self._offset = offset
        if ended := self._ran_over_jump - self._acting():  # when they are due was reckoned by the earlier time
            self.store.wake_all(self.now())
            self._ran_over_jump -= ended

    @property
    def _shared(self) -> Observer | None:
        """Who observes, as long as it does: a job that has one looks at facts no more."""
        return self.observer if self.observer and self.observer.is_awake else None

    def _heed_observer(self) -> None:
        """What was left to an observer that looks no more is looked at by jobs again."""
        observed = self._shared is not None
        if self._observed and not observed:
            self.store.wake_all(self.now())
            self.watchers.trouble("observer", ObserverSilent())
        self._observed = observed  # once they are woken: the store may fail

    def _do_chores(self, *, without_store: bool = False) -> None:
        for chore in (*self.chores, *self._own):
            if (without_store and chore.needs_store) or not self._is_ours(chore):
                continue
            if self.steady() - self._done_at.get(chore.name, -chore.every_s) >= chore.every_s:
                self._begin_chore(chore)

    def _is_ours(self, chore: Chore) -> bool:
        return True

    def _begin_chore(self, chore: Chore) -> None:
        if not chore.aside:
            self._do(chore)
        elif not (self._aside.get(chore.name) and self._aside[chore.name].is_alive()):
            self._aside[chore.name] = threading.Thread(target=self._do, args=(chore,), daemon=True, name=chore.name)
            self._aside[chore.name].start()

    def _do(self, chore: Chore) -> None:
        self._done_at[chore.name] = self.steady()
        try:
            chore.do()
        except Exception as error:
            self.watchers.trouble(chore.name, error)


class ObserverSilent(Exception):
    """Nothing was looked at for all rollouts together for a while."""

    def __init__(self) -> None:
        super().__init__(f"it has read nothing for {AWAKE_S:.0f} s; each rollout looks for itself until it does")


class ClockJumped(Exception):
    """The machine's clock was set while rollouts were open."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the clock was set {abs(seconds):.0f} s {'forward' if seconds > 0 else 'back'}: soaks begin again, "
            f"deadlines and windows are judged by the new time"
        )
        self.seconds = seconds

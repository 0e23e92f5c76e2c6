"""Looks at rollouts beside whoever drives them, and tells the stream of events what it sees. Never drives anything.

Each look is made in a thread of its own: a store that is busy or a platform that hangs holds up neither a rollout
that is driven from here nor a Ctrl-C.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from rollout.rows import Row, Wait
from rollout.store import Store, StoreError
from rollout.summary import stand
from rollout.view.listing import Routes, list_all
from rollout.view.meter import meter_of
from rollout.view.overview import nothing
from rollout.view.stream import Event, of_entry, of_wait, said
from rollout.wiring import Installation

LOOK_S = 0.5
LIST_S = 2.0
TRAFFIC_S = 2.0
SHOWN_BEFORE = 5
"""Sentences from before a watch began that people are told."""

Tell = Callable[[Event], None]


@dataclass
class Looks:
    """One kind of look, again and again until it is stopped or `look` returns True: there is nothing more to see."""

    look: Callable[[], bool]
    every_s: float
    error: Exception | None = None
    over: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)

    def begin(self) -> None:
        threading.Thread(target=self._work, daemon=True, name="onlooker").start()

    def stop(self) -> None:
        """It ends after the look that it is at; nobody waits for that one."""
        self._stop.set()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                if self.look():
                    return
                self._stop.wait(self.every_s)
        except Exception as error:
            self.error = error
        finally:
            self.over.set()


@contextmanager
def looking(looks: Sequence[Looks]) -> Iterator[None]:
    """While the body runs; what goes wrong with a look ends only that look."""
    for each in looks:
        each.begin()
    try:
        yield
    finally:
        for each in looks:
            each.stop()


class Standing:
    """How one rollout stands: told whenever its journal, its wait or its driver is another.

    `store` is called when the first look is made, for it may have to wait; `find` says which rollout it is.
    """

    def __init__(
        self, store: Callable[[], Store], find: Callable[[], str], now: Callable[[], float], tell: Tell
    ) -> None:
        self._open, self._find, self._now, self._tell = store, find, now, tell
        self._store: Store | None = None
        self._rollout = ""
        self.row: Row | None = None
        self._seen: tuple[Any, ...] = ()

    def look(self) -> bool:
        """True when it is closed."""
        if self._store is None:
            store = self._open()
            self._store, self._rollout = store, self._find()
        row, now = self._store.rollout(self._rollout), self._now()
        self.row = row
        driver = self._store.driver(row.id, now)
        seen = (row.head_seq, row.outcome, str(driver))
        self.tell_more(self._store, row, now)
        if seen != self._seen:
            self._seen = seen
            self._tell(Event("stands", stand(self._store, row, now), at=now))
        return row.closed_at is not None

    def tell_more(self, store: Store, row: Row, now: float) -> None:
        """A watcher's part; where it is driven from here, the driver tells."""


class Watched(Standing):
    """The same for somebody who only watches: what happens is told from here. `all_of_it`: from the beginning."""

    def __init__(self, *given: Any, all_of_it: bool) -> None:
        super().__init__(*given)
        self._all_of_it = all_of_it
        self._told_seq = 0
        self._told_wait: Wait | None = None
        self._trouble = ""

    def look(self) -> bool:
        """A store that could be read once and now is busy is tried again."""
        try:
            over = super().look()
            self._trouble = ""
        except StoreError as error:
            if self._store is None:
                raise
            if not self._trouble:
                self._tell(said(f"{error}; trying again"))
            self._trouble = str(error)
            return False
        return over

    def tell_more(self, store: Store, row: Row, now: float) -> None:
        entries = store.entries(row.id, self._told_seq)
        events = [of_entry(entry) for entry in entries]
        if not self._told_seq and not self._all_of_it:
            events = [event for event in events if event.text][-SHOWN_BEFORE:]
        if entries:
            self._told_seq = entries[-1].seq
        for event in events:
            self._tell(event)
        wait = store.wait(row.id)
        if wait and wait != self._told_wait and row.closed_at is None:
            self._told_wait = wait
            self._tell(of_wait(row.id, wait, now))


class Traffic:
    """The traffic of one rollout's service, from its provider."""

    def __init__(self, installation: Installation, row: Callable[[], Row | None], tell: Tell) -> None:
        self._installation, self._row, self._tell = installation, row, tell
        self._meter: Any = None
        self._service: Any = None

    def look(self) -> bool:
        row = self._row()
        if row is None:
            return False
        if self._meter is None:
            from rollout.plan import Plan

            self._meter = meter_of(row.id, row.plan)
            self._service = Plan.from_json(row.plan).service
        try:
            traffic = self._installation.provider(row.plan["provider"]).traffic
            event = self._meter.read(traffic.observe([self._service])[self._service.name])
        except Exception as error:  # a platform may answer anything: that is no reason not to show the rest
            event = self._meter.fail(f"{type(error).__name__}: {error}", self._installation.clock.now())
        if event:
            self._tell(event)
        return False


class Everything:
    """All open rollouts and those of the last day. A folder without a store has none yet."""

    def __init__(self, installation: Installation, routes: Routes, tell: Tell) -> None:
        self._installation, self._routes, self._tell = installation, routes, tell
        self._told_seq: dict[str, int] | None = None
        self._read = False

    def look(self) -> bool:
        """What happens from the first look on is told, too. Never over."""
        if not self._installation.has_store:
            self._told_seq = {}
            self._tell(Event("listed", nothing()))
            return False
        try:
            store, now = self._installation.store, self._installation.clock.now()
            listed = list_all(store, now, self._routes)
            self._tell_more(store, [summary["id"] for summary in listed["rollouts"]])
        except StoreError:
            if not self._read:
                raise
            return False  # busy: at the next look
        self._read = True
        self._tell(Event("listed", listed, at=now))
        return False

    def _tell_more(self, store: Store, rollouts: Sequence[str]) -> None:
        begun, self._told_seq = self._told_seq, dict(self._told_seq or {})
        for rollout in reversed(rollouts):
            if begun is None:
                self._told_seq[rollout] = store.rollout(rollout).head_seq
                continue
            for entry in store.entries(rollout, self._told_seq.get(rollout, 0)):
                self._told_seq[rollout] = entry.seq
                event = of_entry(entry)
                self._tell(replace(event, text=f"{rollout}: {event.text}") if event.text else event)

"""What many services that are put back at once share: calls for several of them, and AWS's limit for reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

V = TypeVar("V")
TINY = 1e-6


class Together(Generic[V]):
    """Reads of one kind, in as few calls as they fit into: what is asked for while a call is under way is in the next.

    `ask` is given keys, `most` at a time, and leaves out those that do not exist; `start` runs something in a thread.
    `gather` waits until its event is set, or for so long as those may wait who are patient.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Mapping[str, V]],
        most: int,
        start: Callable[[Callable[[], None]], Any],
        gather: Callable[[threading.Event], Any] = threading.Event.wait,
    ) -> None:
        self._ask, self._most, self._start, self._gather = ask, most, start, gather
        self._lock, self._full = threading.Lock(), threading.Event()
        self._waiting: list[tuple[str, bool, Future[V | None]]] = []
        self._busy = False

    def soon(self, key: str, *, patient: bool = False) -> Future[V | None]:
        """None: there is no such one. `patient`: it may wait a moment for others to be asked for in the same call."""
        found: Future[V | None] = Future()
        with self._lock:
            self._waiting.append((key, patient, found))
            begins, self._busy = not self._busy, True
            if self._is_due():
                self._full.set()
        if begins:
            self._start(self._serve)
        return found

    def _is_due(self) -> bool:
        return len(self._waiting) >= self._most or not all(patient for _, patient, _ in self._waiting)

    def _serve(self) -> None:
        while part := self._next():
            try:
                told = self._ask(list(dict.fromkeys(key for key, _, _ in part)))
            except Exception as error:
                for _, _, each in part:
                    each.set_exception(error)
            else:
                for key, _, each in part:
                    each.set_result(told.get(key))

    def _next(self) -> list[tuple[str, bool, Future[V | None]]]:
        with self._lock:
            if not self._waiting:
                self._busy = False
                return []
            is_due = self._is_due()
            if not is_due:
                self._full.clear()
        if not is_due:
            self._gather(self._full)
        with self._lock:
            part, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        return part


class Pace:
    """`size` at once, then `refill` a second: where some queue, each waits for its turn, rather than be refused, and
    who is `last` lets all others go first. Where nobody queues, only who is `last` waits: one person at night does not
    wait for a limit that may be far away; what the vendor refuses he asks again."""

    def __init__(self, size: float, refill: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._size, self._refill, self._clock, self._sleep = size, refill, clock, sleep
        self._lock = threading.Lock()
        self._level, self._at, self._ahead, self._behind = size, clock(), 0, 0

    def wait(self, *, last: bool = False) -> None:
        with self._lock:
            self._ahead += not last
            self._behind += last
        while (due_in := self._taken(last)) > 0:
            self._sleep(due_in)

    def refused(self) -> None:
        """The vendor says that there is nothing left: somebody else calls, too."""
        with self._lock:
            self._level = min(self._now(), 0.0)

    def _taken(self, last: bool) -> float:
        """Seconds until it is worth another look; 0: one is taken."""
        with self._lock:
            self._level = self._now()
            waits = last or self._behind
            if waits and (self._level < 1 - TINY or (last and self._ahead)):
                return max(1 - self._level, 1.0) / self._refill
            self._level = max(0.0, self._level - 1)
            self._ahead -= not last
            self._behind -= last
            return 0.0

    @property
    def is_queue(self) -> bool:
        """Do some wait whom all others pass?"""
        return self._behind > 0

    def _now(self) -> float:
        now = self._clock()
        passed, self._at = max(0.0, now - self._at), now
        return min(self._size, self._level + passed * self._refill)

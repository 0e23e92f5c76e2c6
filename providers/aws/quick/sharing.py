"""What many services that are put back at once share: calls for several of them, and AWS's limit for reads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class Together(Generic[V]):
    """Reads of one kind, in as few calls as they fit into: what is asked for while a call is under way is in the next.

    `ask` is given keys, `most` at a time, and leaves out those that do not exist; `start` runs something in a thread.
    """

    def __init__(
        self, ask: Callable[[Sequence[str]], Mapping[str, V]], most: int, start: Callable[[Callable[[], None]], Any]
    ) -> None:
        self._ask, self._most, self._start = ask, most, start
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Future[V | None]]] = []
        self._busy = False

    def soon(self, key: str) -> Future[V | None]:
        """None: there is no such one."""
        found: Future[V | None] = Future()
        with self._lock:
            self._waiting.append((key, found))
            begins, self._busy = not self._busy, True
        if begins:
            self._start(self._serve)
        return found

    def _serve(self) -> None:
        while True:
            with self._lock:
                part, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                self._busy = bool(part)
            if not part:
                return
            try:
                told = self._ask(list(dict.fromkeys(key for key, _ in part)))
            except Exception as error:
                for _, each in part:
                    each.set_exception(error)
            else:
                for key, each in part:
                    each.set_result(told.get(key))


class Pace:
    """`size` at once, then `refill` a second: each waits for its turn, rather than be refused."""

    def __init__(self, size: float, refill: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._size, self._refill, self._clock, self._sleep = size, refill, clock, sleep
        self._lock = threading.Lock()
        self._level, self._at = size, clock()

    def wait(self) -> None:
        with self._lock:
            self._level = self._now() - 1
            due_in = -self._level / self._refill
        if due_in > 0:
            self._sleep(due_in)

    @property
    def is_low(self) -> bool:
        """Is less than half of it left?"""
        with self._lock:
            self._level = self._now()
            return self._level < self._size / 2

    def _now(self) -> float:
        now = self._clock()
        passed, self._at = max(0.0, now - self._at), now
        return min(self._size, self._level + passed * self._refill)

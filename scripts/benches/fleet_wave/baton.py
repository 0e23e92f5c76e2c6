"""Virtual time for several threads: one of them runs at a time, and time passes when all of them sleep.

Whoever sleeps hands on to the thread that is due next, at that thread's time. So a run is the same each time, and what
is simulated need not be safe for threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush


class Baton:
    """A `Clock`. The thread that makes it runs; others come by `ticket` and `turn`."""

    def __init__(self, start: float) -> None:
        self._now, self._number = start, 0
        self._lock = threading.Lock()
        self._asleep: list[tuple[float, int, threading.Event]] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        with self._lock:
            mine = self._line_up(self._now + seconds)
            self._hand_on()
        mine.wait()

    def ticket(self) -> threading.Event:
        """For a thread that is about to start: it is due now."""
        with self._lock:
            return self._line_up(self._now)

    @contextmanager
    def turn(self, ticket: threading.Event) -> Iterator[None]:
        """What such a thread does, from when it is its turn."""
        ticket.wait()
        try:
            yield
        finally:
            with self._lock:
                self._hand_on()

    def thread(self, do: Callable[[], None], name: str) -> threading.Thread:
        """A new one, which has begun."""
        ticket = self.ticket()

        def run() -> None:
            with self.turn(ticket):
                do()

        thread = threading.Thread(target=run, daemon=True, name=name)
        thread.start()
        return thread

    def _line_up(self, at: float) -> threading.Event:
        self._number += 1
        event = threading.Event()
        heappush(self._asleep, (at, self._number, event))
        return event

    def _hand_on(self) -> None:
        if self._asleep:
            self._now, _, event = heappop(self._asleep)
            event.set()

"""What is going to happen in the simulated cloud, in order; nothing happens until somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from providers.base import Clock

Watcher = Callable[[float], None]
"""Called with the instant at which something just changed."""


class Timeline:
    """Events by due time, then by order of arrival. A clock that is set back finds the cloud standing still."""

    def __init__(self, clock: Clock) -> None:
        self.now = clock.now()
        self.watchers: list[Watcher] = []
        self._clock, self._sequence, self._busy = clock, 0, False
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        self._sequence += 1
        heappush(self._due, (self.now + seconds, self._sequence, happen))

    def next_at(self) -> float | None:
        """When the next event is due, so that a simulation can jump there."""
        return self._due[0][0] if self._due else None

    def catch_up(self) -> None:
        """Let everything happen that is due by now, each at its own instant; harmless inside of a watcher."""
        if self._busy:
            return
        until = self._clock.now()
        if self._due and self._due[0][0] <= until:
            self._busy = True
            try:
                while self._due and self._due[0][0] <= until:
                    self.now, _, happen = heappop(self._due)
                    happen()
                    self.tell()
            finally:
                self._busy = False
        self.now = max(self.now, until)

    def tell(self) -> None:
        for watcher in self.watchers:
            watcher(self.now)

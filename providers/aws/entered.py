"""Which target groups this process gave to a route a moment ago: AWS may not show them there yet."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from providers.aws.cloud import Place
from providers.base import Clock

SHOWN_WITHIN_S = 30.0
KEPT = 4096


class Entered:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._at: dict[tuple[Place, str], float] = {}

    def enter(self, place: Place, target_group: str) -> None:
        with self._lock:
            self._at.pop((place, target_group), None)
            self._at[place, target_group] = self._clock.now()
            if len(self._at) > KEPT:
                del self._at[next(iter(self._at))]

    def leave(self, place: Place, target_groups: Iterable[str]) -> None:
        with self._lock:
            for each in target_groups:
                self._at.pop((place, each), None)

    def lately(self, place: Place, target_groups: Iterable[str]) -> bool:
        """Any of them? A clock that was set meanwhile says no."""
        now = self._clock.now()
        with self._lock:
            found = [self._at.get((place, each)) for each in target_groups]
        return any(at is not None and 0 <= now - at < SHOWN_WITHIN_S for at in found)

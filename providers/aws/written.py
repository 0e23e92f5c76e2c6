"""Which weights this process wrote a moment ago: AWS may still show those of before, which nobody else has set."""

from __future__ import annotations

import threading

from providers.aws.cloud import Place
from providers.base import Clock, Route, Weights

SHOWN_WITHIN_S = 15.0
KEPT = 4096


class Written:
    """Thread-safe. Who did put the weights of before back, by hand, is noticed this much later."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._last: dict[tuple[Place, str], tuple[float, dict[str, int]]] = {}

    def note(self, place: Place, service: str, before: Weights, now: Weights) -> None:
        """A write that was answered; one that changed nothing says nothing of what is shown later."""
        with self._lock:
            self._last.pop((place, service), None)
            if dict(before) != dict(now):
                self._last[place, service] = (self._clock.now(), {str(slot): each for slot, each in before.items()})
            if len(self._last) > KEPT:
                del self._last[next(iter(self._last))]

    def is_behind(self, place: Place, service: str, shown: Route) -> bool:
        """May this be what was there before the last write? Not where a mark says that somebody else moved it, nor
        after a clock was set back."""
        with self._lock:
            at, before = self._last.get((place, service), (-SHOWN_WITHIN_S, {}))
        fresh = 0 <= self._clock.now() - at < SHOWN_WITHIN_S
        return fresh and shown.mark is None and dict(shown.weights) == before

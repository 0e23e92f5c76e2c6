"""One time for all machines: the database's, carried on between two looks by this machine's steady clock.

Leases, presence and due times are written by one machine and judged by another, and machines' clocks differ.
A clock that was set on the database's machine shows as a jump, which `rollout serve` tells as of any other clock.
"""

from __future__ import annotations

from collections.abc import Callable

from rollout.database import StoreError

EVERY_S = 10.0
SLOW_S = 1.0
"""A look that took longer says too little of the time; the one before it is believed instead."""
NEAR_S = 0.005
"""Closer than this it is not corrected, so that time does not go back by the noise of looking."""


class StoreClock:
    """`ask` gives the database's time (or StoreError), `steady` is a clock that nobody can set.

    `now` raises StoreError until the database has been asked once; afterwards it goes on without it. No lock: `ask`
    waits for whoever uses the database, who may be asking for the time.
    """

    def __init__(
        self,
        ask: Callable[[], float],
        steady: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._ask, self._steady, self._sleep = ask, steady, sleep
        self._offset: float | None = None
        self._due_at = 0.0

    def now(self) -> float:
        """Seconds since 1970."""
        offset = self._offset
        if offset is None or self._steady() >= self._due_at:
            offset = self._look(offset)
        return self._steady() + offset

    def sleep(self, seconds: float) -> None:
        self._sleep(seconds)

    def _look(self, known: float | None) -> float:
        begun = self._steady()
        self._due_at = begun + EVERY_S  # before asking: other threads go on with what is known
        try:
            told = self._ask()
        except StoreError:
            if known is None:
                raise
            return known
        ended = self._steady()
        seen = told - (begun + ended) / 2
        if known is not None and (ended - begun > SLOW_S or abs(seen - known) <= NEAR_S + (ended - begun) / 2):
            return known
        self._offset = seen
        return seen

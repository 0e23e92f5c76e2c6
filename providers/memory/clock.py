"""Time that passes only when it is told to."""

from __future__ import annotations


class VirtualClock:
    """A `Clock` for simulations and tests: `sleep` moves time at once. 2026-01-01 unless told otherwise."""

    __slots__ = ("_now",)

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += max(seconds, 0.0)

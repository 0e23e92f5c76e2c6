"""Time for the way back at night, as a parameter: this is the only file of it that knows the real one."""

from __future__ import annotations

import time
from typing import Protocol


class NightClock(Protocol):
    """`time`: seconds since 1970; `monotonic`: seconds that no correction of the clock moves."""

    def time(self) -> float: ...

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class RealClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


REAL: NightClock = RealClock()

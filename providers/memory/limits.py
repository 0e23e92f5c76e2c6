"""How often the simulated cloud may be called: token buckets, as platforms have them for each of their interfaces.

A call is made of so many requests to such interfaces. It waits for a token for each of them, one after the other and
in the order in which calls came, a short time only; then it is refused as Throttled, and nothing was applied.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from providers.base import Clock, Throttled

Costs = Callable[[str, int, tuple[Any, ...]], Mapping[str, int]]
"""A call (`traffic.observe`), for how many services, and what else was said → requests to each bucket."""
NEARLY = 1e-6  # what sums of floats may be short by


@dataclass(frozen=True, slots=True)
class Rate:
    """`size` requests at once, `refill` a second."""

    size: float
    refill: float


@dataclass(frozen=True, slots=True)
class Limits:
    """Buckets by name, and what each call costs. A request waits so many seconds at most."""

    buckets: Mapping[str, Rate]
    costs: Costs
    read_waits_s: float = 3.0
    write_waits_s: float = 1.0


class Throttle:
    """The buckets of one cloud as they stand. Thread-safe; nobody sleeps while holding its lock."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits, self._clock, self._lock = limits, clock, threading.Lock()
        self._spent_at: dict[str, float] = {}  # when each bucket would be full again, its size ago
        self.requests: Counter[str] = Counter()
        """Granted, by bucket."""
        self.refused: Counter[str] = Counter()

    def spend(self, call: str, services: int, detail: tuple[Any, ...], *, is_write: bool) -> None:
        """Wait for what this call costs; raises Throttled, and what was granted before is spent then."""
        patience = self._limits.write_waits_s if is_write else self._limits.read_waits_s
        for bucket, requests in self._limits.costs(call, services, detail).items():
            for _ in range(requests):
                self._take(call, bucket, patience)

    def _take(self, call: str, bucket: str, patience: float) -> None:
        rate = self._limits.buckets[bucket]
        with self._lock:
            now = self._clock.now()
            full_at = now - rate.size / rate.refill
            granted_at = max(self._spent_at.get(bucket, full_at), full_at) + 1 / rate.refill
            wait = granted_at - now
            if wait > patience + NEARLY:
                self.refused[bucket] += 1
                raise Throttled(f"{call}: {bucket} was called too often, the next call is due in {wait:.1f} s")
            self._spent_at[bucket] = granted_at
            self.requests[bucket] += 1
        if wait > NEARLY:
            self._clock.sleep(wait)

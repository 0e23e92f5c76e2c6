"""Which Auto Scaling groups have hosts, remembered for a while: one that had some a minute ago is asked about again."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from providers.aws.cloud import Cloud, Place
from providers.aws.groups import read_groups
from providers.base import Clock

REMEMBERED_S = 60.0


class Hosting:
    """Thread-safe. That a group has none is never remembered: it may have been filled a moment ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._seen: dict[tuple[Place, str], float] = {}

    def among(self, cloud: Cloud, names: Iterable[str]) -> set[str]:
        """Those of these groups that have hosts, or had some at most `REMEMBERED_S` ago."""
        asked, now = set(names), self._clock.now()
        with self._lock:
            known = {name for name in asked if 0 <= now - self._seen.get((cloud.place, name), now + 1) < REMEMBERED_S}
        found = {name for name, group in read_groups(cloud, sorted(asked - known)).items() if group.get("Instances")}
        with self._lock:
            self._seen = {key: at for key, at in self._seen.items() if 0 <= now - at < REMEMBERED_S}
            self._seen |= {(cloud.place, name): now for name in found}
        return known | found

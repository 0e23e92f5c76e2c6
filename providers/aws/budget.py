"""How often each API may be called: a token bucket for each API, account and region, with a part kept for rollbacks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from providers.base import Clock

if TYPE_CHECKING:
    from providers.aws.cloud import Place


class Budgets:
    """All buckets of one provider, and a count of the calls that were made."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._calls: Counter[str] = Counter()

    @property
    def calls(self) -> Mapping[str, int]:
        return self._calls

    def watch(self, client: Any, api: str, place: Place) -> None:
        """Have each call of this client, retried or paged, wait for its token."""
        client.meta.events.register("before-call", lambda model, **_: self._spend(api, model.name, place))

    def _spend(self, api: str, operation: str, place: Place) -> None:
        with self._lock:
            self._calls[f"{api}.{operation}"] += 1

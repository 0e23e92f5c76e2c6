"""How often each API may be called: a token bucket for each of AWS's, with a part kept for what puts traffic back.

A call waits for its token, a short time only, and is then refused as Throttled, with nothing sent: the engine comes
back. Calls of one kind are served in the order in which they came. When AWS itself answers that it was too often, the
bucket is emptied and fills more slowly for a while: others call in the account, too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from providers.aws.connecting import guard_connections
from providers.aws.errors import kind_of
from providers.aws.identity import CONNECT_S
from providers.aws.quotas import Limit, bucket_of, is_read, is_urgent
from providers.base import Clock, Throttled, Transient

if TYPE_CHECKING:
    from providers.aws.cloud import Place

WRITE_WAITS_S, READ_WAITS_S = 1.0, 3.0
LEAST_WAIT_S = 0.001
NEARLY = 1e-6  # what sums of floats may be short by
SLOWER, LEAST_SHARE, RECOVERS_S = 0.7, 0.2, 60.0

_urgent: ContextVar[bool] = ContextVar("urgent", default=False)
_send_until: ContextVar[float | None] = ContextVar("send_until", default=None)


@contextmanager
def urgent() -> Iterator[None]:
    """What is called inside may draw from the reserve: direct reads of a route, never what polls."""
    before = _urgent.set(True)
    try:
        yield
    finally:
        _urgent.reset(before)


@contextmanager
def sent_before(end: float) -> Iterator[None]:
    """What is called inside is not sent after this time, or an earlier one that holds around it, whatever it waited
    for: a token, new credentials, or another read."""
    around = _send_until.get()
    before = _send_until.set(end if around is None else min(end, around))
    try:
        yield
    finally:
        _send_until.reset(before)


class Bucket:
    """Tokens for one API of one account and region. Thread-safe; nobody sleeps while holding its lock."""

    def __init__(self, name: str, limit: Limit, clock: Clock) -> None:
        self._name, self._limit, self._clock = name, limit, clock
        self._lock = threading.Lock()
        self._level, self._at = limit.size, clock.now()
        self._throttled_at: float | None = None
        self._share = 1.0  # of the refill that AWS is believed to grant
        self._waiting: dict[bool, list[object]] = {False: [], True: []}

    def take(self, *, urgent: bool, patience: float) -> None:
        """Wait for a token, `patience` seconds at most; raises Throttled, and has taken none then."""
        me, waited = object(), 0.0
        try:
            while (wait := self._try(me, urgent)) > 0:
                wait = max(wait, LEAST_WAIT_S)
                if waited + wait > patience:
                    raise Throttled(
                        f"{self._name}: the budget for calls is used up, the next is due in {wait:.1f} s; not sent"
                    )
                self._clock.sleep(wait)
                waited += wait
        finally:
            with self._lock:
                if me in self._waiting[urgent]:
                    self._waiting[urgent].remove(me)

    def throttled(self) -> None:
        """AWS said that it was too often."""
        with self._lock:
            now = self._refill()
            self._share = max(self._share * SLOWER, LEAST_SHARE)
            self._level, self._throttled_at = 0.0, now

    @property
    def level(self) -> float:
        with self._lock:
            self._refill()
            return self._level

    def _try(self, me: object, urgent: bool) -> float:
        """Take a token (0.0), or how many seconds until there may be one. Those who came before have theirs first."""
        with self._lock:
            self._refill()
            queue = self._waiting[urgent]
            ahead = queue.index(me) if me in queue else len(queue)
            ahead += 0 if urgent else len(self._waiting[True])
            needed = (0.0 if urgent else self._limit.reserve) + 1 + ahead
            if self._level >= min(needed, self._limit.size) - NEARLY:
                self._level = max(self._level - 1, 0.0)
                if me in queue:
                    queue.remove(me)
                return 0.0
            if me not in queue:
                queue.append(me)
            return (needed - self._level) / (self._limit.refill * self._share)

    def _refill(self) -> float:
        """Called with the lock held. A clock that is set back grants nothing."""
        now = self._clock.now()
        passed, self._at = max(now - self._at, 0.0), now
        self._level = min(self._level + passed * self._limit.refill * self._share, self._limit.size)
        if self._throttled_at is not None and now - self._throttled_at >= RECOVERS_S:
            self._share, self._throttled_at = min(self._share / SLOWER, 1.0), now
            if self._share == 1.0:
                self._throttled_at = None
        return now


class Budgets:
    """All buckets of one provider, and counts of the calls that were made and of those that AWS refused."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._buckets: dict[tuple[object, ...], Bucket] = {}
        self._calls: Counter[str] = Counter()
        self._throttled: Counter[str] = Counter()

    @property
    def calls(self) -> Mapping[str, int]:
        """How often each operation was sent, as `api.Operation`."""
        with self._lock:
            return dict(self._calls)

    @property
    def throttled(self) -> Mapping[str, int]:
        """How often AWS answered that it was too often, as `api.Operation`."""
        with self._lock:
            return dict(self._throttled)

    def watch(self, client: Any, api: str, place: Place) -> None:
        """Have each call of this client, paged ones too, wait for its token and end in time."""
        events = client.meta.events
        events.register("before-call", lambda model, **_: self.spend(api, model.name, place))
        events.register_first("before-send", lambda **_: self._in_time(api))
        events.register("after-call", lambda model, parsed, **_: self._answered(api, model.name, place, parsed))
        guard_connections(client, lambda: self._connected_in_time(api))

    def spend(self, api: str, operation: str, place: Place) -> None:
        """Wait for a token for this call; raises Throttled."""
        patience = READ_WAITS_S if is_read(operation) else WRITE_WAITS_S
        if (end := _send_until.get()) is not None:
            patience = min(patience, max(end - self._clock.now(), 0.0))
        may_use_reserve = _urgent.get() or is_urgent(api, operation)
        self.bucket(api, operation, place).take(urgent=may_use_reserve, patience=patience)
        with self._lock:
            self._calls[f"{api}.{operation}"] += 1

    def bucket(self, api: str, operation: str, place: Place) -> Bucket:
        """AWS counts by account and region. Where the account is not declared, whoever calls stands for it."""
        whose = (place.account,) if place.account else (place.profile, place.role)
        name, limit = bucket_of(api, operation)
        key = (*whose, place.region, place.endpoint_url, name)
        with self._lock:
            if key not in self._buckets:
                self._buckets[key] = Bucket(name, limit, self._clock)
            return self._buckets[key]

    def _in_time(self, api: str) -> None:
        end = _send_until.get()
        if end is not None and self._clock.now() > end:
            raise Transient(f"{api}: not sent, for what it waited for took too long; it will go on")

    def _connected_in_time(self, api: str) -> None:
        """Each address of a name may take as long as all of them may."""
        end = _send_until.get()
        if end is not None and self._clock.now() > end + CONNECT_S:
            raise Transient(f"{api}: not sent, for connecting took too long; it will go on")

    def _answered(self, api: str, operation: str, place: Place, parsed: Any) -> None:
        code = str(parsed.get("Error", {}).get("Code", "")) if isinstance(parsed, Mapping) else ""
        if code and code not in OF_A_RESOURCE and issubclass(kind_of(code), Throttled):
            self.bucket(api, operation, place).throttled()
            with self._lock:
                self._throttled[f"{api}.{operation}"] += 1


OF_A_RESOURCE = frozenset(
    {"PriorRequestNotComplete", "PriorRequestNotCompleteException", "ResourceContention", "ScalingActivityInProgress"}
    | {"TooManyUpdates", "TransactionInProgressException"}
)
"""Also "not now", but one resource says so, not the account's limit."""

"""What a serving process knows, for Prometheus: read from the store when it is asked for, or counted as it happens.

Names end in their unit. Labels are few and closed (phase, outcome, provider, operation): never a service's name, of
which there may be ten thousand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from providers.base import Clock, Usage
from rollout.database import Database, StoreError
from rollout.journal import Entry
from rollout.rows import Row

BACK_S = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
JOB_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
UNPROVEN = ("patching", "proving", "shifting", "baking")

OPEN = "SELECT phase, outcome, count(*) FROM rollouts WHERE closed_at IS NULL GROUP BY phase, outcome"
CLOSED = "SELECT outcome, count(*) FROM rollouts WHERE closed_at IS NOT NULL GROUP BY outcome"
DUE = "SELECT count(*), min(due_at) FROM rollouts WHERE closed_at IS NULL AND due_at <= ?"
PLANS = f"SELECT plan FROM rollouts WHERE closed_at IS NULL AND phase IN ({', '.join('?' * len(UNPROVEN))})"  # noqa: S608 - question marks
NEWS_DUE = "SELECT count(*) FROM deliveries WHERE state = 'due'"
DECIDED = (
    "SELECT at FROM journal WHERE rollout = ? AND kind = 'roll_back_decided' AND seq < ? ORDER BY seq DESC LIMIT 1"
)


class Metrics:
    """One registry of its own for one fleet. `usages` gives each loaded provider's calls when it is asked for."""

    def __init__(
        self, db: Database, clock: Clock, usages: Callable[[], Mapping[str, Usage]], running: Callable[[], int]
    ) -> None:
        self.registry = CollectorRegistry()
        self._db = db
        self.registry.register(_Store(db, clock))
        self.registry.register(_Process(usages, running))
        self._back = Histogram(
            "rollout_put_back_seconds",
            "From the decision to turn back until traffic was observed on the original.",
            buckets=BACK_S,
            registry=self.registry,
        )
        self._jobs = Histogram(
            "rollout_job_seconds",
            "How long one job of the engine took.",
            ["result"],
            buckets=JOB_S,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The exposition format, as `/metrics` gives it."""
        return generate_latest(self.registry)

    def entry(self, row: Row, entry: Entry) -> None:
        """Count what an entry tells of; each entry once."""
        if entry.kind == "ended" and entry.step == "back:observed":
            decided_at = self._decided_at(row.id, entry.seq)
            if decided_at is not None:
                self._back.observe(max(0.0, entry.at - decided_at))

    def _decided_at(self, rollout: str, before_seq: int) -> float | None:
        """From the store: another process may have decided, or this one before it was begun anew."""
        try:
            found = self._db.all(DECIDED, rollout, before_seq)
        except StoreError:
            return None
        return float(found[0][0]) if found else None

    def job(self, seconds: float, *, failed: bool) -> None:
        self._jobs.labels("failed" if failed else "ended").observe(max(0.0, seconds))


class _Store(Collector):
    """What the store says at this moment. A store that cannot be read is a metric of its own, not a failed scrape."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(self._read())
        except StoreError:
            found = []
        yield GaugeMetricFamily("rollout_store_up", "1 while the store can be read.", float(bool(found)))
        yield from found

    def _read(self) -> Iterator[Metric]:
        now = self._clock.now()
        yield _counts("rollout_open", "Rollouts that are open.", ("phase", "outcome"), self._db.all(OPEN))
        closed = CounterMetricFamily("rollout_closed", "Rollouts that ended.", labels=("outcome",))
        for outcome, number in self._db.all(CLOSED):
            closed.add_metric((outcome,), number)
        yield closed
        ((waiting, oldest),) = self._db.all(DUE, now)
        yield GaugeMetricFamily("rollout_due", "Rollouts that are due and not driven yet.", waiting)
        age = max(0.0, now - oldest) if oldest is not None else 0.0
        yield GaugeMetricFamily("rollout_queue_age_seconds", "For how long the oldest of them has been due.", age)
        yield self._unproven()
        ((news,),) = self._db.all(NEWS_DUE)
        yield GaugeMetricFamily("rollout_news_due", "Notifications that were not delivered yet.", news)

    def _unproven(self) -> Metric:
        """Hosts with a patch that is not accepted yet, in the capacity units of each service."""
        hosts: dict[str, int] = {}
        for (text,) in self._db.all(PLANS, *UNPROVEN):
            plan: dict[str, Any] = json.loads(text)
            hosts[plan["provider"]] = hosts.get(plan["provider"], 0) + int(plan["capacity"])
        return _counts(
            "rollout_unproven_hosts", "Patched hosts that were not accepted yet.", ("provider",), hosts.items()
        )


class _Process(Collector):
    """What this process did itself."""

    def __init__(self, usages: Callable[[], Mapping[str, Usage]], running: Callable[[], int]) -> None:
        self._usages, self._running = usages, running

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        labels = ("provider", "operation")
        calls = CounterMetricFamily("rollout_provider_calls", "Calls sent to a platform.", labels=labels)
        throttled = CounterMetricFamily("rollout_provider_throttled", 'Calls answered "too often".', labels=labels)
        for provider, usage in sorted(self._usages().items()):
            for family, counted in ((calls, usage.calls), (throttled, usage.throttled)):
                for operation, number in sorted(counted.items()):
                    family.add_metric((provider, operation), number)
        yield calls
        yield throttled
        yield GaugeMetricFamily("rollout_jobs_running", "Jobs of the engine that act now.", self._running())


def _counts(name: str, text: str, labels: tuple[str, ...], rows: Any) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for *values, number in rows:
        family.add_metric([str(value) for value in values], number)
    return family

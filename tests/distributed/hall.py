"""Several processes' engines in one process: each has a name of its own on another host, a store of its own, a queue.

The cloud is simulated and its clock is the database's, so everything is waited for in real time, but not for long.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from providers.base import Service
from providers.memory.adapter import provider_for
from providers.memory.cloud import SimCloud
from providers.memory.model import Settings
from rollout.card import CardFolder
from rollout.engine.distributed import Queue
from rollout.engine.queue_tables import prepare_queue
from rollout.engine.serve import Chore, Watchers
from rollout.engine.shared import SharingServer
from rollout.engine.watch import Observer
from rollout.gate import GateRule
from rollout.journal import Entry, Journal, first_broken_link
from rollout.lease import Holder
from rollout.means import Means
from rollout.plan import GATES, CheckSpec, Gate, Plan
from rollout.presence import AlreadyServed
from rollout.rows import Row
from rollout.store import StoreError
from rollout.stores.address import address_of
from rollout.stores.clock import StoreClock
from tests.core.scene import Answers, a_plan, always_pass
from tests.stores.kit import Place

PATIENCE_S = 40.0
QUICK = Settings(launch_s=0.1, health_lag_s=0.1, balancer_lag_s=0.1, drain_s=0.1, requests_per_s=100, connections=2)
RULE = GateRule(passes=1, failures=9, interval_s=0.2, deadline_s=30.0, unknown_limit_s=10.0, soak_s=0.2)


def quick_plan(service: str = "shop", check: str = "balancer", **changes: Any) -> Plan:
    """A good plan that takes about two seconds."""
    gates = {name: Gate(RULE, (CheckSpec("balancer", check),)) for name in GATES}
    looks = {"flavour": "sim.small", "network": "sim-net", "firewall": f"fw-{service}"}
    plan = a_plan(service=Service(service), gates=gates, original_fingerprint=looks, settle_s=0.0, keep_warm_s=600.0)
    return replace(plan, **changes)


@dataclass
class Told:
    """What one of them told."""

    entries: list[Entry] = field(default_factory=list)
    trouble: list[tuple[str, BaseException]] = field(default_factory=list)
    store: list[StoreError | None] = field(default_factory=list)
    led: list[AlreadyServed | None] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    chores: list[str] = field(default_factory=list)


class Desk:
    """One process: ticks in a thread of its own, until it is `gone`."""

    def __init__(self, hall: Hall, number: int, *, jobs: int, serves: bool, means: Callable[[str], Means]) -> None:
        self.told, self.holder = Told(), Holder(f"host-{number}", "boot", number, str(number))
        self.store = hall.place.open()
        clock = StoreClock(lambda: self.store.db.time() or 0.0, time.monotonic, time.sleep)
        address = address_of(hall.place.url or "")
        self.server = SharingServer(
            store=self.store,
            means_of=lambda name: replace(means(name), store=self.store),
            now=clock.now,
            steady=time.monotonic,
            holder=self.holder,
            jobs=jobs,
            watchers=Watchers(
                entry=lambda row, entry: self.told.entries.append(entry),
                trouble=lambda what, error: self.told.trouble.append((what, error)),
                store_trouble=self.told.store.append,
            ),
            chores=[
                Chore("once", 0.2, lambda: self.told.chores.append("once")),
                Chore("each", 0.2, lambda: self.told.chores.append("each"), each=True),
            ],
            observer=Observer(self.store, lambda name: hall.provider, clock.now) if serves else None,
            queue_of=lambda worker: Queue(
                address,
                worker,
                jobs,
                note=self.told.notes.append,
                trouble=lambda error: self.told.trouble.append(("queue", error)),
            ),
            serves=serves,
            led=self.told.led.append,
        )
        self.gone, self.frozen = threading.Event(), threading.Event()
        self.server.begin()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        while not self.gone.wait(0.05):
            if not self.frozen.is_set():
                self.server.tick()

    def leave(self) -> None:
        """As after SIGTERM."""
        self.server.stop()
        wait_until(lambda: not self.server.running, "its jobs end")
        self.gone.set()
        self._thread.join()
        self.server._collect()
        self.server.leave()


class Hall:
    """`works` and `serves` open another process."""

    def __init__(self, folder: Path, server: str) -> None:
        self.place = Place(folder, server)
        self.store = self.place.open()
        prepare_queue(self.store.db)
        clock = StoreClock(lambda: self.store.db.time() or 0.0, time.monotonic, time.sleep)
        self.clock = clock
        self.cloud = SimCloud(clock, settings=QUICK)
        for name in ("base-1", "base-2"):
            self.cloud.add_image(name)
        self.provider = provider_for(self.cloud)
        self.means = Means(self.store, self.provider, clock, CardFolder(folder / "cards"), always_pass)
        self.desks: list[Desk] = []

    def asking(self, ask: Answers) -> None:
        self.means = replace(self.means, ask=ask)

    def open(self, service: str = "shop", plan: Plan | None = None) -> str:
        """A rollout of a service that stands."""
        self.cloud.add_service(service, image="base-1", capacity=2)
        plan = plan or quick_plan(service)
        now = self.clock.now()
        return self.store.open_rollout(
            f"{service}-1", service, plan.to_json(), plan.hash, at=now, actor="me", reason=""
        ).id

    def works(self, jobs: int = 4, *, serves: bool = False, means: Callable[[str], Means] | None = None) -> Desk:
        desk = Desk(self, len(self.desks) + 1, jobs=jobs, serves=serves, means=means or (lambda name: self.means))
        self.desks.append(desk)
        return desk

    def serves(self, jobs: int = 4) -> Desk:
        return self.works(jobs, serves=True)

    def row(self, rollout: str = "shop-1") -> Row:
        return self.store.rollout(rollout)

    def wait_phase(self, *phases: str, rollout: str = "shop-1") -> None:
        wait_until(lambda: self.row(rollout).phase in phases, lambda: f"{phases}: {self.kinds(rollout)[-5:]}")

    def kinds(self, rollout: str = "shop-1") -> list[str]:
        return [f"{entry.kind} {entry.step}".strip() for entry in self.store.entries(rollout)]

    def assert_once_each(self, rollout: str = "shop-1") -> None:
        """One result for a step, one token for an intent, and a whole chain."""
        entries = self.store.entries(rollout)
        assert first_broken_link(entries) == ""
        done = [entry.step for entry in entries if entry.kind in ("done", "ended", "failed")]
        assert len(done) == len(set(done))
        tokens = [entry.data["token"] for entry in entries if entry.kind == "intended"]
        assert len(tokens) == len(set(tokens))
        assert [entry.epoch for entry in entries] == sorted(entry.epoch for entry in entries)
        assert Journal(entries).head == len(entries)

    def queue(self) -> list[Mapping[str, Any]]:
        """The rows of the queue: lock, status."""
        found = self.place.sql("SELECT queueing_lock, status::text, queue_name FROM procrastinate_jobs ORDER BY id")
        return [{"lock": lock, "status": status, "queue": queue} for lock, status, queue in found]

    def close(self) -> None:
        for desk in self.desks:
            desk.gone.set()
        for desk in self.desks:
            with suppress(Exception):
                desk.server.stop()
                desk.server.leave()
        self.place.close()


def wait_until(true: Callable[[], object], what: str | Callable[[], str], patience_s: float = PATIENCE_S) -> None:
    """Real processes, real time."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"in vain: {what if isinstance(what, str) else what()}"
        time.sleep(0.02)

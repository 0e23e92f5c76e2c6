"""Thousands of rollouts that wait under one `rollout serve`, a store of SQLite on disk, and a kill -9 in between.

A third each is warm, soaking and waiting for hosts. The simulated cloud lives in the serving process; what it takes
there is measured by itself and told beside. Looked at: a job has taken the lease of the rollout's service.
"""

from __future__ import annotations

import pickle
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

from _figures import Figure
from fleet_wave.aws_limits import requests

from fleet_waiting import fleet
from fleet_waiting.cloud import STATES, cloud_of
from fleet_waiting.process import Process
from providers.base import Context, Provider, Service
from providers.memory.adapter import provider_for
from providers.memory.cloud import SimCloud
from providers.memory.model import SimService
from rollout.engine.watch import Observer
from rollout.store import Store
from rollout.wiring import Installation, SystemClock

MEMORY_GOAL, RESUME_GOAL = "<= 1024", "<= 5"
SIZES = (1, 100, 1000, 10_000)


def figures(home: Path, count: int, seconds: float, patience_s: float) -> Iterator[Figure]:
    path = fleet.make(home / "waiting", count)
    store = path.parent / ".rollout" / "rollout.db"
    of = f"{count} waiting"
    first = Process(path, "serve")
    try:
        time.sleep(seconds / 2)
        cpu, began, looks = first.cpu_s(), time.monotonic(), sum(epochs(store).values())
        time.sleep(seconds)
        took_s, used_s, made = time.monotonic() - began, first.cpu_s() - cpu, sum(epochs(store).values()) - looks
        memory_mb = first.memory_mb("VmHWM")
        yield Figure(f"{of}: peak memory of rollout serve", round(memory_mb, 1), "MB", MEMORY_GOAL)
        yield Figure(f"{of}: of that the simulated cloud, about", round(cloud_mb(path.parent, count), 1), "MB")
        yield Figure(f"{of}: CPU of one core", round(100 * used_s / took_s, 1), "%")
        yield Figure(f"{of}: looks", round(made / took_s, 1), "/s")
        wanted = count * 2 / 3 / fleet.LOOK_S
        yield Figure(f"{of}: looks that their plans want", round(wanted, 1), "/s")
    finally:
        first.kill()
    yield from resumed(path, store, count, patience_s)


def resumed(path: Path, store: Path, count: int, patience_s: float) -> Iterator[Figure]:
    """After kill -9. What is to be done when stands in the store, and whoever serves goes by that: all are resumed as
    soon as it serves. What came due meanwhile, and by its own plan comes due then, has to be caught up with."""
    again = Process(path, "serve")
    try:
        late = most = late_now(store)
        took_s = time.monotonic() - again.began
        while late and took_s < patience_s:
            time.sleep(0.1)
            took_s, late = time.monotonic() - again.began, late_now(store)
    finally:
        again.kill()
    yield Figure(f"{count} waiting: killed, until it serves again", round(again.ready_s, 2), "s", RESUME_GOAL)
    yield Figure(f"{count} waiting: of them late by then", most, "")
    left = "" if not late else f" ({late} still are)"
    yield Figure(f"{count} waiting: killed, until none is late{left}", round(took_s, 1), "s")


def late_now(store: Path) -> int:
    """How many should have been looked at a second ago."""
    (found,) = asked(store, "SELECT count(*) FROM rollouts WHERE closed_at IS NULL AND due_at < ?", time.time() - 1.0)
    return int(found[0])


def epochs(store: Path) -> dict[str, int]:
    """Each taking of a lease raises its service's."""
    return dict(asked(store, "SELECT name, epoch FROM services"))


def asked(store: Path, query: str, *arguments: float) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=30)) as db:
        return db.execute(query, arguments).fetchall()


def cloud_mb(folder: Path, count: int) -> float:
    """What so many services of the simulated cloud take."""
    import tracemalloc

    tracemalloc.start()
    cloud = simulated(folder)
    for name in fleet.names(count):
        cloud.service(Service(name, {"kind": fleet.kind_of(name)}))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return used / 1024**2


def simulated(folder: Path) -> SimCloud:
    states = pickle.loads((folder / STATES).read_bytes())  # noqa: S301 - our own
    return cloud_of(Context(folder, folder, SystemClock()), states)


def ticks(home: Path, sizes: tuple[int, ...] = SIZES) -> Iterator[Figure]:
    """One tick of the observer, all waiting for hosts: calls to the platform, and requests that AWS would get."""
    path = fleet.make(home / "ticks", max(sizes), ("fact",))
    cloud = simulated(path.parent)
    provider, store = provider_for(cloud), Installation(path).store
    for size in sizes:
        calls, operations, took_s = tick(store, cloud, provider, size)
        goal = f"<= {max(size // 100, 1)}"
        yield Figure(f"tick, {size} waiting for hosts: calls", calls, "", goal)
        yield Figure(f"tick, {size} waiting for hosts: requests to AWS", operations, "")
        yield Figure(f"tick, {size} waiting for hosts: wall", round(took_s, 3), "s")
    store.close()


def tick(store: Store, cloud: SimCloud, provider: Provider, size: int) -> tuple[int, int, float]:
    """Calls, requests to AWS, and seconds of one tick in which so many are asked about."""
    with store.db.transaction() as db:
        db.execute("UPDATE rollouts SET closed_at = CASE WHEN number > ? THEN 1.0 END", (size,))
    asked: list[int] = []

    def counted(call: str, services: Sequence[Service], answer: Callable[[SimService], Any], *detail: Any) -> Any:
        asked.append(len(services))
        return SimCloud.read_all(cloud, call, services, answer, *detail)

    observer = Observer(store, lambda _: provider, SystemClock().now)
    with patch.object(cloud, "read_all", counted):
        began = time.perf_counter()
        observer.look()
        took_s = time.perf_counter() - began
    if sum(asked) != size:
        raise RuntimeError(f"of {size} that wait, {sum(asked)} were asked about")
    return len(asked), sum(requests("compute.observe", services, ()).total() for services in asked), took_s

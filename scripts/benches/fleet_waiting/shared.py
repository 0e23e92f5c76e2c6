"""`rollout worker` processes on one PostgreSQL: what they carry out, how soon, and what happens when one is killed.

Each job here is a look at a warm rollout: its lease, its journal replayed, its gate asked, its wait kept. The queue
library alone, with tasks that do nothing, is measured beside it on the same server. All is on one machine, so that the
server, the workers and this bench share its cores.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from _figures import Figure
from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from fleet_waiting import fleet
from fleet_waiting.cloud import SLOW, TOUCHED
from fleet_waiting.process import Process
from rollout.stores.connecting import options_of
from tests.stores.kit import postgres_url, with_schema

RESUME_GOAL, TAKEOVER_GOAL = "<= 5", "<= 15"
JOBS = 8
CATCH_UP_S, LATE_S = 3.0, 30.0


class Shared:
    """A fleet of so many services, warm ones unless other kinds are named, its store a schema of its own."""

    def __init__(self, home: Path, server: str, name: str, count: int, kinds: Sequence[str] = ("warm",)) -> None:
        self.home, self.server, self.schema = home / name, server, f"bench_{name}"
        with psycopg.connect(server, autocommit=True) as db:
            db.execute(f"CREATE SCHEMA {self.schema}")
        self.url = with_schema(server, self.schema)
        self.home.mkdir()
        (self.home / "address").write_text(self.url)
        self.touched = self.home / "touched"
        self.touched.mkdir()
        self.path = fleet.make(self.home, count, kinds, "address")
        self.db = psycopg.connect(self.url, autocommit=True)

    @contextmanager
    def workers(self, count: int, slow_s: float = 0.0) -> Iterator[list[Process]]:
        made: list[Process] = []
        environment = {TOUCHED: str(self.touched), SLOW: str(slow_s)}
        try:
            for _ in range(count):
                made.append(Process(self.path, "worker", "--jobs", str(JOBS), **environment))
            yield made
        finally:
            for each in made:
                each.kill()

    def close(self) -> None:
        self.db.close()
        with psycopg.connect(self.server, autocommit=True) as db:
            db.execute(f"DROP SCHEMA {self.schema} CASCADE")

    def epochs(self) -> dict[str, int]:
        return dict(self.db.execute("SELECT name, epoch FROM services").fetchall())

    def all_due(self) -> None:
        self.db.execute("UPDATE rollouts SET due_at = extract(epoch FROM clock_timestamp()) - 1")

    def none_due(self) -> None:
        self.db.execute("UPDATE rollouts SET due_at = extract(epoch FROM clock_timestamp()) + 3600")

    def late(self) -> int:
        """How many should have been looked at a second ago."""
        is_late = "closed_at IS NULL AND due_at < extract(epoch FROM clock_timestamp()) - 1"
        found = self.db.execute(f"SELECT count(*) FROM rollouts WHERE {is_late}").fetchone()  # noqa: S608 - fixed
        return int(found[0]) if found else 0

    def looks(self) -> list[tuple[float, str]]:
        """When, and at which service."""
        lines = (line.split() for path in self.touched.iterdir() for line in path.read_text().splitlines())
        return sorted((float(at), name) for at, name in lines)


def waiting(home: Path, count: int, seconds: float) -> Iterator[Figure]:
    """So many open rollouts of all kinds, as under `rollout serve`, and one or two workers that begin with them."""
    fleet_of = Shared(home, postgres_url(), "waiting", count, fleet.KINDS)
    for workers in (1, 2):
        yield from carried(fleet_of, workers, count, seconds)
    fleet_of.close()


def carried(shared: Shared, workers: int, count: int, seconds: float) -> Iterator[Figure]:
    of = f"{count} waiting on PostgreSQL, {named(workers)}"
    with shared.workers(workers) as processes:
        time.sleep(seconds / 2)
        before, began = sum(shared.epochs().values()), time.monotonic()
        cpu = sum(each.cpu_s() for each in processes)
        time.sleep(seconds)
        took_s, made = time.monotonic() - began, sum(shared.epochs().values()) - before
        used_s = sum(each.cpu_s() for each in processes) - cpu
        yield Figure(f"{of}: until each served", round(max(each.ready_s for each in processes), 2), "s", RESUME_GOAL)
        yield Figure(f"{of}: peak memory of each", round(max(each.memory_mb("VmHWM") for each in processes), 1), "MB")
        yield Figure(f"{of}: CPU of them together, of one core", round(100 * used_s / took_s, 1), "%")
        yield Figure(f"{of}: looks", round(made / took_s, 1), "/s")
        yield Figure(f"{of}: late by more than a second at the end", shared.late(), "")


def figures(home: Path, count: int, seconds: float, wakeups: int) -> Iterator[Figure]:
    server = postgres_url()
    yield Figure("Procrastinate alone: jobs that do nothing", round(bare(server, count), 1), "/s")
    for workers in (1, 2):
        fleet_of = Shared(home, server, f"rate_{workers}", count)
        yield from rate(fleet_of, workers, seconds)
        yield from latency(fleet_of, workers, wakeups)
        fleet_of.close()
    fleet_of = Shared(home, server, "takeover", JOBS)
    yield from takeover(fleet_of, elsewhere=False)
    yield from takeover(fleet_of, elsewhere=True)
    fleet_of.close()


def named(workers: int) -> str:
    return f"{workers} worker" + ("s" if workers > 1 else "")


def rate(shared: Shared, workers: int, seconds: float) -> Iterator[Figure]:
    """While everything is due, over and over."""
    shared.none_due()
    with shared.workers(workers) as processes:
        time.sleep(CATCH_UP_S)
        shared.all_due()
        time.sleep(CATCH_UP_S)
        before, began = sum(shared.epochs().values()), time.monotonic()
        cpu = sum(each.cpu_s() for each in processes)
        ends = began + seconds
        while time.monotonic() < ends:
            time.sleep(0.5)
            left = shared.db.execute(
                "SELECT count(*) FROM rollouts WHERE due_at <= extract(epoch FROM clock_timestamp())"
            ).fetchone()
            if left and left[0] < 4 * JOBS * workers:
                shared.all_due()
        took_s, done = time.monotonic() - began, sum(shared.epochs().values()) - before
        used_s = sum(each.cpu_s() for each in processes) - cpu
    yield Figure(f"{named(workers)}: jobs", round(done / took_s, 1), "/s")
    yield Figure(f"{named(workers)}: CPU of the workers for each job", round(1000 * used_s / max(done, 1), 2), "ms")


def latency(shared: Shared, workers: int, wakeups: int) -> Iterator[Figure]:
    """From when a rollout is due until its job looks at the platform, one every tenth of a second."""
    shared.none_due()
    for path in shared.touched.iterdir():
        path.unlink()
    services = sorted(shared.epochs())[:wakeups]
    with shared.workers(workers):
        time.sleep(CATCH_UP_S)
        begins = time.time() + 2.0
        due = {name: begins + number / 10 for number, name in enumerate(services)}
        with shared.db.transaction():
            for name, at in due.items():
                shared.db.execute("UPDATE rollouts SET due_at = %s WHERE service = %s", (at, name))
        time.sleep(2.0 + len(services) / 10 + CATCH_UP_S)
    first = dict[str, float]()
    for at, name in shared.looks():
        if name in due and at >= due[name] - 1:
            first.setdefault(name, at)
    if len(first) < len(due):
        raise RuntimeError(f"of {len(due)} that were due, {len(first)} were looked at")
    late_ms = sorted(1000 * (first[name] - at) for name, at in due.items())
    p99 = late_ms[min(len(late_ms) - 1, round(0.99 * len(late_ms)))]
    yield Figure(f"{named(workers)}: from due to its look, p50", round(statistics.median(late_ms), 1), "ms")
    yield Figure(f"{named(workers)}: from due to its look, p99", round(p99, 1), "ms")


def takeover(shared: Shared, *, elsewhere: bool) -> Iterator[Figure]:
    """Two workers in the middle of jobs that take long, one is killed. `elsewhere`: nobody here can tell that it is
    dead, as when its host is lost."""
    shared.none_due()
    with shared.workers(2, slow_s=2.0) as (lost, _):
        time.sleep(CATCH_UP_S)
        shared.all_due()
        mine = dict[str, int]()
        while not mine:
            time.sleep(0.1)
            query = "SELECT name, epoch FROM services WHERE holder::jsonb ->> 'pid' = %s"
            mine = dict(shared.db.execute(query, (str(lost.pid),)).fetchall())
        lost.kill()
        began = time.monotonic()
        mine = dict(shared.db.execute(query, (str(lost.pid),)).fetchall())
        if elsewhere:
            move_holders(shared, lost.pid)
        left = set(mine)
        while left and time.monotonic() - began < 2 * LATE_S:
            time.sleep(0.05)
            left = {name for name, epoch in shared.epochs().items() if name in mine and epoch <= mine[name]}
        took_s = time.monotonic() - began
    where = "another host's" if elsewhere else "this host's"
    name = f"killed in the middle of {len(mine)} jobs, {where}: until all were taken over"
    yield Figure(name, round(took_s, 2), "s", TAKEOVER_GOAL)


def move_holders(shared: Shared, pid: int) -> None:
    """What it held and where it was seen are said to be another host's."""
    for table in ("services", "servers", "drivers"):
        key = {"services": "name", "servers": "name", "drivers": "rollout"}[table]
        for row, text in shared.db.execute(f"SELECT {key}, holder FROM {table} WHERE holder IS NOT NULL").fetchall():  # noqa: S608 - fixed
            holder = json.loads(text)
            if holder["pid"] == pid:
                moved = json.dumps({**holder, "host": "lost", "machine": "lost"}, sort_keys=True, separators=(",", ":"))
                shared.db.execute(f"UPDATE {table} SET holder = %s WHERE {key} = %s", (moved, row))  # noqa: S608 - fixed


def bare(server: str, count: int) -> float:
    """Jobs a second of the queue library, one worker with as many at a time, deleted when done."""
    schema = "bench_bare"
    with psycopg.connect(server, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {schema}")
    try:
        return asyncio.run(_bare(with_schema(server, schema), count))
    finally:
        with psycopg.connect(server, autocommit=True) as db:
            db.execute(f"DROP SCHEMA {schema} CASCADE")


async def _bare(url: str, count: int) -> float:
    app = App(connector=PsycopgConnector(conninfo=url, kwargs=options_of(url)))

    @app.task(name="nothing")
    async def nothing(number: int) -> None:
        return

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        jobs: list[JSONDict] = [{"number": number} for number in range(count)]
        await nothing.batch_defer_async(*jobs)
        began = time.monotonic()
        with suppress(asyncio.CancelledError):
            await app.run_worker_async(
                wait=False, concurrency=JOBS, delete_jobs="always", install_signal_handlers=False, listen_notify=False
            )
        return count / (time.monotonic() - began)

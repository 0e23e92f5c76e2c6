"""The engine: 1,000 rollouts as fast as they go on a virtual clock, then 1,000 that wait, in real time, under `serve`.

Both in this one process, with the store as users have it (SQLite in WAL mode, flushed at each commit) in a temporary
folder, and the simulated cloud as the platform. Bare commits of sqlite3 to the same disk stand beside the first.
"""

import argparse
import resource
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from _figures import Figure, show

from healthchecks.base import Subject, Verdict
from healthchecks.registry import ask_safely, load
from providers.base import Provider, Service
from providers.memory.adapter import provider_for
from providers.memory.cloud import SimCloud
from providers.memory.model import Settings
from rollout.card import CardFolder
from rollout.engine.job import advance
from rollout.engine.serve import TICK_S, Server
from rollout.gate import GateRule
from rollout.lease import this_process
from rollout.means import Means
from rollout.plan import GATES, CheckSpec, Gate, Plan
from rollout.store import NEVER, Store
from rollout.vigil import LOOK_S

RULE = GateRule(passes=2, failures=2, interval_s=2.0, deadline_s=60.0, unknown_limit_s=20.0, soak_s=2.0)
HOLDER = this_process()


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench engine", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the waiting ones are watched")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="rollout-bench-") as home:
        figures = [*driven(Path(home), options.rollouts), *waiting(Path(home), options.rollouts, options.seconds)]
    show(figures, as_json=options.json)


class Clock:
    """Time that passes when it is told to, and from `go_on` by itself."""

    def __init__(self) -> None:
        self._told, self._since = time.time(), 0.0

    def now(self) -> float:
        return self._told + (time.monotonic() - self._since if self._since else 0.0)

    def sleep(self, seconds: float) -> None:
        if self._since:
            time.sleep(max(seconds, 0.0))
        else:
            self._told += max(seconds, 0.0)

    def go_on(self) -> None:
        self._since = time.monotonic()


class Fleet:
    """So many services in one simulated cloud, each with an open rollout."""

    def __init__(self, home: Path, clock: Clock, count: int, keep_warm_s: float) -> None:
        self.clock, self.count = clock, count
        settings = Settings(launch_s=2, health_lag_s=1, balancer_lag_s=0.5, drain_s=2, requests_per_s=400)
        self.cloud = SimCloud(clock, settings=settings)
        for image in ("base-1", "base-2"):
            self.cloud.add_image(image)
        self.provider = provider_for(self.cloud)
        home.mkdir()
        self.store = Store(home / "rollout.db")
        self.means = Means(self.store, self.provider, clock, CardFolder(home / "cards"), ask)
        self.rollouts = [f"shop-{number}-1" for number in range(count)]
        for number, rollout in enumerate(self.rollouts):
            service = self.cloud.add_service(f"shop-{number}", image="base-1", capacity=2)
            plan = _plan(self.provider, service, clock.now(), keep_warm_s)
            self.store.open_rollout(
                rollout, service.name, plan.to_json(), plan.hash, at=clock.now(), actor="bench", reason=""
            )

    def raise_unless(self, phase: str) -> None:
        """A bench of rollouts that failed would measure something else."""
        others = [row for row in self.store.rollouts(limit=self.count) if row.phase != phase]
        if others:
            sys.exit(f"{len(others)} of {self.count} are not {phase}: {others[0].id} is {others[0].phase}")

    @property
    def entries(self) -> int:
        (found,) = self.store.db.all("SELECT count(*) FROM journal")
        return int(found[0])


def ask(spec: CheckSpec, subject: Subject) -> Verdict:
    module = load(spec.name)
    return ask_safely(module, module.Options(**spec.options), subject)


def _plan(provider: Provider, service: Service, now: float, keep_warm_s: float) -> Plan:
    found = provider.compute.describe(service)["blue"]
    checks = {
        "preflight": (CheckSpec("balancer", "balancer"),),
        "replacement": (CheckSpec("balancer", "balancer"), CheckSpec("fidelity", "fidelity")),
    }
    live = (CheckSpec("balancer", "balancer"), CheckSpec("failed_responses", "failed_responses"))
    return Plan(
        service=service,
        provider="memory",
        coexist="safe",
        patch=provider.patcher.resolve(service, "base-2"),
        original="blue",
        original_image="base-1",
        original_fingerprint=dict(found.fingerprint),
        app_version=None,
        capacity=2,
        steps=(10, 50, 100),
        gates={gate: Gate(RULE, checks.get(gate, live)) for gate in GATES},
        settle_s=1.0,
        keep_warm_s=keep_warm_s,
        made_at=now,
    )


def drive_until(fleet: Fleet, phase: str) -> None:
    """One job after the other, in this thread; time passes when nothing is due."""
    clock = fleet.clock
    far = clock.now() + 86400.0
    while clock.now() < far:
        jobs = [row for row in fleet.store.due(clock.now()) if row.phase != phase]
        for row in jobs:
            advance(row.id, fleet.means, HOLDER)
        if not jobs:
            (found,) = fleet.store.db.all(
                "SELECT min(due_at) FROM rollouts WHERE closed_at IS NULL AND phase != ?", phase
            )
            if found[0] is None or found[0] >= NEVER:
                return
            clock.sleep(max(found[0] - clock.now(), 0.0))
            fleet.cloud.catch_up()


def driven(home: Path, count: int) -> Iterator[Figure]:
    """From the plan to the end, as fast as one core and the disk allow."""
    bare_s = bare_commits(home / "bare.db")
    fleet = Fleet(home / "driven", Clock(), count, keep_warm_s=60.0)
    began = time.perf_counter()
    drive_until(fleet, "closed")
    took_s = time.perf_counter() - began
    fleet.raise_unless("retired")
    per_s, bare_per_s = fleet.entries / took_s, 1 / min(bare_s, bare_commits(home / "bare.db"))
    fleet.store.close()
    yield Figure("rollouts, from plan to end", round(count / took_s, 2), "/s")
    yield Figure("entries / bare sqlite3 commits", round(per_s / bare_per_s, 3), "times", ENTRIES_GOAL)
    yield Figure("journal entries", round(per_s, 1), "/s")
    yield Figure("bare sqlite3 commits, WAL and FULL", round(bare_per_s, 1), "/s")
    yield Figure(f"peak memory, {count} rollouts", round(peak_mb(), 1), "MB", "<= 200")


ENTRIES_GOAL, CPU_GOAL = ">= 0.12", "<= 25"


def bare_commits(path: Path, count: int = 2000) -> float:
    """Seconds for each transaction of one row of an entry's size, on the same disk."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    database.execute("CREATE TABLE IF NOT EXISTS entries (data TEXT)")
    began = time.perf_counter()
    for _ in range(count):
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO entries VALUES (?)", ("x" * 400,))
        database.execute("COMMIT")
    took_s = time.perf_counter() - began
    database.close()
    return took_s / count


def waiting(home: Path, count: int, seconds: float) -> Iterator[Figure]:
    """Warm ones under `rollout serve`: each is looked at every 30 s, its live gate asked."""
    clock, jobs = Clock(), Jobs()
    fleet = Fleet(home / "waiting", clock, count, keep_warm_s=7 * 86400.0)
    drive_until(fleet, "warm")
    fleet.raise_unless("warm")
    clock.go_on()
    server = Server(fleet.store, lambda _: fleet.means, clock.now, time.monotonic, HOLDER)
    server.watchers.job = lambda row, job: jobs.ended(row.id)
    server.watchers.trouble = lambda what, error: sys.exit(f"{what}: {error!r}")
    server.begin()
    spread(fleet, clock.now())
    stop = threading.Event()
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        server.tick()
        stop.wait(TICK_S)
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    server.stop()
    while server.running:
        server.tick()
        stop.wait(TICK_S)
    server.leave()
    memory_mb = resident_mb()
    fleet.store.close()
    yield Figure(f"CPU of one core, {count} warm and watched", round(100 * cpu_s / took_s, 1), "%", CPU_GOAL)
    yield Figure("CPU for each look", round(1000 * cpu_s / max(jobs.count, 1), 2), "ms")
    yield Figure("looks", round(jobs.count / took_s, 1), "/s")
    yield Figure("of the waiting ones looked at", round(100 * len(jobs.seen) / count, 1), "%")
    yield Figure("resident memory then", round(memory_mb, 1), "MB", "<= 200")


class Jobs:
    """How many ended, and of which rollouts."""

    def __init__(self) -> None:
        self.count, self.seen = 0, set[str]()

    def ended(self, rollout: str) -> None:
        self.count += 1
        self.seen.add(rollout)


def spread(fleet: Fleet, now: float) -> None:
    """Due one after the other, as they are once they have waited for a while, and not all at once."""
    with fleet.store.db.transaction() as db:
        for number, rollout in enumerate(fleet.rollouts):
            db.execute("UPDATE rollouts SET due_at = ? WHERE id = ?", (now + LOOK_S * number / fleet.count, rollout))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024**2


if __name__ == "__main__":
    main()

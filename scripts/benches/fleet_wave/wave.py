"""A wave of many services through the real campaign and the real engine, in virtual time, against a limited cloud.

The bound is what no order of calls can beat: AWS's limits, and the plan's own times. One service needs so many requests
of each bucket by the design of a rollout: its plan, what is read directly before each act, the writes, and each look at
a gate or a fact. They are counted on a wave of SAMPLE services (a page of listeners) in the same cloud without limits,
where nothing takes time, so that each fact is asked for once; what is read for many is shared there as well as it can
be. N services take each bucket (N x requests - its size) / its refill; the slowest bucket decides. A wave is never
quicker than one rollout alone, without limits, with launches, health, drains and soaks as the plan has them.

What is accepted stays warm, and is watched every LOOK_S of rollout/vigil.py, or later by HELD_S of rollout/observer.py
at most, with requests of its own; `watched` False leaves that out (a look a day), to see the wave by itself. The bound
has the least of them that any order needs: no more than PARALLEL are begun and not accepted, so that when the i-th is
accepted, N - i - PARALLEL + 1 are still to be made from their first request on. For as long as that takes, i are warm.
What is idle at the beginning and at the end, where too few have anything to ask, is not in the bound: it counts.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from _figures import Figure

from fleet_wave.aws_limits import aws_limits, unlimited
from fleet_wave.baton import Baton
from fleet_wave.engine import VirtualServer, jobs_on
from healthchecks.base import SHARED
from providers.base import Parts
from providers.memory.adapter import provider_for
from providers.memory.cloud import SimCloud
from providers.memory.limits import Limits, Rate
from providers.memory.model import Settings
from rollout import vigil
from rollout.campaign import beginning, register
from rollout.campaign.runner import LOOK_S, Runner
from rollout.database import SqliteDatabase
from rollout.engine import watch
from rollout.engine.serve import Chore, Watchers
from rollout.engine.watch import Observer
from rollout.lease import this_process
from rollout.observer import HELD_S
from rollout.wiring import Installation

GOAL = "<= 1.1"
SAMPLE, PARALLEL, CAPACITY = 20, 50, 3
TICK_S = 0.5
START, DAY_S = 1_767_225_600.0, 86_400.0
REAL = Settings(launch_s=30, health_lag_s=10, balancer_lag_s=1, drain_s=30, requests_per_s=200)
AT_ONCE = Settings(launch_s=0, health_lag_s=0, balancer_lag_s=0, drain_s=0, requests_per_s=200)
LIVE = ["balancer", {"failed_responses": {"min_requests": 20}}]
SERVICE: dict[str, Any] = {
    "provider": "memory",
    "coexist": "safe",
    "traffic": {"steps": [10, 50, 100], "soak": "30s", "interval": "30s"},
    "checks": {"preflight": ["balancer"], "replacement": ["balancer", "fidelity"], "live": LIVE},
    "gates": {"replacement": {"passes": 1}, "live": {"passes": 1}},
    "bake": "30s",
    "keep_warm": "7d",
    "settle": "1s",
}


class WaveFailed(Exception):
    """A bench of rollouts that failed would measure something else."""


@dataclass
class Ran:
    """One wave. `virtual_s` from its start until every service was accepted."""

    services: int
    virtual_s: float
    wall_s: float
    cpu_s: float
    requests: dict[str, int]
    refused: int
    troubles: list[str] = field(default_factory=list)


def fleet_file(home: Path, services: int, parallel: int) -> Path:
    """JSON is YAML."""
    wave = {"name": "all", "select": {"rest": True}, "max_parallel": parallel, "soak": "0s"}
    fleet = {
        "version": 1,
        "defaults": SERVICE,
        "services": {f"shop-{number:04}": {} for number in range(services)},
        "campaigns": {"monthly": {"image": "base-2", "waves": [wave]}},
    }
    home.mkdir(parents=True)
    (home / "fleet.yaml").write_text(json.dumps(fleet))
    return home / "fleet.yaml"


def run(home: Path, services: int, limits: Limits, settings: Settings, parallel: int = PARALLEL) -> Ran:
    """Campaign, engine and observer as `rollout serve` has them, until the campaign has ended."""
    baton = Baton(START)
    cloud = SimCloud(baton, settings=settings, limits=limits)
    for image in ("base-1", "base-2"):
        cloud.add_image(image)
    installation = Installation(fleet_file(home, services, parallel), baton)
    for name in installation.fleet.services:
        cloud.add_service(name, image="base-1", capacity=CAPACITY)
    installation._providers["memory"] = provider_for(cloud)
    database = installation.store.db
    assert isinstance(database, SqliteDatabase)  # noqa: S101 - the fleet file names no other
    database._db.execute("PRAGMA synchronous = OFF")  # hours pass in minutes; the engine's bench flushes
    began, cpu = time.perf_counter(), time.process_time()
    troubles: list[str] = []
    with jobs_on(baton):
        server = served(installation, baton, troubles)
        beginning.start(installation, "monthly", actor="bench")
        server.begin()
        while not is_over(installation):
            server.tick()
            baton.sleep(TICK_S)
        server.stop()
        while server.running:
            server.tick()
            baton.sleep(TICK_S)
    raise_unless_accepted(installation, services, troubles)
    assert cloud.throttle  # noqa: S101 - it was made with limits
    made, refused = dict(cloud.throttle.requests), cloud.throttle.refused.total()
    took_s = baton.now() - START
    installation.store.close()
    return Ran(services, took_s, time.perf_counter() - began, time.process_time() - cpu, made, refused, troubles)


def served(installation: Installation, baton: Baton, troubles: list[str]) -> VirtualServer:
    holder = this_process()
    runner = Runner(installation, holder, threads=1)  # one thread runs at a time
    return VirtualServer(
        store=installation.store,
        means_of=installation.means,
        now=baton.now,
        steady=baton.now,
        holder=holder,
        watchers=Watchers(trouble=lambda what, error: troubles.append(f"{what}: {error!r}")),
        chores=[Chore("campaigns", LOOK_S, runner.look, aside=True)],
        observer=Observer(installation.store, installation.provider, baton.now),
        baton=baton,
    )


def is_over(installation: Installation) -> bool:
    found = register.newest(installation.store.db, "monthly")
    if found and found.state == "stopped":
        raise WaveFailed(f"the campaign stopped: {found}"[:2000])
    return found is not None and found.ended_at is not None


def raise_unless_accepted(installation: Installation, services: int, troubles: list[str]) -> None:
    rows = installation.store.rollouts(limit=services)
    others = [row for row in rows if row.outcome != "promoted"]
    if others or len(rows) != services:
        raise WaveFailed(f"{len(others)} of {len(rows)} were not accepted, of {services}: {others[:3]}, {troubles[:3]}")


@dataclass(frozen=True)
class Bound:
    """See above."""

    bucket: str
    requests: float
    bucket_s: float
    alone_s: float

    @property
    def seconds(self) -> float:
        return max(self.bucket_s, self.alone_s)


def looks_while_warm(services: int, each: float, rate: Rate, a_look: float, every_s: float) -> int:
    """The fewest looks at what is warm before the last is accepted; see above. `each`: requests of a rollout."""
    looks = 0
    for warm in range(1, services - PARALLEL + 1):
        made, before_s = (services - warm - PARALLEL + 1) * each, -1.0
        left_s = (made - rate.size) / rate.refill
        while left_s > before_s and left_s < DAY_S:  # what is warm is looked at meanwhile, and that takes time, too
            before_s = left_s
            left_s = (made + warm * max(left_s // every_s, 0) * a_look - rate.size) / rate.refill
        looks += int(max(left_s // every_s, 0))
    return looks


def of_a_look() -> Counter[str]:
    """Requests for one of a page of services that are looked at together: what pages have, and its own targets."""
    costs, alone = aws_limits().costs, Parts(route=False, targets=("green",), counters=())
    found = Counter({bucket: count / SAMPLE for bucket, count in costs("traffic.observe", SAMPLE, (SHARED,)).items()})
    found.update(costs("traffic.observe", 1, (alone,)))
    return found


def bound(home: Path, services: int, *, watched: bool) -> Bound:
    with patch.object(watch, "SHORT_S", -1.0):  # as it is where calls are short: as much as can be is read for many
        sample = run(home / "sample", SAMPLE, unlimited(), AT_ONCE, SAMPLE)
    alone = run(home / "alone", 1, unlimited(), REAL)
    each = {bucket: count / SAMPLE for bucket, count in sample.requests.items()}
    rates = aws_limits().buckets
    a_look, needed_s = of_a_look(), dict[str, float]()
    for bucket, count in each.items():
        every_s = vigil.LOOK_S + HELD_S
        looks = looks_while_warm(services, count, rates[bucket], a_look[bucket], every_s) if watched else 0
        needed_s[bucket] = (services * count + looks * a_look[bucket] - rates[bucket].size) / rates[bucket].refill
    slowest = max(needed_s, key=lambda bucket: needed_s[bucket])
    return Bound(slowest, each[slowest], max(needed_s[slowest], 0.0), alone.virtual_s)


def figures(home: Path, services: int, *, watched: bool) -> Iterator[Figure]:
    name = f"wave of {services}, " + ("what is warm watched" if watched else "by itself")
    home = home / name.replace(" ", "-")
    with patch.object(vigil, "LOOK_S", vigil.LOOK_S if watched else DAY_S):
        allowed = bound(home, services, watched=watched)
        wave = run(home / "wave", services, aws_limits(), REAL)
    made = wave.requests[allowed.bucket] / services
    yield Figure(f"{name}: time / what the limits allow", round(wave.virtual_s / allowed.seconds, 3), "times", GOAL)
    yield Figure(f"{name}: time", round(wave.virtual_s, 1), "s")
    yield Figure(f"{name}: what the limits allow", round(allowed.seconds, 1), "s")
    yield Figure(f"{name}: one rollout alone", round(allowed.alone_s, 1), "s")
    yield Figure(f"{name}: {allowed.bucket} for each, needed", round(allowed.requests, 1), "calls")
    yield Figure(f"{name}: {allowed.bucket} for each, made", round(made, 1), "calls")
    yield Figure(f"{name}: calls refused", wave.refused, "")
    yield Figure(f"{name}: wall", round(wave.wall_s, 1), "s")
    yield Figure(f"{name}: CPU", round(wave.cpu_s, 1), "s")

"""A store with thousands of open rollouts that wait, made from one real rollout of each kind.

warm      promoted, watched until its way back closes
soaking   a tenth of the traffic moved, its live gate under way
fact      hosts launched, none running yet
Each real one is driven there by the engine on virtual time; the others are its journal under other names, their chains
of hashes made anew.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet_waiting.cloud import NAME, States
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.model import Settings
from rollout.control import start
from rollout.engine.job import advance
from rollout.journal import GENESIS, canonical
from rollout.lease import this_process
from rollout.observer import OBSERVED_S
from rollout.plan import Plan
from rollout.rows import Row
from rollout.store import Store
from rollout.wiring import Installation

KINDS = ("warm", "soaking", "fact")
LOOK_S, BEFORE_S, DAY_S = 30.0, 280.0, 86_400.0
SETTINGS: dict[str, Any] = {
    "provider": NAME,
    "coexist": "safe",
    "checks": {"preflight": ["balancer"], "replacement": ["balancer"], "live": ["balancer", "failed_responses"]},
    "gates": {"replacement": {"passes": 1}, "live": {"passes": 1}},
    "bake": "30s",
    "keep_warm": "7d",
    "settle": "1s",
}
SOAKS = {"warm": "30s", "soaking": "6d", "fact": "30s"}


@dataclass(frozen=True)
class Kept:
    """One real rollout, as it stands in the store."""

    row: tuple[Any, ...]
    entries: list[tuple[Any, ...]]
    wait: tuple[Any, ...]
    service: str


def names(count: int, kinds: Sequence[str] = KINDS) -> list[str]:
    return [f"{kinds[number % len(kinds)]}-{number:05}" for number in range(count)]


def kind_of(name: str) -> str:
    return name.partition("-")[0]


def write_fleet(home: Path, services: Sequence[str], store: str = "") -> Path:
    """`store`: a file beside it that holds the address of a PostgreSQL."""
    each = {}
    for name in services:
        traffic = {"steps": [10, 100], "soak": SOAKS[kind_of(name)], "interval": f"{LOOK_S:.0f}s"}
        each[name] = {"traffic": traffic, "options": {"kind": kind_of(name)}}
    shared = f"store: {{file: {store}}}\n" if store else ""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "fleet.yaml"
    path.write_text(f"version: 1\n{shared}defaults: {json.dumps(SETTINGS)}\nservices: {json.dumps(each)}\n")
    return path


def make(home: Path, count: int, kinds: Sequence[str] = KINDS, store: str = "") -> Path:
    """The fleet file; its store has `count` open rollouts, due one after the other within LOOK_S."""
    kept, states = driven(home / "one-of-each", kinds)
    states.write(home)
    services = names(count, kinds)
    path = write_fleet(home, services, store)
    fill(Installation(path).store, kept, services)
    return path


def driven(home: Path, kinds: Sequence[str]) -> tuple[dict[str, Kept], States]:
    """One rollout of each kind, in a store and a cloud of their own."""
    clock, examples = VirtualClock(time.time() - BEFORE_S), {kind: f"{kind}-xxxxx" for kind in kinds}
    installation = Installation(write_fleet(home, list(examples.values())), clock)
    cloud = SimCloud(clock)
    for image in ("base-1", "base-2"):
        cloud.add_image(image)
    installation._providers[NAME] = provider_for(cloud)
    for kind, name in examples.items():
        launch_s = 1e9 if kind == "fact" else 10.0
        cloud.add_service(name, image="base-1", capacity=1, settings=Settings(launch_s=launch_s, drain_s=1))
        start(installation, name, image="base-2", saved=None, key=None, actor="bench", reason="")
    store, means = installation.store, installation.means(NAME)
    while clock.now() < time.time():
        for row in store.due(clock.now()):
            advance(row.id, means, this_process())
        clock.sleep(1.0)
        cloud.catch_up()
    found = {kind: _kept(store, store.rollouts(name)[0]) for kind, name in examples.items()}
    store.close()
    return found, States.of(cloud, examples)


def _kept(store: Store, row: Row) -> Kept:
    wanted = {"warm": "warm", "soaking": "shifting", "fact": "patching"}[kind_of(row.service)]
    if row.phase != wanted:
        raise RuntimeError(f"{row.service} is {row.phase}: {store.entries(row.id)[-3:]}")
    columns = "id, service, plan, actor, reason, opened_at, phase, outcome, head_seq"
    (found,) = store.db.all(f"SELECT {columns} FROM rollouts WHERE id = ?", row.id)  # noqa: S608 - fixed columns
    entries = store.db.all(
        "SELECT seq, at, epoch, kind, step, data FROM journal WHERE rollout = ? ORDER BY seq", row.id
    )
    waits = store.db.all("SELECT step, started_at, deadline_at, state FROM waits WHERE rollout = ?", row.id)
    return Kept(found, entries, waits[0], row.service)


def fill(store: Store, kept: dict[str, Kept], services: Sequence[str]) -> None:
    now = time.time()
    for begin in range(0, len(services), 500):
        with store.db.transaction() as db:
            for number, name in enumerate(services[begin : begin + 500], start=begin):
                due_at = now + (OBSERVED_S if kind_of(name) == "fact" else LOOK_S * number / len(services))
                for statement, values in rows_of(kept[kind_of(name)], name, number + 1, due_at):
                    db.execute(statement, values)
    store.close()


ROLLOUT = (
    "INSERT INTO rollouts (id, service, plan, plan_hash, actor, reason, opened_at, phase, outcome, head_seq, head_hash,"
    " due_at, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ENTRY = "INSERT INTO journal (rollout, seq, at, epoch, kind, step, data, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
WAIT = "INSERT INTO waits (rollout, step, started_at, deadline_at, due_at, state) VALUES (?, ?, ?, ?, ?, ?)"
SERVICE = "INSERT INTO services (name, epoch) VALUES (?, ?)"


def rows_of(kept: Kept, name: str, number: int, due_at: float) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """All that a store has of one rollout."""
    example, _, plan, actor, reason, opened_at, phase, outcome, head = kept.row
    rollout, plan = example.replace(kept.service, name), plan.replace(kept.service, name)
    prev, entries = GENESIS, []
    for seq, at, epoch, kind, step, text in kept.entries:
        data = text.replace(kept.service, name)
        frame = canonical([rollout, seq, at, epoch, kind, step, 0, prev]).rpartition(",0,")
        link = hashlib.sha256(f"{frame[0]},{data},{frame[2]}".encode()).hexdigest()
        entries.append((rollout, seq, at, epoch, kind, step, data, prev, link))
        prev = link
    told = (actor, reason, opened_at, phase, outcome, head, prev, due_at, number)
    yield SERVICE, (name, max(entry[2] for entry in kept.entries))
    yield ROLLOUT, (rollout, name, plan, Plan.from_json(json.loads(plan)).hash, *told)
    for entry in entries:
        yield ENTRY, entry
    step, started_at, deadline_at, state = kept.wait
    deadline_at = None if deadline_at is None else deadline_at + DAY_S  # nothing is given up while it is measured
    yield WAIT, (rollout, step, started_at, deadline_at, due_at, state.replace(kept.service, name))

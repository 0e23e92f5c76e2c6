"""Rollouts that were really driven, and the hands that tamper with what they left."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

from providers.base import Route, Service
from providers.memory.cloud import SimCloud, find
from rollout import control
from rollout.engine.job import advance
from rollout.journal import GENESIS, canonical, next_entry
from rollout.rows import Row
from rollout.store import NEVER
from rollout.wiring import Installation
from tests.core.scene import HOLDER

SHOP = Service("shop", {"capacity": 2, "launch_s": 0.2})
DAY_S = 86_400.0


def begin(made: Installation, image: str | None = None) -> Row:
    """As `rollout start` does, without options."""
    started = control.start(made, "shop", image=image, saved=None, key=None, actor="me", reason="because")
    return started.row


def drive(made: Installation, rollout: str, until: Callable[[Row], bool] = lambda row: False) -> Row:
    """Jobs as they are due, until closed, stuck or `until`."""
    means = made.means("memory")
    for _ in range(600):
        row = made.store.rollout(rollout)
        if row.closed_at is not None or row.due_at >= NEVER or until(row):
            return row
        made.clock.sleep(row.due_at - made.clock.now())
        advance(rollout, means, HOLDER)
    raise AssertionError(f"still {row.phase}")


def closed(made: Installation, image: str | None = None) -> Row:
    """A rollout from its beginning to its end."""
    return drive(made, begin(made, image).id)


def warm(made: Installation, image: str | None = None) -> Row:
    """A rollout that was promoted, with its way back open."""
    return drive(made, begin(made, image).id, lambda row: row.phase == "warm")


def cloud_of(made: Installation) -> SimCloud:
    target = made.provider("memory").traffic.card_target(service_of(made))
    return find(target["cloud"])


def service_of(made: Installation) -> Service:
    return Service("shop", dict(made.service("shop").options))


def route(made: Installation) -> Route:
    return made.provider("memory").traffic.route(service_of(made))


def sql(made: Installation, statement: str, *arguments: Any) -> int:
    """What somebody with a database tool does to the store's file; how many rows."""
    with closing(sqlite3.connect(made.store_path)) as db:
        changed = db.execute(statement, arguments).rowcount
        db.commit()
        return changed


def rechain(made: Installation, rollout: str) -> None:
    """What a careful forger does: all hashes of a journal anew, and the head that fits them."""
    with closing(sqlite3.connect(made.store_path)) as db:
        rows = db.execute("SELECT * FROM journal WHERE rollout = ? ORDER BY seq", (rollout,)).fetchall()
        db.execute("DELETE FROM journal WHERE rollout = ?", (rollout,))
        prev, seq = GENESIS, 0
        import json

        for seq, (_, _, at, epoch, kind, step, data, _, _) in enumerate(rows, start=1):
            entry = next_entry(rollout, seq, prev, at=at, epoch=epoch, kind=kind, step=step, data=json.loads(data))
            values = (rollout, seq, at, epoch, kind, step, canonical(entry.data), prev, entry.hash)
            db.execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
            prev = entry.hash
        db.execute("UPDATE rollouts SET head_seq = ?, head_hash = ? WHERE id = ?", (seq, prev, rollout))
        db.commit()


def again(made: Installation) -> Installation:
    """The same fleet seen by another process: a new connection, the same cloud."""
    other = Installation(made.fleet_file, made.clock)
    other._providers = made._providers
    return other

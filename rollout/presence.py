"""Which `rollout serve` and which `rollout worker` live: a courtesy to people and to other drivers, never a fence
(leases and epochs are that).

Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from rollout.database import Database
from rollout.journal import canonical
from rollout.lease import LEASE_S, Holder, is_provably_dead

_NAME = "serve"
_WORKER = "worker "
_OBSERVER = "observer"
_NOTE = (
    "INSERT INTO servers (name, holder, since, seen_at) VALUES (?, ?, ?, ?) ON CONFLICT (name)"
    " DO UPDATE SET holder = excluded.holder, since = excluded.since, seen_at = excluded.seen_at"
)
FORGOTTEN_S = 60.0
"""A worker that was seen longer ago, and did not take its leave, is on the list no more."""


@dataclass(frozen=True, slots=True)
class Server:
    """A serving process: since when, and when it was last there (seconds since 1970)."""

    holder: Holder
    since: float
    seen_at: float


class AlreadyServed(Exception):
    """Another process serves this fleet."""

    def __init__(self, server: Server) -> None:
        super().__init__(f"this fleet is served by {server.holder} already")
        self.server = server


def present_server(db: Database, now: float) -> Server | None:
    """The one that was there within a lease's time (the clock may have jumped either way) and is not provably dead."""
    return _present(db.all("SELECT holder, since, seen_at FROM servers WHERE name = ?", _NAME), now)


def present_workers(db: Database, now: float) -> list[Server]:
    """Those that work beside each other on one store, the longest there first; on SQLite there are none."""
    query = "SELECT holder, since, seen_at FROM servers WHERE name LIKE ? ORDER BY since, name"
    return [server for found in db.all(query, f"{_WORKER}%") if (server := _present([found], now))]


def present_driver(db: Database, now: float) -> Server | None:
    """Who drives what no command does: `rollout serve`, or else a worker."""
    return present_server(db, now) or next(iter(present_workers(db, now)), None)


def driver_of(db: Database, rollout: str, now: float) -> Holder | None:
    """Who drives a rollout now: a command of its own, or else `rollout serve` or a worker."""
    noted = _present(db.all("SELECT holder, seen_at, seen_at FROM drivers WHERE rollout = ?", rollout), now)
    driver = noted or present_driver(db, now)
    return driver.holder if driver else None


def note_driver(database: Database, rollout: str, holder: Holder, at: float) -> None:
    with database.transaction(flushed=False) as db:
        db.execute(
            "INSERT INTO drivers (rollout, holder, seen_at) VALUES (?, ?, ?)"
            " ON CONFLICT (rollout) DO UPDATE SET holder = excluded.holder, seen_at = excluded.seen_at",
            (rollout, canonical(holder.to_json()), at),
        )


def leave_driver(database: Database, rollout: str, holder: Holder) -> None:
    with database.transaction(flushed=False) as db:
        db.execute("DELETE FROM drivers WHERE rollout = ? AND holder = ?", (rollout, canonical(holder.to_json())))


def is_observed(db: Database, now: float) -> bool:
    """Does a living process look at what is awaited, for all rollouts?"""
    return _present(db.all("SELECT holder, since, seen_at FROM servers WHERE name = ?", _OBSERVER), now) is not None


def _present(found: list[tuple[str, float, float]], now: float) -> Server | None:
    if not found or abs(now - found[0][2]) > LEASE_S:
        return None
    server = Server(Holder.from_json(json.loads(found[0][0])), found[0][1], found[0][2])
    return None if is_provably_dead(server.holder) else server


def note_server(database: Database, holder: Holder, now: float) -> None:
    """This process serves; AlreadyServed where another one does."""
    with database.transaction(flushed=False) as db:
        present = present_server(database, now)
        if present and present.holder != holder:
            raise AlreadyServed(present)
        since = present.since if present else now
        db.execute(_NOTE, (_NAME, canonical(holder.to_json()), since, now))


def note_sharing(
    database: Database, holder: Holder, since: float, now: float, *, works: bool, observes: bool = False
) -> None:
    """This process works beside others, or observes for them; workers that are long gone are forgotten."""
    worker = [f"{_WORKER}{holder.host} {holder.pid} {holder.started}"] if works else []
    with database.transaction(flushed=False) as db:
        db.execute("DELETE FROM servers WHERE name LIKE ? AND seen_at < ?", (f"{_WORKER}%", now - FORGOTTEN_S))
        for name in [*worker, _OBSERVER] if observes else worker:
            db.execute(_NOTE, (name, canonical(holder.to_json()), since, now))


def leave_server(database: Database, holder: Holder) -> None:
    with database.transaction() as db:
        db.execute("DELETE FROM servers WHERE holder = ?", (canonical(holder.to_json()),))

"""The record of what concerns a service or the fleet, but no one rollout: holds, denials, stood up, restored, pruned.

One chain for the whole store, made like a rollout's (rollout/journal.py). Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rollout.database import Database, Transaction
from rollout.journal import GENESIS, Entry, canonical, next_entry
from rollout.news import add_fleet_news

FLEET = "fleet"
"""What stands for the rollout in the entries of this chain; `step` is the service, or empty for all."""


class FleetJournal:
    def __init__(self, db: Database) -> None:
        self._db = db

    def append(self, kind: str, subject: str, data: Mapping[str, Any], at: float) -> Entry:
        """Add one entry: `subject` is the service that it concerns, or empty."""
        with self._db.transaction() as db:
            return append_to_fleet(db, kind, subject, data, at)

    def entries(self, *, subject: str | None = None, since: float = 0.0) -> list[Entry]:
        """Oldest first; without arguments the whole chain, as `first_broken_link` wants it."""
        found = self._db.all("SELECT * FROM fleet_journal WHERE at >= ? ORDER BY seq", since)
        return [_entry(row) for row in found if subject is None or row[3] == subject]

    def head(self) -> tuple[int, str]:
        """Sequence and hash of the last entry; 0 and the first link's hash where there is none."""
        found = self._db.all("SELECT seq, hash FROM fleet_journal ORDER BY seq DESC LIMIT 1")
        return (found[0][0], found[0][1]) if found else (0, GENESIS)


def append_to_fleet(db: Transaction, kind: str, subject: str, data: Mapping[str, Any], at: float) -> Entry:
    """The same inside a transaction that changes what the entry tells of."""
    last = db.execute("SELECT seq, hash FROM fleet_journal ORDER BY seq DESC LIMIT 1").fetchone()
    seq, prev = last or (0, GENESIS)
    at, data = float(at), json.loads(canonical(data))
    entry = next_entry(FLEET, seq + 1, prev, at=at, epoch=0, kind=kind, step=subject, data=data)
    values = (entry.seq, at, kind, subject, canonical(data), prev, entry.hash)
    db.execute("INSERT INTO fleet_journal VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    add_fleet_news(db, entry)
    return entry


def _entry(row: Any) -> Entry:
    seq, at, kind, subject, data, prev, link = row
    return Entry(FLEET, seq, at, 0, kind, subject, json.loads(data), prev, link)

"""Which `rollout serve` lives: a courtesy to people and to other drivers, never a fence (leases and epochs are that).

Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from rollout.database import Database
from rollout.journal import canonical
from rollout.lease import LEASE_S, Holder, is_provably_dead

_NAME = "serve"


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
    found = db.all("SELECT holder, since, seen_at FROM servers WHERE name = ?", _NAME)
    if not found or abs(now - found[0][2]) > LEASE_S:
        return None
    server = Server(Holder.from_json(json.loads(found[0][0])), found[0][1], found[0][2])
    return None if is_provably_dead(server.holder) else server


def note_server(database: Database, holder: Holder, now: float) -> None:
    """This process serves; AlreadyServed where another one does."""
    with database.transaction() as db:
        present = present_server(database, now)
        if present and present.holder != holder:
            raise AlreadyServed(present)
        since = present.since if present else now
        db.execute(
            "INSERT OR REPLACE INTO servers VALUES (?, ?, ?, ?)", (_NAME, canonical(holder.to_json()), since, now)
        )


def leave_server(database: Database, holder: Holder) -> None:
    with database.transaction() as db:
        db.execute("DELETE FROM servers WHERE holder = ?", (canonical(holder.to_json()),))

"""Holds: a deployment pipeline (or a person) keeps rollouts off a service, and a rollout keeps them off.

A rollout cannot begin on a held service, and a service with an open rollout that still moves traffic cannot be held:
both are decided in one transaction. A hold stops forward steps only, never a way back. Standard library only.
"""

from __future__ import annotations

from typing import Any

from rollout.database import Database, Transaction
from rollout.fleet_journal import append_to_fleet
from rollout.rows import Hold

_MOVES_TRAFFIC = """
    SELECT id, phase FROM rollouts WHERE service = ? AND closed_at IS NULL AND (phase != 'warm' OR EXISTS (
        SELECT 1 FROM journal WHERE rollout = id AND kind IN ('roll_back_decided', 'adopted')))
"""
"""A warm one only waits, unless it was decided to turn back."""


class Busy(Exception):
    """The service has an open rollout, so that it cannot be held now."""

    def __init__(self, service: str, rollout: str, phase: str) -> None:
        super().__init__(f"{service} has an open rollout: {rollout} ({phase})")
        self.service, self.rollout, self.phase = service, rollout, phase


class Holds:
    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, hold: Hold) -> None:
        """Hold a service, or say it anew; Busy while a rollout of it moves traffic, Taken by somebody else's hold."""
        with self._db.transaction() as db:
            found = db.execute(_MOVES_TRAFFIC, (hold.service,)).fetchone()
            if found:
                raise Busy(hold.service, *found)
            present = hold_on(db, hold.service, hold.at)
            if present and present.actor != hold.actor:
                raise Taken(present)
            values = (hold.service, hold.actor, hold.reason, hold.ref, hold.at, hold.until)
            db.execute(
                "INSERT INTO holds (service, actor, reason, ref, at, until) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (service) DO UPDATE SET actor = excluded.actor, reason = excluded.reason,"
                " ref = excluded.ref, at = excluded.at, until = excluded.until",
                values,
            )
            said = {"actor": hold.actor, "reason": hold.reason, "ref": hold.ref, "until": hold.until}
            append_to_fleet(db, "held", hold.service, said, hold.at)

    def release(self, service: str, actor: str, reason: str, at: float, ref: str = "") -> Hold | None:
        """End a hold, whoever has it; what was there."""
        with self._db.transaction() as db:
            present = hold_on(db, service, at)
            db.execute("DELETE FROM holds WHERE service = ?", (service,))
            if present:
                said = {
                    "actor": actor,
                    "reason": reason,
                    "ref": ref,
                    "held_by": present.actor,
                    "held_since": present.at,
                }
                append_to_fleet(db, "released", service, said, at)
                db.execute("UPDATE rollouts SET due_at = ? WHERE service = ? AND closed_at IS NULL", (at, service))
                of_service = "rollout IN (SELECT id FROM rollouts WHERE service = ?)"
                db.execute(f"DELETE FROM waits WHERE step = 'held' AND {of_service}", (service,))  # noqa: S608 - fixed
            return present

    def of(self, service: str, now: float) -> Hold | None:
        """The hold that is on a service now."""
        return _in_force(self._db.all("SELECT * FROM holds WHERE service = ?", service), now)

    def all(self, now: float) -> list[Hold]:
        found = [_in_force([row], now) for row in self._db.all("SELECT * FROM holds ORDER BY service")]
        return [hold for hold in found if hold]


class Taken(Exception):
    """Somebody else holds the service already."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"{hold.service} is held by {hold.actor} already: {hold.reason or 'no reason given'}")
        self.hold = hold


def hold_on(db: Transaction, service: str, now: float) -> Hold | None:
    """The same as `of`, inside a transaction."""
    return _in_force(db.execute("SELECT * FROM holds WHERE service = ?", (service,)).fetchall(), now)


def _in_force(rows: list[Any], now: float) -> Hold | None:
    hold = Hold(*rows[0]) if rows else None
    return hold if hold and (hold.until is None or hold.until > now) else None

"""Where rollouts, their journals, waits and leases are kept: a SQLite file, or PostgreSQL (rollout/stores).

Standard library only (status and the emergency path use it). Every change to a rollout goes through a transaction
that checks the service's epoch, so a controller that lost its lease can record nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rollout import presence
from rollout.database import Database, SqliteDatabase, StoreError, Transaction, raise_if_moved
from rollout.fleet_journal import append_to_fleet
from rollout.holds import Holds, hold_on
from rollout.journal import GENESIS, Entry, canonical, next_entry
from rollout.lease import LEASE_S, Holder, is_provably_dead
from rollout.news import add_news
from rollout.rows import Hold, Row, Wait

__all__ = ["NEVER", "Claimed", "Fenced", "HeadMoved", "Held", "LeaseHeld", "Store", "StoreError"]


class Fenced(BaseException):
    """Someone else raised the service's epoch: whoever meets this must stop at once (never caught by a story)."""


class Claimed(Exception):
    """The service has an open rollout already."""

    def __init__(self, rollout: Row) -> None:
        super().__init__(f"{rollout.service} has an open rollout: {rollout.id} ({rollout.phase})")
        self.rollout = rollout


class Held(Exception):
    """Somebody holds the service: no rollout may begin on it."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"{hold.service} is held by {hold.actor}: {hold.reason or 'no reason given'}")
        self.hold = hold


class LeaseHeld(Exception):
    def __init__(self, service: str, holder: Holder, expires_in_s: float) -> None:
        super().__init__(f"{service} is driven by {holder}; its lease runs out in {expires_in_s:.0f} s")
        self.holder, self.expires_in_s = holder, expires_in_s


class HeadMoved(Exception):
    """The journal went on since it was read."""


class Store:
    """Rollouts, journals, waits, leases and denials in a database, or in the SQLite file at a path.

    Raises StoreMoved where they were moved elsewhere.
    """

    def __init__(self, where: Database | Path | str, *, busy_s: float = 5.0, create: bool = True) -> None:
        if isinstance(where, Path | str):
            where = SqliteDatabase(where, busy_s=busy_s, create=create)
        self.db: Database = where
        self.path = self.db.path
        raise_if_moved(self.db)

    def close(self) -> None:
        self.db.close()

    # Rollouts and claims

    def open_rollout(
        self,
        rollout: str,
        service: str,
        plan: Mapping[str, Any],
        plan_hash: str,
        *,
        at: float,
        actor: str,
        reason: str = "",
        ref: str = "",
        key: str | None = None,
        also: Callable[[Transaction], None] | None = None,
    ) -> Row:
        """Claim the service and write the first entry; Claimed names the rollout that has the claim, Held the hold.

        The same key again returns the rollout that it opened, whatever became of it. `also` is done in the same
        transaction; what it raises keeps the rollout from being opened.
        """
        with self.db.transaction() as db:
            if row := db.execute(f"{_ROWS} WHERE service = ? AND key = ?", (service, key)).fetchone():
                return _row(row)
            if row := db.execute(f"{_ROWS} WHERE service = ? AND closed_at IS NULL", (service,)).fetchone():
                raise Claimed(_row(row))
            if hold := hold_on(db, service, at):
                raise Held(hold)
            db.execute(KNOW_SERVICE, (service,))
            (epoch,) = db.execute("SELECT epoch FROM services WHERE name = ?", (service,)).fetchone()
            db.execute(_OPEN, (rollout, service, key, canonical(plan), plan_hash, actor, reason, at, GENESIS, at))
            data = {"plan_hash": plan_hash, "actor": actor, "reason": reason, "ref": ref}
            data |= {"key": key} if key else {}
            self._append(db, rollout, epoch, "opened", "", data, at)
            if also:
                also(db)
        return self.rollout(rollout)

    def knows(self, rollout: str) -> bool:
        return bool(self.db.all("SELECT 1 FROM rollouts WHERE id = ?", rollout))

    def rollout(self, rollout: str) -> Row:
        found = self.db.all(f"{_ROWS} WHERE id = ?", rollout)
        if not found:
            raise KeyError(rollout)
        return _row(found[0])

    def rollouts(self, service: str | None = None, *, open_only: bool = False, limit: int = 1000) -> list[Row]:
        """Newest first."""
        where, arguments = ["1 = 1"], list[Any]()
        if service is not None:
            where.append("service = ?")
            arguments.append(service)
        if open_only:
            where.append("closed_at IS NULL")
        query = f"{_ROWS} WHERE {' AND '.join(where)} ORDER BY number DESC LIMIT ?"
        return [_row(found) for found in self.db.all(query, *arguments, limit)]

    def due(self, now: float) -> list[Row]:
        """Open rollouts whose time has come."""
        found = self.db.all(f"{_ROWS} WHERE closed_at IS NULL AND due_at <= ? ORDER BY due_at, id", now)
        return [_row(row) for row in found]

    def wake_all(self, now: float, *, halted: bool = False) -> None:
        """Have what is open looked at: all but the halted ones, or only these (a hold mark turns them back).

        What turns back at once; a few others, too, and the rest in the seconds or minutes after, so that what is due by
        itself meanwhile is not kept waiting.
        """
        with self.db.transaction() as db:
            (count,) = db.execute("SELECT count(*) FROM rollouts WHERE closed_at IS NULL").fetchone()
            turn = (now, max(count, 1), WOKEN_A_SECOND)
            db.execute(_WAKE, (*turn, NEVER, halted, *turn))

    # The journal

    def entries(self, rollout: str, after: int = 0) -> list[Entry]:
        found = self.db.all("SELECT * FROM journal WHERE rollout = ? AND seq > ? ORDER BY seq", rollout, after)
        return [Entry(r[0], r[1], r[2], r[3], r[4], r[5], json.loads(r[6]), r[7], r[8]) for r in found]

    def append(
        self,
        rollout: str,
        epoch: int,
        kind: str,
        step: str,
        data: Mapping[str, Any],
        at: float,
        *,
        outcome: str | None = None,
        wait: Wait | None = None,
    ) -> Entry:
        """Add one entry under an epoch; Fenced when the epoch is stale.

        `entered` also sets the phase, `closed` ends the claim, `waiting` stores its wait, and what ends a wait
        removes it.
        """
        with self.db.transaction() as db:
            self._check_epoch(db, rollout, epoch)
            entry = self._append(db, rollout, epoch, kind, step, data, at, outcome)
            if wait:
                _save_wait(db, rollout, wait)
            return entry

    def decide(
        self,
        rollout: str,
        head_seq: int,
        kind: str,
        data: Mapping[str, Any],
        at: float,
        *,
        outcome: str | None = None,
    ) -> Entry:
        """Write what overrides whoever drives: raises the epoch; HeadMoved when the journal went on meanwhile."""
        with self.db.transaction() as db:
            service, head = db.execute("SELECT service, head_seq FROM rollouts WHERE id = ?", (rollout,)).fetchone()
            if head != head_seq:
                raise HeadMoved(f"{rollout}: read at entry {head_seq}, now at {head}")
            # Whoever has the lease is fenced by this, so that the next job need not wait for it to run out.
            db.execute(
                "UPDATE services SET epoch = epoch + 1, holder = NULL, lease_expires_at = NULL WHERE name = ?",
                (service,),
            )
            (epoch,) = db.execute("SELECT epoch FROM services WHERE name = ?", (service,)).fetchone()
            db.execute("UPDATE rollouts SET due_at = ? WHERE id = ?", (at, rollout))
            return self._append(db, rollout, epoch, kind, "", data, at, outcome)

    def raise_if_stale(self, rollout: str, epoch: int) -> None:
        """Fenced when somebody raised the epoch: asked before a write whose intent an earlier job journalled."""
        (now,) = self.db.all(EPOCH_OF, rollout)[0]
        _raise_if_stale(rollout, epoch, now)

    def _check_epoch(self, db: Transaction, rollout: str, epoch: int) -> None:
        (now,) = db.execute(EPOCH_OF, (rollout,)).fetchone()
        _raise_if_stale(rollout, epoch, now)

    def _append(
        self,
        db: Transaction,
        rollout: str,
        epoch: int,
        kind: str,
        step: str,
        data: Mapping[str, Any],
        at: float,
        outcome: str | None = None,
    ) -> Entry:
        seq, prev = db.execute("SELECT head_seq, head_hash FROM rollouts WHERE id = ?", (rollout,)).fetchone()
        at, data = float(at), json.loads(canonical(data))  # as it will be read back: what the hash is taken over
        entry = next_entry(rollout, seq + 1, prev, at=at, epoch=epoch, kind=kind, step=step, data=data)
        db.execute(
            "INSERT INTO journal (rollout, seq, at, epoch, kind, step, data, prev, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (rollout, entry.seq, at, epoch, kind, step, canonical(data), prev, entry.hash),
        )
        db.execute(
            "UPDATE rollouts SET head_seq = ?, head_hash = ?, outcome = coalesce(?, outcome),"
            " phase = CASE ? WHEN 'entered' THEN ? ELSE phase END,"
            " closed_at = CASE ? WHEN 'closed' THEN ? ELSE closed_at END WHERE id = ?",
            (entry.seq, entry.hash, outcome, kind, step, kind, at, rollout),
        )
        if kind in ("ended", "roll_back_decided", "halted", "closed"):
            db.execute("DELETE FROM waits WHERE rollout = ?", (rollout,))
        elif kind == "resumed":
            db.execute("DELETE FROM waits WHERE rollout = ? AND step LIKE 'paused:%'", (rollout,))
        add_news(db, entry)
        return entry

    # Waits

    def wait(self, rollout: str) -> Wait | None:
        found = self.db.all("SELECT * FROM waits WHERE rollout = ?", rollout)
        if not found:
            return None
        _, step, started_at, deadline_at, due_at, state = found[0]
        return Wait(step, started_at, deadline_at, due_at, json.loads(state))

    def save_wait(self, rollout: str, epoch: int, wait: Wait) -> None:
        with self.db.transaction() as db:
            self._check_epoch(db, rollout, epoch)
            _save_wait(db, rollout, wait)

    # Leases and epochs

    def take_lease(self, service: str, holder: Holder, now: float, lease_s: float = LEASE_S) -> int:
        """The right to act now; each taking raises the epoch, which is returned. LeaseHeld says who has it."""
        with self.db.transaction(flushed=False) as db:
            db.execute(KNOW_SERVICE, (service,))
            epoch, text, expires_at = db.execute(
                "SELECT epoch, holder, lease_expires_at FROM services WHERE name = ?", (service,)
            ).fetchone()
            if text and expires_at > now:
                present = Holder.from_json(json.loads(text))
                if present != holder and not is_provably_dead(present):
                    raise LeaseHeld(service, present, expires_at - now)
            db.execute(
                "UPDATE services SET epoch = ?, holder = ?, lease_expires_at = ? WHERE name = ?",
                (epoch + 1, canonical(holder.to_json()), now + lease_s, service),
            )
            return int(epoch) + 1

    def renew_lease(self, service: str, epoch: int, now: float, lease_s: float = LEASE_S) -> None:
        with self.db.transaction(flushed=False) as db:
            changed = db.execute(
                "UPDATE services SET lease_expires_at = ? WHERE name = ? AND epoch = ?",
                (now + lease_s, service, epoch),
            )
            if changed.rowcount == 0:
                raise Fenced(f"{service}: epoch {epoch} is stale")

    def release_lease(self, rollout: str, epoch: int, due_at: float | None = None) -> None:
        """Give the service's lease up, and say when the rollout is due again (None: when a person says so)."""
        with self.db.transaction(flushed=False) as db:
            changed = db.execute(
                "UPDATE services SET holder = NULL, lease_expires_at = NULL"
                " WHERE name = (SELECT service FROM rollouts WHERE id = ?) AND epoch = ?",
                (rollout, epoch),
            )
            if changed.rowcount:
                due = NEVER if due_at is None else due_at
                db.execute("UPDATE rollouts SET due_at = ? WHERE id = ?", (due, rollout))

    def end_lease(self, service: str, epoch: int) -> None:
        """Give up a lease that was taken for no rollout."""
        with self.db.transaction(flushed=False) as db:
            db.execute(
                "UPDATE services SET holder = NULL, lease_expires_at = NULL WHERE name = ? AND epoch = ?",
                (service, epoch),
            )

    def lease(self, service: str) -> tuple[Holder, float] | None:
        """Who has the lease and until when."""
        found = self.db.all("SELECT holder, lease_expires_at FROM services WHERE name = ?", service)
        if not found or not found[0][0]:
            return None
        return Holder.from_json(json.loads(found[0][0])), found[0][1]

    # Who drives: a courtesy to people and other drivers, never a fence

    def note_driver(self, rollout: str, holder: Holder, at: float) -> None:
        """This process tells the story of a rollout, job after job."""
        presence.note_driver(self.db, rollout, holder, at)

    def driver(self, rollout: str, now: float) -> Holder | None:
        """Who drives it now: a command of its own, or else `rollout serve` or a worker; None: nobody known to live."""
        return presence.driver_of(self.db, rollout, now)

    def leave_driver(self, rollout: str, holder: Holder) -> None:
        presence.leave_driver(self.db, rollout, holder)

    # Denied images, held services

    def hold(self, service: str, now: float) -> Hold | None:
        """The hold that is on a service now."""
        return Holds(self.db).of(service, now)

    def deny(
        self, service: str, image: str, reason: str, rollout: str, at: float, said: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an image from a service. `said`: a person's word, which goes into the fleet's journal."""
        with self.db.transaction() as db:
            db.execute(
                "INSERT INTO denials (service, image, reason, rollout, at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (service, image) DO UPDATE SET reason = excluded.reason, rollout = excluded.rollout,"
                " at = excluded.at",
                (service, image, reason, rollout, at),
            )
            if said is not None:
                append_to_fleet(db, "denied", service, {**said, "image": image}, at)

    def denials(self, service: str) -> Mapping[str, str]:
        """Image → why it is denied for this service."""
        return dict(self.db.all("SELECT image, reason FROM denials WHERE service = ?", service))

    def denied_everywhere(self, services: int) -> Mapping[str, str]:
        """Images that failed on at least so many services."""
        query = "SELECT image, count(*) FROM denials GROUP BY image HAVING count(*) >= ?"
        return {image: f"it failed on {found} services" for image, found in self.db.all(query, services)}

    def lift_denial(self, service: str, image: str, said: Mapping[str, Any], at: float) -> None:
        """Allow an image again, as a person said; on record in the fleet's journal."""
        with self.db.transaction() as db:
            db.execute("DELETE FROM denials WHERE service = ? AND image = ?", (service, image))
            append_to_fleet(db, "denial_lifted", service, {**said, "image": image}, at)


NEVER = 9e15
WOKEN_A_SECOND = 50.0
_TURN = (
    "? + CASE WHEN phase = 'rolling_back' OR EXISTS (SELECT 1 FROM journal WHERE rollout = id"
    " AND kind = 'roll_back_decided') THEN 0.0 ELSE (number % ?) / ? END"
)
_WAKE = f"UPDATE rollouts SET due_at = {_TURN} WHERE closed_at IS NULL AND (due_at >= ?) = ? AND due_at > {_TURN}"  # noqa: S608
_COLUMNS = (
    "id, service, key, plan, plan_hash, actor, reason, opened_at, phase, outcome, closed_at, head_seq, head_hash,"
    " due_at, pruned_at"
)
_ROWS = f"SELECT {_COLUMNS} FROM rollouts"  # noqa: S608 - fixed columns
_OPEN = (
    f"INSERT INTO rollouts ({_COLUMNS}, number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'opened', 'running', NULL, 0, ?, ?,"  # noqa: S608
    " NULL, (SELECT coalesce(max(number), 0) + 1 FROM rollouts))"
)
KNOW_SERVICE = "INSERT INTO services (name) VALUES (?) ON CONFLICT (name) DO NOTHING"
EPOCH_OF = "SELECT epoch FROM services JOIN rollouts ON service = name WHERE id = ?"


def _raise_if_stale(rollout: str, epoch: int, now: int) -> None:
    if now != epoch:
        raise Fenced(f"{rollout}: epoch {epoch} is stale, {now} is current")


def _row(found: Sequence[Any]) -> Row:
    values = list(found)
    values[3] = json.loads(values[3])
    return Row(*values)


def _save_wait(db: Transaction, rollout: str, wait: Wait) -> None:
    db.execute(
        "INSERT INTO waits (rollout, step, started_at, deadline_at, due_at, state) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (rollout) DO UPDATE SET step = excluded.step, started_at = excluded.started_at,"
        " deadline_at = excluded.deadline_at, due_at = excluded.due_at, state = excluded.state",
        (rollout, wait.step, wait.started_at, wait.deadline_at, wait.due_at, canonical(wait.state)),
    )

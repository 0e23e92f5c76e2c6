"""Freezes: one word stops everything, or a part of the fleet, until it is taken back or its time is over.

A freeze stops steps forward only: what has traffic stays watched, what has begun a write reads it back, and ways back
are always open. It is kept in the store, so that every process that drives a rollout sees it before its next step.
Standard library only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from rollout.fleet_journal import append_to_fleet
from rollout.journal import canonical

if TYPE_CHECKING:
    from rollout.database import Database

ALL = "all"
STEP = "frozen"
"""What a rollout waits for that a freeze has stopped."""
SCOPES = "all, service:NAME, tag:KEY=VALUE, region:NAME, account:ID or account:ID/REGION"
_SCOPE = re.compile(r"all|service:[a-z][a-z0-9-]{0,39}|tag:[^=\s]+=\S+|region:[^\s/:]+|account:[^\s/:]+(/[^\s/:]+)?")
ROW = "freeze:"


class BadScope(ValueError):
    """Not a part of the fleet; the message says what is."""


class Frozen(Exception):
    """Somebody froze this part of the fleet: nothing begins in it."""

    def __init__(self, service: str, freeze: Freeze) -> None:
        reason = freeze.reason or "no reason given"
        super().__init__(f"{service} is frozen ({freeze.scope}) by {freeze.actor}: {reason}")
        self.service, self.freeze = service, freeze


@dataclass(frozen=True, slots=True)
class Freeze:
    """Who froze what, why, since when, and until when (None: until it is taken back); seconds since 1970.

    `services` are those that the scope meant when it was said, for whoever has no fleet file at hand.
    """

    scope: str
    actor: str
    reason: str
    ref: str
    at: float
    until: float | None = None
    services: tuple[str, ...] = ()

    def covers(self, service: str, options: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> bool:
        """Is a service with these options of its provider, and these tags, a part of it?"""
        kind, _, name = self.scope.partition(":")
        if kind == ALL or service in self.services:
            return True
        if kind == "service":
            return service == name
        if kind == "tag":
            key, _, value = name.partition("=")
            return (tags or {}).get(key) == value
        account, _, region = name.partition("/") if kind == "account" else ("", "", name)
        wanted = {"account": account, "region": region}
        has = {key: str(options.get(key) or (tags or {}).get(key, "")) for key in wanted}
        return all(has[key] == value for key, value in wanted.items() if value)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "services": list(self.services)}


def checked_scope(text: str) -> str:
    """A scope as it is kept; BadScope. A bare service's name is that service."""
    if _SCOPE.fullmatch(text):
        return text
    if _SCOPE.fullmatch(f"service:{text}"):
        return f"service:{text}"
    raise BadScope(f"{text!r} is not a part of a fleet: {SCOPES}")


class Freezes:
    """The freezes in a store."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, freeze: Freeze) -> Freeze:
        """Freeze a part of the fleet; what is in force then.

        Said again over the same part it never ends earlier than was said before.
        """
        with self._db.transaction() as db:
            found = db.execute("SELECT value FROM facts WHERE name = ?", (ROW + freeze.scope,)).fetchall()
            before = _in_force([_read(value) for (value,) in found], freeze.at)
            for each in before:
                later = None if each.until is None or freeze.until is None else max(each.until, freeze.until)
                freeze = replace(freeze, until=later)
            db.execute(
                "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (ROW + freeze.scope, canonical(freeze.to_json())),
            )
            append_to_fleet(db, "frozen", _subject(freeze.scope), freeze.to_json(), freeze.at)
        return freeze

    def lift(self, scope: str, actor: str, reason: str, at: float, ref: str = "") -> Freeze | None:
        """Take a freeze back, whoever said it; what was in force. What stood still for it is due at once."""
        with self._db.transaction() as db:
            found = db.execute("SELECT value FROM facts WHERE name = ?", (ROW + scope,)).fetchall()
            present = next(iter(_in_force([_read(value) for (value,) in found], at)), None)
            db.execute("DELETE FROM facts WHERE name = ?", (ROW + scope,))
            if present:
                said: dict[str, Any] = {"actor": actor, "reason": reason, "ref": ref, "scope": scope}
                said |= {"frozen_by": present.actor, "frozen_since": present.at}
                append_to_fleet(db, "thawed", _subject(scope), said, at)
                waiting = "SELECT rollout FROM waits WHERE step = ?"
                db.execute(
                    f"UPDATE rollouts SET due_at = ? WHERE closed_at IS NULL AND id IN ({waiting})",  # noqa: S608 - fixed
                    (at, STEP),
                )
                db.execute("DELETE FROM waits WHERE step = ?", (STEP,))
            return present

    def all(self, now: float) -> list[Freeze]:
        """Those in force, the widest first."""
        found = self._db.all("SELECT value FROM facts WHERE name LIKE ? ORDER BY name", ROW + "%")
        return sorted(_in_force([_read(value) for (value,) in found], now), key=lambda each: each.scope != ALL)

    def on(
        self, service: str, options: Mapping[str, Any], now: float, tags: Mapping[str, str] | None = None
    ) -> Freeze | None:
        """The freeze of a service that lasts longest."""
        found = [each for each in self.all(now) if each.covers(service, options, tags)]
        return max(found, key=lambda each: float("inf") if each.until is None else each.until, default=None)


def _subject(scope: str) -> str:
    """The service that an entry of the fleet's journal concerns, or empty."""
    kind, _, name = scope.partition(":")
    return name if kind == "service" else ""


def _read(value: str) -> Freeze:
    data: dict[str, Any] = json.loads(value)
    return Freeze(**{**data, "services": tuple(data["services"])})


def _in_force(freezes: Sequence[Freeze], now: float) -> list[Freeze]:
    return [each for each in freezes if each.until is None or each.until > now]

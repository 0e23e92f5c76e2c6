"""What is to be told to whom: news times targets, each pair delivered at least once or given up on record.

Several processes may deliver from one store. A delivery is claimed before it is sent, so only one of them sends it;
a claim runs out, so that a crash between the claim and the answer sends it again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.database import Database, Transaction
from rollout.fleet_journal import append_to_fleet
from rollout.journal import Entry, Journal
from rollout.notify.message import News
from rollout.notify.schedule import DAY_S, HOURLY_S, Outcome, next_try
from rollout.notify.target import Target
from rollout.summary import last_route, why

CLAIM_S = 60.0
"""Longer than a try can take."""
KEPT_S = 7 * DAY_S

_HORIZON_S = HOURLY_S + CLAIM_S
"""No delivery is due later than this: what seems to be was written before the clock was set back."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One piece of news for one target; `tries` counts the one that it is claimed for."""

    news: News
    target: str
    tries: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A delivery that did not succeed yet, and the last problem with it."""

    target: str
    kind: str
    service: str
    tries: int
    due_at: float
    problem: str


class Outbox:
    def __init__(self, database: Database) -> None:
        self._db = database

    def tidy(self, targets: Sequence[Target], now: float) -> None:
        """Make deliveries of fresh news, give up what is a day old, remove what is a week old."""
        fresh = "SELECT 1 FROM news WHERE id NOT IN (SELECT news FROM deliveries) AND (? OR at < ?) LIMIT 1"
        if self._db.all(fresh, bool(targets), now - DAY_S):
            with self._db.transaction() as db:
                _expand(db, targets, now)
        names = [target.name for target in targets]
        if _stale(self._db.all, names, now):
            with self._db.transaction() as db:
                for delivery, problem in _stale(_reader(db), names, now):
                    _give_up(db, delivery, problem or "no answer to it is on record", now)
        old = "SELECT id FROM news WHERE at <= ? AND id NOT IN (SELECT news FROM deliveries WHERE state = 'due')"
        for (news,) in self._db.all(old, now - KEPT_S):
            with self._db.transaction() as db:
                db.execute("DELETE FROM news WHERE id = ?", (news,))

    def claim(self, targets: Collection[str], now: float) -> list[Delivery]:
        """The oldest due delivery of each of these targets, now ours for CLAIM_S."""
        query = (
            "SELECT target, min(news) FROM deliveries WHERE state = 'due' AND (due_at <= ? OR due_at > ?)"
            " GROUP BY target ORDER BY 2"
        )
        values = (now, now + _HORIZON_S)
        if not any(target in targets for target, _ in self._db.all(query, *values)):
            return []
        claimed = []
        with self._db.transaction() as db:
            for target, news in db.execute(query, values).fetchall():
                if target in targets:
                    again = "UPDATE deliveries SET tries = tries + 1, due_at = ? WHERE news = ? AND target = ?"
                    db.execute(again, (now + CLAIM_S, news, target))
                    claimed.append(_delivery(db, news, target))
        return claimed

    def note(self, delivery: Delivery, outcome: Outcome, now: float) -> None:
        """What came of a try. Given up, it is journalled in the same transaction."""
        key = (delivery.news.id, delivery.target)
        with self._db.transaction() as db:
            if not outcome.problem:
                sent = (
                    "UPDATE deliveries SET state = 'sent', error = '' WHERE news = ? AND target = ? AND state = 'due'"
                )
                db.execute(sent, key)
                return
            mine = "SELECT 1 FROM deliveries WHERE news = ? AND target = ? AND state = 'due' AND tries = ?"
            if not db.execute(mine, (*key, delivery.tries)).fetchone():
                return  # our claim ran out, and somebody else has it now
            due_at = next_try(outcome, delivery.tries, now, delivery.news.at)
            if due_at is None:
                _give_up(db, delivery, outcome.problem, now)
            else:
                later = "UPDATE deliveries SET due_at = ?, error = ? WHERE news = ? AND target = ?"
                db.execute(later, (due_at, outcome.problem, *key))

    def pending(self) -> list[Pending]:
        """What was not delivered yet, oldest first."""
        found = self._db.all(
            "SELECT d.target, n.kind, n.service, d.tries, d.due_at, d.error FROM deliveries d JOIN news n"
            " ON n.id = d.news WHERE d.state = 'due' ORDER BY d.news, d.target"
        )
        return [Pending(*row) for row in found]


_NEW_DELIVERY = (
    "INSERT INTO deliveries (news, target, state, tries, due_at, error) VALUES (?, ?, 'due', 0, ?, '')"
    " ON CONFLICT (news, target) DO NOTHING"
)


def _expand(db: Transaction, targets: Sequence[Target], now: float) -> None:
    """News that nobody wants goes at once; where there are no targets at all, when it is a day old."""
    found = db.execute("SELECT id, kind, at FROM news WHERE id NOT IN (SELECT news FROM deliveries)").fetchall()
    for news, kind, at in found:
        wanting = [target.name for target in targets if kind in target.on]
        if at < now - DAY_S or (targets and not wanting):
            db.execute("DELETE FROM news WHERE id = ?", (news,))
        else:
            for name in wanting:
                db.execute(_NEW_DELIVERY, (news, name, min(at, now)))


def _stale(read: Any, names: Sequence[str], now: float) -> list[tuple[Delivery, str]]:
    """Due for a day, tried or for nobody that is still told; what was never tried is told late rather than never."""
    found = read(
        "SELECT n.id, n.at, n.kind, n.service, n.rollout, n.seq, d.target, d.tries, d.due_at, d.error"
        " FROM deliveries d JOIN news n ON n.id = d.news WHERE d.state = 'due' AND n.at < ?",
        now - DAY_S,
    )
    stale = []
    for *news, target, tries, due_at, error in found:
        if target not in names:
            stale.append((Delivery(News(*news), target, tries), "it is no longer among the receivers"))
        elif tries > 0 and due_at <= now:
            stale.append((Delivery(News(*news), target, tries), error))
    return stale


def _give_up(db: Transaction, delivery: Delivery, problem: str, now: float) -> None:
    news = delivery.news
    given_up = "UPDATE deliveries SET state = 'given_up', error = ? WHERE news = ? AND target = ?"
    db.execute(given_up, (problem, news.id, delivery.target))
    data = {
        "target": delivery.target,
        "about": news.kind,
        "rollout": news.rollout,
        "at": news.at,
        "tries": delivery.tries,
        "problem": problem,
    }
    append_to_fleet(db, "delivery_failed", news.service, data, now)


def _delivery(db: Transaction, news: int, target: str) -> Delivery:
    """With what the journal said then, so that every try tells the same."""
    query = "SELECT id, at, kind, service, rollout, seq, data FROM news WHERE id = ?"
    number, at, kind, service, rollout, seq, data = db.execute(query, (news,)).fetchone()
    (tries,) = db.execute("SELECT tries FROM deliveries WHERE news = ? AND target = ?", (news, target)).fetchone()
    found = db.execute("SELECT * FROM journal WHERE rollout = ? AND seq <= ? ORDER BY seq", (rollout, seq)).fetchall()
    entries = [Entry(r[0], r[1], r[2], r[3], r[4], r[5], json.loads(r[6]), r[7], r[8]) for r in found]
    journal = Journal(entries)
    plan = db.execute("SELECT plan FROM rollouts WHERE id = ?", (rollout,)).fetchone()
    told = News(
        number,
        at,
        kind,
        service,
        rollout,
        seq,
        data=json.loads(data),
        step=entries[-1].step if entries else "",
        patch=json.loads(plan[0]).get("patch", {}).get("reference", "") if plan else "",
        reason=why(journal),
        traffic=last_route(journal),
    )
    return Delivery(told, target, tries)


def _reader(db: Transaction) -> Any:
    return lambda query, *values: db.execute(query, values).fetchall()

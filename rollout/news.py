"""What people want to be told at once. Pure but for one insert; standard library only.

News is written in the transaction of the entry that it tells of, so that none is lost to a crash; `rollout.notify`
delivers it.
"""

from __future__ import annotations

from typing import Literal, get_args

from rollout.database import Transaction
from rollout.journal import Entry, canonical

NewsKind = Literal[
    "halted",
    "rolled_back",
    "approval_wanted",
    "way_back_ending",
    "failing_while_warm",
    "way_back_weak",
    "store_trouble",
    "drill_failed",
    "campaign_stopped",
    "go_on_wanted",
]
NEWS_KINDS: tuple[NewsKind, ...] = get_args(NewsKind)

_WARNINGS: dict[object, NewsKind] = {
    "way_back_ending": "way_back_ending",
    "way_back": "way_back_weak",
    "kept": "way_back_weak",
}


def news_of(entry: Entry) -> NewsKind | None:
    """The kind of news that an entry is, if any."""
    if entry.kind == "halted":
        return "halted"
    if entry.kind == "closed" and entry.data.get("outcome") in ("rolled_back", "aborted"):
        return "rolled_back"
    if entry.kind == "waiting" and entry.step == "approval":
        return "approval_wanted"
    if entry.kind == "warned":
        return _WARNINGS.get(entry.data.get("about"), "failing_while_warm")
    return None


def fleet_news_of(entry: Entry) -> NewsKind | None:
    """The same of an entry of the fleet's journal, which is of no one rollout."""
    if entry.kind in ("campaign_stopped", "campaign_missed"):
        return "campaign_stopped"
    if entry.kind == "campaign_asks":
        return "go_on_wanted"
    return "drill_failed" if entry.kind == "drilled" and not entry.data.get("ok") else None


def add_news(db: Transaction, entry: Entry) -> None:
    """Inside the transaction that appends the entry."""
    kind = news_of(entry)
    if kind is None:
        return
    (service,) = db.execute("SELECT service FROM rollouts WHERE id = ?", (entry.rollout,)).fetchone()
    _insert(db, entry, kind, service)


def add_fleet_news(db: Transaction, entry: Entry) -> None:
    """The same for an entry of the fleet's journal, whose step is the service; a campaign stands for its services."""
    kind = fleet_news_of(entry)
    if kind is not None:
        _insert(db, entry, kind, entry.step or str(entry.data.get("campaign", "")))


def _insert(db: Transaction, entry: Entry, kind: NewsKind, service: str) -> None:
    db.execute(
        "INSERT INTO news (at, kind, service, rollout, seq, data) VALUES (?, ?, ?, ?, ?, ?)",
        (entry.at, kind, service, entry.rollout, entry.seq, canonical(entry.data)),
    )

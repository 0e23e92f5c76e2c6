"""Was the store put back from a backup? Then it knows less than the world does, and may only go back.

Standard library only, and cheap: the engine asks at the start of each job.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from rollout.card import Card, CardUnreadable

if TYPE_CHECKING:
    from providers.base import HoldMark
    from rollout.card import CardFolder
    from rollout.database import Database, Transaction
    from rollout.store import Store

RESTORED = "restored"
ACCEPTED = "accepted_card/"
"""Facts under this name, and a service: the rollout of a card that a person accepted without having its journal."""

NEXT = "rollout repair --restored"


def is_rollback_only(database: Database) -> str | None:
    """Why nothing may move forward, with the next command; None when the store was not restored."""
    found = fact(database, RESTORED)
    if found is None:
        return None
    told = json.loads(found)
    return f"this store was restored from {told['from']}, and may lack what was done since: only rollbacks until {NEXT}"


class Kept(Protocol):
    """What an installation and a job's means both have."""

    @property
    def store(self) -> Store: ...

    @property
    def cards(self) -> CardFolder: ...


def looks_restored(kept: Kept, service: str, mark: HoldMark | None = None) -> str | None:
    """Why the store seems to be older than the world (a file copied back by hand); None when it does not.

    Reads one card file. `mark` is the hold mark, where the caller has read the route anyway.
    """
    store = kept.store
    known = store.db.all("SELECT epoch FROM services WHERE name = ?", service)
    epoch = int(known[0][0]) if known else 0
    if mark is not None and mark.epoch > epoch:
        return _told(service, f"the hold mark with its traffic is of epoch {mark.epoch}, and the store is at {epoch}")
    try:
        card = kept.cards.read(service)
    except CardUnreadable:
        return None  # nothing is known either way; doctor and repair see to the card
    return _behind_card(kept.store.db, card, epoch) if card else None


def _behind_card(db: Database, card: Card, epoch: int) -> str | None:
    written_in = card.epoch
    if written_in > epoch:
        return _told(card.service, f"its rollback card was written in epoch {written_in}, and the store is at {epoch}")
    found = db.all("SELECT closed_at FROM rollouts WHERE id = ?", card.rollout)
    if not found:
        if fact(db, ACCEPTED + card.service) == card.rollout:
            return None
        return _told(card.service, f"its rollback card is of {card.rollout}, which the store does not know")
    if card.closed and found[0][0] is None and not _meant_to_close(db, card.rollout):
        return _told(card.service, f"its rollback card says that {card.rollout} is over, and the store does not")
    return None


def _meant_to_close(db: Database, rollout: str) -> bool:
    """The card is closed a moment before the journal is."""
    query = "SELECT data FROM journal WHERE rollout = ? AND kind = 'intended' ORDER BY seq DESC"
    return any(json.loads(data)["args"].get("closed") for (data,) in db.all(query, rollout))


def _told(service: str, why: str) -> str:
    return f"{service}: the store looks restored: {why}. Nothing moves forward until {NEXT}"


def fact(database: Database, name: str) -> str | None:
    found = database.all("SELECT value FROM facts WHERE name = ?", name)
    return str(found[0][0]) if found else None


def set_fact(db: Transaction, name: str, value: str | None) -> None:
    """Inside a transaction; None clears it."""
    if value is None:
        db.execute("DELETE FROM facts WHERE name = ?", (name,))
    else:
        db.execute(
            "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

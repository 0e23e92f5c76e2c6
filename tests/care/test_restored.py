"""A store that knows less than the world does is noticed before it does harm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from providers.base import HoldMark
from rollout.card import Card
from rollout.care.restored import ACCEPTED, RESTORED, is_rollback_only, looks_restored, set_fact
from rollout.rows import Row
from rollout.wiring import Installation
from tests.care.scene import again, begin, closed, drive, warm
from tests.test_architecture import HEAVY, loaded_by


def write_card(made: Installation, card: Card, **more: object) -> None:
    """As the engine of a later release does."""
    path = made.cards.path("shop")
    path.write_text(json.dumps({**card.to_json(), **more}))


def epoch(made: Installation) -> int:
    """The service's, in the store."""
    found = made.store.db.all("SELECT epoch FROM services WHERE name = 'shop'")
    return int(found[0][0]) if found else 0


def test_at_no_step_of_an_honest_rollout_does_the_store_look_restored(installation: Installation) -> None:
    """A rollout stops in the middle for a restore that never was."""
    assert looks_restored(installation, "shop") is None
    row = begin(installation)
    seen = list[str | None]()

    def look(now: Row) -> bool:
        seen.append(looks_restored(installation, "shop"))
        return False

    drive(installation, row.id, look)
    assert len(seen) > 10 and set(seen) == {None}
    assert looks_restored(installation, "shop") is None


def test_a_crash_between_the_closed_card_and_the_closed_journal(installation: Installation) -> None:
    """A rollout that was killed at its very end can never be finished."""
    row = warm(installation)
    store = installation.store
    epoch_now = epoch(installation)
    card = installation.cards.read("shop")
    assert card
    args = {**card.to_json(), "closed": "retired"}
    store.append(row.id, epoch_now, "intended", "card:closed", {"token": "t", "args": args, "attempt": 1}, 1.0)
    installation.cards.write(Card.from_json(args))
    assert looks_restored(installation, "shop") is None


def test_a_store_file_that_was_copied_back_is_noticed(installation: Installation, tmp_path: Path) -> None:
    """Traffic is moved by a journal that lacks the last hour."""
    begin(installation)
    installation.store.close()
    before = tmp_path / "before.db"
    shutil.copy(installation.store_path, before)
    made = again(installation)
    row = made.store.rollouts()[0]
    drive(made, row.id)
    made.store.close()
    shutil.copy(before, installation.store_path)
    told = looks_restored(again(installation), "shop")
    assert told and "was written in epoch" in told and "rollout repair --restored" in told
    card = again(installation).cards.read("shop")
    assert card
    write_card(installation, card, epoch=0)
    told = looks_restored(again(installation), "shop")
    assert told and "is over, and the store does not" in told


def test_a_card_of_a_rollout_that_the_store_does_not_know(installation: Installation) -> None:
    """The way back of a rollout that only its card remembers is overwritten."""
    warm(installation)
    card = installation.cards.read("shop")
    assert card
    write_card(installation, card, rollout="shop-of-tomorrow")
    told = looks_restored(installation, "shop")
    assert told and "shop-of-tomorrow, which the store does not know" in told
    with installation.store.db.transaction() as db:
        set_fact(db, f"{ACCEPTED}shop", "shop-of-tomorrow")
    assert looks_restored(installation, "shop") is None, "a person accepted it"


def test_epochs_ahead_of_the_store_are_noticed(installation: Installation) -> None:
    """Fencing does not work: an old controller writes under an epoch that is current again."""
    row = warm(installation)
    now = epoch(installation)
    assert looks_restored(installation, "shop", HoldMark(row.id, now, "blue", "me", 1.0)) is None
    ahead = HoldMark(row.id, now + 1, "blue", "me", 1.0)
    told = looks_restored(installation, "shop", ahead)
    assert told and f"epoch {now + 1}" in told
    card = installation.cards.read("shop")
    assert card
    write_card(installation, card, epoch=now)
    assert looks_restored(installation, "shop") is None
    write_card(installation, card, epoch=now + 1)
    told = looks_restored(installation, "shop")
    assert told and f"written in epoch {now + 1}" in told


def test_a_card_that_cannot_be_read_says_nothing_of_the_store(installation: Installation) -> None:
    """A damaged card stops everything, for a reason that is not true."""
    warm(installation)
    installation.cards.path("shop").write_text("{")
    assert looks_restored(installation, "shop") is None


def test_a_closed_rollout_leaves_nothing_to_notice(installation: Installation) -> None:
    """The next rollout of a healthy service never begins."""
    closed(installation)
    assert looks_restored(installation, "shop") is None
    assert looks_restored(installation, "another") is None


def test_rollback_only_says_why(installation: Installation) -> None:
    """Nothing moves, and nobody knows what to type."""
    assert is_rollback_only(installation.store.db) is None
    with installation.store.db.transaction() as db:
        set_fact(db, RESTORED, json.dumps({"at": 1.0, "from": "/kept.db"}))
    told = is_rollback_only(installation.store.db)
    assert told and "/kept.db" in told and "rollout repair --restored" in told
    with installation.store.db.transaction() as db:
        set_fact(db, RESTORED, None)
    assert is_rollback_only(installation.store.db) is None


@pytest.mark.parametrize("module", ["restored", "checkpoint", "chains", "backup"])
def test_what_the_engine_asks_of_needs_the_standard_library_only(module: str, tmp_path: Path) -> None:
    """Every job and every command waits for a library that it does not use."""
    loaded, _ = loaded_by(f"import rollout.care.{module}", cwd=tmp_path)
    assert loaded & HEAVY == set()

"""After a restore store and world come together again, without moving traffic and without guessing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from providers.base import HoldMark, weights_for
from rollout.card import Card
from rollout.care.backup import back_up, restore
from rollout.care.checkpoint import read_checkpoints, write_checkpoint
from rollout.care.rejoin import rejoin
from rollout.care.restored import is_rollback_only, looks_restored
from rollout.care.verify import verify
from rollout.fleet_journal import FleetJournal
from rollout.journal import Journal
from rollout.wiring import Installation
from tests.care.scene import again, begin, closed, cloud_of, drive, route, warm


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where the backup is."""
    return tmp_path / "kept.db"


def put_back(made: Installation, backup: Path) -> Installation:
    """Restore it; the fleet as the next command sees it."""
    made.store.close()
    restore(again(made), backup, by="me")
    return again(made)


def epoch(made: Installation) -> int:
    """The service's, in the store."""
    return int(made.store.db.all("SELECT epoch FROM services WHERE name = 'shop'")[0][0])


def test_a_store_that_was_not_restored_is_left_alone(installation: Installation) -> None:
    """A command that was typed by mistake fences who drives."""
    warm(installation)
    before = epoch(installation)
    told = rejoin(installation, by="me")
    assert told.over and not told.done and not told.left and "was not restored" in told.shown[0]
    assert epoch(installation) == before


def test_what_the_card_says_is_over_is_closed(installation: Installation, backup: Path) -> None:
    """A rollout that ended long ago holds its service for ever."""
    row = warm(installation)
    back_up(installation, backup, by="me")
    weights = dict(drive_to_end(installation, row.id))
    made = put_back(installation, backup)
    told = rejoin(made, by="me")
    now = made.store.rollout(row.id)
    assert told.over and not told.left
    assert now.closed_at is not None and now.outcome == "promoted"
    assert any("closed as promoted" in text for text in told.done)
    assert is_rollback_only(made.store.db) is None and looks_restored(made, "shop") is None
    assert dict(route(made).weights) == weights, "no traffic was moved"
    assert verify(made, None)["broken"] == []
    assert [entry.kind for entry in FleetJournal(made.store.db).entries()][-2:] == ["epoch_raised", "rejoined"]
    assert closed(made, "base-1").outcome == "promoted", "the service can be patched again"


def drive_to_end(made: Installation, rollout: str) -> dict[str, int]:
    """Where traffic is then."""
    drive(made, rollout)
    return {str(slot): share for slot, share in route(made).weights.items()}


def test_what_is_open_is_halted_with_all_that_is_known(installation: Installation, backup: Path) -> None:
    """A journal that lacks an hour moves traffic to where it was an hour ago."""
    row = begin(installation)
    drive(installation, row.id, lambda now: now.phase == "shifting")
    back_up(installation, backup, by="me")
    at = installation.store.rollout(row.id).head_seq
    drive(installation, row.id, lambda now: now.phase == "warm")
    made = put_back(installation, backup)
    cloud_of(made).edit_by_hand("shop", mark=HoldMark(row.id, 500, "blue", "oncall", 1.0))
    held = read_checkpoints(write_checkpoint(made, backup.parent))
    held.epochs["shop"] = 900
    shown = rejoin(made, by="me", held=held, dry_run=True)
    assert not shown.done and is_rollback_only(made.store.db)
    assert any("traffic is blue 0 %, green 100 %" in text for text in shown.shown)
    assert any("hold mark" in text and "epoch 500" in text for text in shown.shown)
    assert any(f"card       of {row.id}, open: back to blue" in text for text in shown.shown)
    assert any("is open: shifting at entry" in text for text in shown.shown)
    told = rejoin(made, by="me", held=held)
    assert told.over and epoch(made) > 900
    halt = Journal(made.store.entries(row.id)).halt
    assert halt and f"ends at entry {at} (shifting)" in halt.data["reason"]
    assert "traffic is blue 0 %, green 100 % now" in halt.data["reason"]
    assert any("rollout rollback shop" in text for text in told.left)
    assert dict(route(made).weights) == weights_for("green", 100)
    assert looks_restored(made, "shop", route(made).mark) is None, "fencing works again"


def test_an_earlier_rollout_than_the_cards_is_closed(installation: Installation, backup: Path) -> None:
    """An old rollout claims a service that two later ones have changed."""
    old = warm(installation)
    back_up(installation, backup, by="me")
    drive(installation, old.id)
    new = warm(installation, "base-1")
    made = put_back(installation, backup)
    told = rejoin(made, by="me")
    assert told.over and made.store.rollout(old.id).closed_at is not None
    assert any(f"{new.id} began after it" in text for text in told.done)
    assert any(f"{new.id} is not in this store" in text and "rollout rollback shop" in text for text in told.left)
    assert looks_restored(made, "shop") is None, "a person was told, and accepted it"
    once_more = rejoin(made, by="me")
    assert once_more.over and not once_more.done


def test_what_cannot_be_read_keeps_the_store_rollback_only(installation: Installation, backup: Path) -> None:
    """The one service whose balancer was away is forgotten."""
    row = warm(installation)
    back_up(installation, backup, by="me")
    made = put_back(installation, backup)
    cloud_of(made).switches.fail["traffic.route"] = "transient"
    away = rejoin(made, by="me")
    assert not away.over and any("where its traffic is cannot be read" in text for text in away.left)
    del cloud_of(made).switches.fail["traffic.route"]
    path = made.cards.path("shop")
    whole = path.read_text()
    path.write_text("{")
    told = rejoin(made, by="me")
    assert not told.over and is_rollback_only(made.store.db)
    assert any("cannot be read" in text for text in told.left)
    path.write_text(whole)
    assert rejoin(made, by="me").over
    assert is_rollback_only(made.store.db) is None
    entries = made.store.entries(row.id)
    assert [entry.kind for entry in entries].count("halted") == 1, "halted once, however often it is repaired"


def test_a_store_that_was_copied_back_by_hand_is_repaired_too(installation: Installation, backup: Path) -> None:
    """Who copied a file back has no command that helps."""
    import shutil

    begin(installation)
    row = installation.store.rollouts()[0]
    installation.store.close()
    shutil.copy(installation.store_path, backup)
    made = again(installation)
    drive(made, row.id)
    made.store.close()
    shutil.copy(backup, installation.store_path)
    made = again(installation)
    told = rejoin(made, by="me")
    assert told.over and made.store.rollout(row.id).closed_at is not None
    assert looks_restored(made, "shop") is None
    card = made.cards.read("shop")
    assert isinstance(card, Card) and epoch(made) > card.epoch


def test_a_stray_card_halts_nothing_else(installation: Installation) -> None:
    """One file in the state folder stops every healthy rollout of the fleet."""
    row = warm(installation)
    text = installation.fleet_file.read_text()
    _, _, shop = text.partition("  shop:\n")
    installation.fleet_file.write_text(f"{text}  other:\n{shop}")
    card = installation.cards.read("shop")
    assert card
    installation.cards.write(replace(card, service="other", rollout="other-1"))
    made, before = again(installation), epoch(installation)
    assert looks_restored(made, "other") and looks_restored(made, "shop") is None
    told = rejoin(made, by="me")
    assert told.over and not any("shop" in text for text in told.done)
    assert Journal(made.store.entries(row.id)).halt is None and epoch(made) == before
    assert looks_restored(made, "other") is None

"""A store that cannot be used says which one and why; a new one is made whole."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from rollout import database as module
from rollout import store as store_module
from rollout.journal import Entry, next_entry
from rollout.rows import Wait
from rollout.schema import MIGRATIONS
from rollout.store import Store, StoreError
from tests.core.scene import HOLDER, a_plan


def version_of(path: Path) -> int:
    """The schema that a file says it has."""
    db = sqlite3.connect(path)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return int(version)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """The very first command of a new user fails."""
    path = tmp_path / "rollout.db"
    path.touch()
    Store(path).close()
    assert version_of(path) == len(MIGRATIONS)


def test_a_store_is_migrated_once(tmp_path: Path) -> None:
    """The second command finds no rollouts, or a table twice."""
    path = tmp_path / "rollout.db"
    first = Store(path)
    first.open_rollout("shop-1", "shop", {}, "h", at=1.0, actor="me")
    first.close()
    again = Store(path)
    assert again.rollout("shop-1").service == "shop"


def test_a_later_migration_is_applied_to_an_older_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade loses the history."""
    path = tmp_path / "rollout.db"
    old = Store(path)
    old.open_rollout("shop-1", "shop", {}, "h", at=1.0, actor="me")
    old.close()
    later = "ALTER TABLE denials ADD COLUMN note TEXT; CREATE TABLE waves (name TEXT);"
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, later))
    new = Store(path)
    assert new.rollout("shop-1").id == "shop-1"
    assert version_of(path) == len(MIGRATIONS) + 1
    assert new.db.all("SELECT * FROM waves") == []


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken upgrade leaves a store that neither release can read."""
    path = tmp_path / "rollout.db"
    Store(path).close()
    monkeypatch.setattr(module, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE waves (name TEXT); NONSENSE;"))
    with pytest.raises(StoreError, match="NONSENSE"):
        Store(path)
    monkeypatch.undo()
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'waves'").fetchone() == (0,)
    assert version_of(path) == len(MIGRATIONS)


def test_a_store_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    """An older release writes over what it does not understand."""
    path = tmp_path / "rollout.db"
    Store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreError, match=r"newer release \(schema 99.*use that release") as refused:
        Store(path)
    assert str(path) in str(refused.value)


def test_a_missing_store_is_not_made_where_none_should_be(tmp_path: Path) -> None:
    """A rollback with a wrong --config makes an empty store and calls the history gone."""
    path = tmp_path / "rollout.db"
    with pytest.raises(StoreError, match="there is no store at") as refused:
        Store(path, create=False)
    assert str(path) in str(refused.value) and not path.exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "missing" / "rollout.db",
        lambda folder: folder,
        lambda folder: Path("/proc/rollout.db"),
    ],
    ids=["missing folder", "a folder", "read-only folder"],
)
def test_a_place_without_a_store_is_named(tmp_path: Path, make: Any) -> None:
    """A person sees `unable to open database file` and does not know which."""
    path = make(tmp_path)
    with pytest.raises(StoreError) as refused:
        Store(path)
    assert str(path) in str(refused.value)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """A damaged disk looks like a bug of the program."""
    path = tmp_path / "rollout.db"
    path.write_bytes(b"this is not a database, but it is long enough to have a header" * 4)
    with pytest.raises(StoreError, match="not a database") as refused:
        Store(path)
    assert str(path) in str(refused.value)


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    """A half-written disk block ends the on-call engineer's command with a traceback."""
    path = tmp_path / "rollout.db"
    made = Store(path)
    for number in range(30):
        made.open_rollout(f"s{number}-1", f"s{number}", {"x": "y" * 3000}, "h", at=1.0, actor="me")
    made.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError) as refused:
        Store(path).rollouts()
    assert str(path) in str(refused.value)


def test_a_locked_store_is_named_and_free_afterwards(tmp_path: Path) -> None:
    """A backup that locks the store ends commands with a traceback, or for ever."""
    path = tmp_path / "rollout.db"
    mine = Store(path, busy_s=0.0)
    mine.open_rollout("shop-1", "shop", {}, "h", at=1.0, actor="me")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="locked") as refused:
        mine.append("shop-1", 0, "entered", "preparing", {}, 2.0)
    assert str(path) in str(refused.value)
    other.execute("ROLLBACK")
    mine.append("shop-1", 0, "entered", "preparing", {}, 2.0)


class Failing:
    """A connection whose COMMIT fails as on a full disk."""

    def __init__(self, db: sqlite3.Connection, *, keeps_transaction: bool) -> None:
        self.db, self.keeps_transaction, self.broken = db, keeps_transaction, True

    @property
    def in_transaction(self) -> bool:
        """As SQLite says."""
        return self.db.in_transaction

    def execute(self, query: str, arguments: Any = ()) -> sqlite3.Cursor:
        """As SQLite does, but for COMMIT."""
        if query == "COMMIT" and self.broken:
            if not self.keeps_transaction:
                self.db.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")
        return self.db.execute(query, arguments)


@pytest.mark.parametrize("keeps_transaction", [True, False])
def test_a_full_disk_loses_one_write_and_not_the_store(tmp_path: Path, keeps_transaction: bool) -> None:
    """After the disk was full for a second, nothing can be journalled until a restart."""
    path = tmp_path / "rollout.db"
    mine = Store(path)
    mine.open_rollout("shop-1", "shop", {}, "h", at=1.0, actor="me")
    inside: Any = mine.db
    failing = Failing(inside._db, keeps_transaction=keeps_transaction)
    inside._db = failing
    with pytest.raises(StoreError, match="disk is full"):
        mine.append("shop-1", 0, "entered", "preparing", {}, 2.0)
    failing.broken = False
    mine.append("shop-1", 0, "entered", "preparing", {}, 3.0)
    assert [entry.kind for entry in mine.entries("shop-1")] == ["opened", "entered"]


def test_every_commit_that_counts_is_flushed_to_disk(tmp_path: Path) -> None:
    """A power cut takes the last entries along, after their effect on the traffic."""
    made = Store(tmp_path / "rollout.db")
    asked = partial(made.db.all, "PRAGMA synchronous")
    assert made.db.all("PRAGMA journal_mode") == [("wal",)] and asked() == [(2,)]
    plan = a_plan()
    made.open_rollout("shop-1", "shop", plan.to_json(), plan.hash, at=1.0, actor="me")
    epoch = made.take_lease("shop", HOLDER, 2.0)
    assert asked() == [(1,)], "a lease ends with the machine anyway"
    flushed = list[Any]()

    def noted(*given: Any, **more: Any) -> Entry:
        flushed.append(asked())
        return next_entry(*given, **more)

    with patch.object(store_module, "next_entry", noted):
        made.append("shop-1", epoch, "entered", "preparing", {}, 3.0)
        made.release_lease("shop-1", epoch, 4.0)
        made.decide("shop-1", 2, "roll_back_decided", {}, 5.0)
    assert flushed == [[(2,)], [(2,)]]
    made.save_wait("shop-1", epoch + 1, Wait("running", 5.0, None, 6.0, {}))
    assert asked() == [(2,)]
    made.close()

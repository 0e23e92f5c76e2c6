"""A backup is whole or is not there; a restore loses nothing silently and lets nothing move forward."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rollout.care.backup import TAKEN, BadBackup, StillDriven, back_up, restore
from rollout.care.restored import fact, is_rollback_only
from rollout.care.verify import verify
from rollout.fleet_journal import FleetJournal
from rollout.lease import Holder, this_process
from rollout.presence import leave_server, note_server
from rollout.schema import MIGRATIONS
from rollout.store import Store
from rollout.wiring import Installation
from tests.care.scene import again, begin, closed, sql
from tests.core.scene import RIVAL

DEAD = Holder(os.uname().nodename, "another boot", 1, "1")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "kept.db"


def kinds(made: Installation) -> list[str]:
    """What is on the fleet's own record."""
    return [entry.kind for entry in FleetJournal(made.store.db).entries()]


def test_a_backup_is_one_whole_private_file(installation: Installation, backup: Path) -> None:
    """The backup lacks what was in the log beside the store, or everybody can read it."""
    row = closed(installation)
    made = back_up(installation, backup, by="me")
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(path.name for path in backup.parent.iterdir() if path.is_file()) == ["kept.db"]
    assert made["rollouts"] == 1 and made["entries"] == row.head_seq
    copied = Store(backup)
    assert copied.entries(row.id) == installation.store.entries(row.id)
    assert fact(copied.db, TAKEN) == str(installation.clock.now()), "it knows itself when it was taken"
    copied.close()
    assert kinds(installation) == ["backed_up"]


def test_a_backup_never_overwrites_unless_told(installation: Installation, backup: Path) -> None:
    """Last night's good backup is gone."""
    begin(installation)
    backup.write_text("precious")
    with pytest.raises(FileExistsError, match="--force"):
        back_up(installation, backup, by="me")
    assert backup.read_text() == "precious"
    back_up(installation, backup, by="me", force=True)
    assert Store(backup).rollouts()


def test_a_backup_of_broken_journals_is_refused(installation: Installation, backup: Path) -> None:
    """A good backup is replaced by one that was tampered with."""
    closed(installation)
    sql(installation, "UPDATE journal SET data = '{}' WHERE seq = 3")
    backup.write_text("precious")
    with pytest.raises(BadBackup, match="entry 3"):
        back_up(installation, backup, by="me", force=True)
    assert backup.read_text() == "precious"
    assert sorted(path.name for path in backup.parent.iterdir() if path.is_file()) == ["kept.db"], "nothing is left"


def test_a_backup_while_others_write_is_of_one_instant(installation: Installation, backup: Path) -> None:
    """A backup of a busy store holds half of what was being written."""
    row = begin(installation)
    other, stop, written = again(installation), threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            other.store.append(row.id, 0, "warned", "", {"about": "x", "reason": "y" * 500}, 1.0)
            written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(20)
        for number in range(5):
            made = back_up(installation, backup.with_name(f"{number}.db"), by="me")
            assert made["entries"] >= 1
    finally:
        stop.set()
        writer.join()


def test_a_restore_keeps_the_present_store_aside(installation: Installation, backup: Path) -> None:
    """The store that was replaced by mistake is gone."""
    row = begin(installation)
    back_up(installation, backup, by="me")
    later = closed_after(installation, row.id)
    installation.store.close()
    done = restore(again(installation), backup, by="me")
    assert done.aside and Store(done.aside).rollout(row.id).head_seq == later
    now = again(installation)
    assert now.store.rollout(row.id).head_seq == 1
    assert done.taken_at is not None and kinds(now) == ["restored"] and fact(now.store.db, TAKEN) is None
    told = is_rollback_only(now.store.db)
    assert told and "rollout repair --restored" in told and str(backup) in told
    assert verify(now, None)["broken"] == []
    assert stat.S_IMODE(now.store_path.stat().st_mode) == 0o600


def closed_after(made: Installation, rollout: str) -> int:
    """One more entry; the head after it."""
    return made.store.append(rollout, 0, "warned", "", {"about": "x", "reason": "y"}, 1.0).seq


def test_a_restore_into_nothing(installation: Installation, backup: Path) -> None:
    """After a lost disk the backup cannot be put back."""
    row = closed(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    for path in installation.state_dir.glob("rollout.db*"):
        path.unlink()
    done = restore(again(installation), backup, by="me")
    assert done.aside is None and done.rollouts == 1
    assert again(installation).store.rollout(row.id).head_seq == row.head_seq


def test_a_restore_over_a_broken_store(installation: Installation, backup: Path) -> None:
    """The one time that a restore is needed, it refuses."""
    begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    for path in installation.state_dir.glob("rollout.db*"):
        path.write_bytes(b"not a database" * 400)
    done = restore(again(installation), backup, by="me")
    assert "could not be read" in done.unsure
    assert done.aside and done.aside.read_bytes().startswith(b"not a database")
    assert len(again(installation).store.rollouts()) == 1


@pytest.mark.parametrize("who", ["serve", "driver", "lease"])
def test_no_restore_while_somebody_drives(installation: Installation, backup: Path, who: str) -> None:
    """A driver goes on in a store that is no longer the store."""
    row = begin(installation)
    back_up(installation, backup, by="me")
    store, now, me = installation.store, installation.clock.now(), this_process()
    if who == "serve":
        note_server(store.db, me, now)
    elif who == "driver":
        store.note_driver(row.id, me, now)
    else:
        store.take_lease("shop", RIVAL, now)
    with pytest.raises(StillDriven, match=r"process \d+ on .*Stop that first; nothing was changed"):
        restore(again(installation), backup, by="me")
    assert is_rollback_only(installation.store.db) is None
    leave_server(store.db, me)
    store.note_driver(row.id, DEAD, now)
    installation.clock.sleep(60)
    store.take_lease("shop", DEAD, installation.clock.now())
    restore(again(installation), backup, by="me")
    now_there = again(installation).store
    assert now_there.lease("shop") is None and now_there.db.all("SELECT * FROM drivers") == []


@pytest.mark.parametrize("how", ["text", "empty", "another database", "cut", "tampered", "newer", "missing"])
def test_a_bad_backup_changes_nothing(installation: Installation, backup: Path, how: str) -> None:
    """A restore of a damaged file destroys the store that still worked."""
    row = closed(installation)
    if how in ("cut", "tampered", "newer"):
        back_up(installation, backup, by="me")
    if how == "text":
        backup.write_text("not a database\n" * 100)
    elif how == "empty":
        backup.write_bytes(b"")
    elif how == "another database":
        with closing(sqlite3.connect(backup)) as db:
            db.execute("CREATE TABLE journal (x)")
    elif how == "cut":
        backup.write_bytes(backup.read_bytes()[:-9000])
    elif how != "missing":
        with closing(sqlite3.connect(backup)) as db:
            if how == "newer":
                db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
            db.execute("DELETE FROM journal WHERE seq = 5" if how == "tampered" else "SELECT 1")
            db.commit()
    content = backup.read_bytes() if backup.exists() else b""
    with pytest.raises(BadBackup):
        restore(again(installation), backup, by="me")
    assert again(installation).store.rollout(row.id).head_seq == row.head_seq
    assert is_rollback_only(installation.store.db) is None
    assert sorted(path.name for path in installation.state_dir.glob("*before*")) == []
    assert list(installation.state_dir.glob(".*part*")) == []
    assert not backup.exists() or backup.read_bytes() == content, "the backup itself is never written to"


def test_a_backup_of_an_older_release_is_migrated(installation: Installation, backup: Path) -> None:
    """After an upgrade the backups from before are worthless."""
    with closing(sqlite3.connect(backup)) as db:
        for statement in filter(str.strip, MIGRATIONS[0].split(";")):
            db.execute(statement)
        db.execute("PRAGMA user_version = 1")
        db.commit()
    before = backup.read_bytes()
    restore(installation, backup, by="me")
    assert is_rollback_only(again(installation).store.db)
    assert backup.read_bytes() == before

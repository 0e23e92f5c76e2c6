"""A restored store is the backup and nothing else, and whoever had the old one open notices."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from rollout.care.backup import back_up, restore
from rollout.care.restored import RESTORED, fact, is_rollback_only
from rollout.database import SqliteDatabase, StoreError
from rollout.engine.serve import Server
from rollout.fleet_journal import FleetJournal
from rollout.lease import this_process
from rollout.wiring import Installation
from tests.care.scene import again, begin, warm


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where the backup goes."""
    return tmp_path / "kept.db"


class Killed(BaseException):
    """No `except` of ours sees it, as with kill -9."""


def leave_a_log(made: Installation) -> None:
    """What a process that was killed leaves beside the store: a log with all of it."""
    for number in range(50):
        made.store.deny("shop", f"image-{number}", "x" * 200, "r", float(number))
    kept = {path: path.read_bytes() for path in made.state_dir.glob("rollout.db-*")}
    made.store.close()
    for path, content in kept.items():
        path.write_bytes(content)
    assert (made.state_dir / "rollout.db-wal").stat().st_size > 10_000


def test_a_log_without_its_store_is_not_replayed_into_the_backup(installation: Installation, backup: Path) -> None:
    """The restored store is a mixture of both, and moves forward as if it had not been restored."""
    row = begin(installation)
    back_up(installation, backup, by="me")
    leave_a_log(installation)
    installation.store_path.unlink()
    done = restore(again(installation), backup, by="me")
    now = again(installation)
    assert done.aside is None and is_rollback_only(now.store.db)
    assert now.store.denials("shop") == {} and now.store.rollout(row.id).head_seq == 1
    assert list(installation.state_dir.glob("rollout.db.before-*-wal")), "what was left is kept"


def test_a_log_beside_its_store_goes_with_it(installation: Installation, backup: Path) -> None:
    """What was written last before the crash is lost from the store that is kept aside."""
    begin(installation)
    back_up(installation, backup, by="me")
    leave_a_log(installation)
    done = restore(again(installation), backup, by="me")
    assert again(installation).store.denials("shop") == {}
    assert done.aside
    before = SqliteDatabase(done.aside)
    assert before.all("SELECT count(*) FROM denials") == [(50,)]


def test_success_is_said_only_of_what_was_restored(
    installation: Installation, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restore that did not take is called done."""
    begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    real = Path.replace

    def overtaken(self: Path, target: Path) -> Path:
        done = real(self, target)
        if self.suffix == ".part":
            db = SqliteDatabase(target)
            db.all("DELETE FROM facts WHERE name = ?", RESTORED)
            db.close()
        return done

    monkeypatch.setattr(Path, "replace", overtaken)
    with pytest.raises(StoreError, match=r"is not the backup .*rollout\.db\.before.*Restore it once more"):
        restore(again(installation), backup, by="me")


@pytest.mark.parametrize("at", ["before the log is moved", "before the rename"])
def test_a_restore_that_is_killed_leaves_a_store(
    installation: Installation, backup: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """The next command makes an empty store, and all claims, holds and journals are gone."""
    row = warm(installation)
    back_up(installation, backup, by="me")
    installation.store.close()

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename" if at.endswith("moved") else "replace", killed)
        with pytest.raises(Killed):
            restore(again(installation), backup, by="me")
    assert installation.store_path.exists()
    assert again(installation).store.rollout(row.id).head_seq == row.head_seq
    restore(again(installation), backup, by="me")
    assert is_rollback_only(again(installation).store.db)


def test_what_a_killed_restore_had_begun_is_removed_by_the_next(installation: Installation, backup: Path) -> None:
    """Copies of the whole store fill the disk; or one that another process writes is removed under it."""
    begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    dead = [installation.state_dir / f".rollout.db.999999999.part{suffix}" for suffix in ("", "-wal")]
    living = installation.state_dir / f".rollout.db.{os.getppid()}.part"
    other = installation.state_dir / ".rollout.db.mine.part"
    for path in (*dead, living, other):
        path.write_text("x")
    restore(again(installation), backup, by="me")
    assert not any(path.exists() for path in dead) and living.exists() and other.exists()


def test_a_file_system_without_links(installation: Installation, backup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On such a disk the store from before is lost."""
    row = begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError("no links")))
    done = restore(again(installation), backup, by="me")
    assert done.aside and SqliteDatabase(done.aside).all("SELECT id FROM rollouts") == [(row.id,)]


def test_a_rename_that_fails_leaves_all_as_it_was(
    installation: Installation, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or read-only disk at the last step takes the store away."""
    row = begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()

    def refused(*_: object) -> None:
        raise OSError("read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", refused)
        with pytest.raises(OSError, match="read-only"):
            restore(again(installation), backup, by="me")
    assert again(installation).store.rollout(row.id).head_seq == 1
    assert not list(installation.state_dir.glob("*before*"))


def test_who_has_the_store_open_while_it_is_replaced_is_stopped(installation: Installation, backup: Path) -> None:
    """A command writes on into the renamed file, and what it did is on no record."""
    row = begin(installation)
    back_up(installation, backup, by="me")
    restore(again(installation), backup, by="me")
    with pytest.raises(StoreError, match=r"rollout\.db was replaced while it was open: start again"):
        installation.store.append(row.id, 0, "warned", "", {}, 1.0)
    with pytest.raises(StoreError, match="start again"):
        installation.store.rollouts()
    assert again(installation).store.rollout(row.id).head_seq == 1


def test_serve_ends_when_its_store_was_replaced(installation: Installation, backup: Path) -> None:
    """The server drives what the old file says for days, and takes it for trouble that passes."""
    begin(installation)
    back_up(installation, backup, by="me")
    clock = installation.clock
    server = Server(installation.store, installation.means, clock.now, clock.now, this_process(), jobs=0)
    restore(again(installation), backup, by="me")
    with pytest.raises(StoreError, match="start again"):
        server.tick()


def test_a_store_in_memory_has_no_file_to_compare() -> None:
    """Rehearsals in memory break."""
    db = SqliteDatabase(":memory:")
    FleetJournal(db).append("held", "shop", {}, 1.0)
    assert len(FleetJournal(db).entries()) == 1


@pytest.mark.parametrize(("before", "after"), [(0o600, 0o660), (0o660, 0o660), (None, 0o660)])
def test_a_restored_store_in_a_groups_folder_is_the_groups(
    installation: Installation, backup: Path, before: int | None, after: int
) -> None:
    """After a restore only who restored can use the store."""
    begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    installation.state_dir.chmod(0o2770)
    if before is None:
        installation.store_path.unlink()
    else:
        installation.store_path.chmod(before)
    restore(again(installation), backup, by="me")
    assert stat.S_IMODE(installation.store_path.stat().st_mode) == after


def test_a_restored_store_keeps_the_mode_that_it_had(installation: Installation, backup: Path) -> None:
    """Who was let in to read the store is out after a restore."""
    begin(installation)
    back_up(installation, backup, by="me")
    installation.store.close()
    installation.store_path.chmod(0o640)
    restore(again(installation), backup, by="me")
    assert stat.S_IMODE(installation.store_path.stat().st_mode) == 0o640


def test_a_backup_that_failed_is_not_on_record(installation: Installation, backup: Path) -> None:
    """The record says that there was a backup last night, and there is none."""
    begin(installation)
    with pytest.raises(FileNotFoundError):
        back_up(installation, backup.parent / "missing" / "kept.db", by="me")
    assert FleetJournal(installation.store.db).entries() == []
    shutil.copy(installation.store_path, backup)
    assert fact(SqliteDatabase(backup), "taken_at") is None

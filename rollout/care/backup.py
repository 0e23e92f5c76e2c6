"""A copy of the store that is whole, and putting one back.

A backup is one file: copied while others write, checked, then renamed. A restored store is rollback-only from its
first instant: that is written into the copy before it takes the store's place.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.care.checkpoint import sync_folder
from rollout.care.replacing import put_in_place
from rollout.care.restored import RESTORED, fact, set_fact
from rollout.care.verify import verify_store
from rollout.database import Database, SqliteDatabase, StoreError, snapshot
from rollout.fleet_journal import FleetJournal, append_to_fleet
from rollout.journal import canonical
from rollout.lease import LEASE_S, Holder, is_provably_dead, is_seen_here
from rollout.presence import present_server, present_workers
from rollout.state_dir import share

if TYPE_CHECKING:
    from rollout.wiring import Installation

TAKEN = "taken_at"
"""The fact in a backup that says when it was taken, in seconds since 1970."""


class BadBackup(Exception):
    """A file that is not a whole store; the message says why, and that nothing was changed."""


class StillDriven(Exception):
    """Somebody works with the store at this moment."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. `aside` is where the store from before is, None where there was none."""

    aside: Path | None
    rollouts: int
    taken_at: float | None
    unsure: str = ""


def back_up(installation: Installation, target: Path, *, by: str, force: bool = False) -> dict[str, Any]:
    """Copy the store to `target` (mode 0600) and say what is in it. FileExistsError unless `force`, BadBackup."""
    _raise_unless_file(installation)
    store, now = installation.store, installation.clock.now()
    if target.exists() and not force:
        raise FileExistsError(f"{target} is there already; to overwrite it: --force")
    with _aside(target) as aside:
        _copy(Path(store.path), aside)
        _declare_taken(aside, now)
        verified = _checked(aside)
        if force:
            aside.replace(target)
        else:
            _rename_to_new(aside, target)
    sync_folder(target.absolute().parent)
    FleetJournal(store.db).append("backed_up", "", {"file": str(target), "by": by}, now)  # now that it is there
    entries = sum(head["entries"] for head in verified["heads"].values())
    return {"file": str(target), "at": now, "rollouts": len(verified["heads"]), "entries": entries}


def restore(installation: Installation, source: Path, *, by: str) -> Restored:
    """Put a backup in the store's place, rollback-only. BadBackup, StillDriven: then nothing was changed."""
    _raise_unless_file(installation)
    path, now = installation.store_path, installation.clock.now()
    if not source.is_file():
        raise BadBackup(f"there is no backup {source}")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _aside(path) as copy:
        _copy(source, copy)
        _checked(copy)
        declared, rollouts, taken_at = _declare_restored(copy, source, by, now)
        unsure = _raise_if_driven(path, now)
        if path.exists():
            copy.chmod(stat.S_IMODE(path.stat().st_mode))
        share(copy)
        aside = put_in_place(copy, path, now)
    _raise_unless_restored(path, declared, aside)
    return Restored(aside, rollouts, taken_at, unsure)


def _raise_unless_file(installation: Installation) -> None:
    """PostgreSQL has its own tools for this, which also know how to go back to any moment."""
    if installation.is_shared:
        where = installation.store_name
        raise BadBackup(
            f"the store {where} is backed up and put back by PostgreSQL's own tools; nothing was changed. "
            f"Backup: pg_dump --format=custom --file=FILE '{where}'. Restore, once nobody serves or drives: "
            f"pg_restore --clean --if-exists --single-transaction --dbname='{where}' FILE; then, before anything "
            f"else: rollout repair --restored"
        )


def _raise_unless_restored(path: Path, declared: str, aside: Path | None) -> None:
    """A log of another store, replayed into this one, would show here."""
    database = SqliteDatabase(path)
    try:
        if fact(database, RESTORED) != declared:
            kept = f" The store from before is {aside}." if aside else ""
            raise StoreError(f"what is at {path} is not the backup that was put there.{kept} Restore it once more")
    finally:
        database.close()


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A new file beside the target, which only its owner can read; gone afterwards, unless it was renamed."""
    _remove_left_over(target)
    path = target.absolute().parent / f".{target.name}.{os.getpid()}.part"
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield path
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _remove_left_over(target: Path) -> None:
    """What a restore or backup that was killed had begun to write."""
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.part(-wal|-shm|-journal)?")
    for path in target.absolute().parent.iterdir():
        found = name.fullmatch(path.name)
        if found and not _lives(int(found[1])):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid != os.getpid()


def _rename_to_new(aside: Path, target: Path) -> None:
    """Rename, but not over what came to be meanwhile."""
    try:
        os.link(aside, target)
    except FileExistsError:
        raise FileExistsError(f"{target} came to be meanwhile; to overwrite it: --force") from None
    except OSError:
        aside.replace(target)  # a file system without links


def _copy(source: Path, target: Path) -> None:
    """All of a store as it is at one instant, in one file without a log beside it, flushed to disk."""
    try:
        uri = f"{source.absolute().as_uri()}?mode=ro"
        read = sqlite3.connect(uri, uri=True, timeout=10.0)
        with closing(read), closing(sqlite3.connect(target, timeout=10.0)) as written:
            read.backup(written)
            written.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise BadBackup(f"{source} cannot be copied: {error}. Nothing was changed") from error
    _flush(target)


def _checked(path: Path) -> dict[str, Any]:
    """Is the copy a whole store of this release, with whole chains? Raises BadBackup."""
    try:
        _migrate(path)
        with snapshot(path) as taken:
            said = [found[0] for found in taken.all("PRAGMA integrity_check(5)")]
            if said != ["ok"]:
                raise BadBackup(f"the copy is damaged: {'; '.join(said)}. Nothing was changed")
            verified = verify_store(taken)
    except StoreError as error:
        raise BadBackup(f"it is not a store of this release: {error}. Nothing was changed") from error
    if verified["broken"]:
        shown = "; ".join(verified["broken"][:3])
        raise BadBackup(f"its journals are broken: {shown}. Nothing was changed; look: rollout journal verify")
    return verified


def _migrate(path: Path) -> None:
    """An older release's backup gets this one's tables; what is no store at all is refused before."""
    with closing(sqlite3.connect(path, timeout=10.0)) as db:
        try:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise StoreError(str(error)) from error
    if not {"rollouts", "journal", "services"} <= tables:
        raise StoreError("it has no rollouts in it")
    _single_file(SqliteDatabase(path))


def _single_file(database: Database) -> None:
    database.all("PRAGMA journal_mode = DELETE")
    database.close()


def _declare_taken(copy: Path, now: float) -> None:
    """A backup knows itself when it was taken."""
    database = SqliteDatabase(copy)
    with database.transaction() as db:
        set_fact(db, TAKEN, canonical(now))
    _single_file(database)
    _flush(copy)


def _taken_at(database: Database) -> float | None:
    if kept := fact(database, TAKEN):
        return float(json.loads(kept))
    taken = [entry.at for entry in FleetJournal(database).entries() if entry.kind == "backed_up"]
    return taken[-1] if taken else None  # as earlier backups have it


def _declare_restored(copy: Path, source: Path, by: str, now: float) -> tuple[str, int, float | None]:
    """Write into the copy what it will be, and forget who drove it when it was taken."""
    database = SqliteDatabase(copy)
    taken_at = _taken_at(database)
    declared = canonical({"at": now, "from": str(source), "taken_at": taken_at})
    with database.transaction() as db:
        set_fact(db, RESTORED, declared)
        set_fact(db, TAKEN, None)
        db.execute("UPDATE services SET holder = NULL, lease_expires_at = NULL")
        db.execute("DELETE FROM drivers")
        db.execute("DELETE FROM servers")
        append_to_fleet(db, "restored", "", {"from": str(source), "by": by, "taken_at": taken_at}, now)
        (rollouts,) = db.execute("SELECT count(*) FROM rollouts").fetchone()
    _single_file(database)
    _flush(copy)
    return declared, int(rollouts), taken_at


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _raise_if_driven(path: Path, now: float) -> str:
    """StillDriven where a process works with the store; in words, why that could not be told."""
    if not path.exists():
        return ""
    try:
        database = SqliteDatabase(path)
    except StoreError as error:
        return f"whether anybody drives could not be read from the store that is replaced: {error}"
    try:
        who = drivers_of(database, now)
    except StoreError as error:
        return f"whether anybody drives could not be read from the store that is replaced: {error}"
    finally:
        database.close()
    if who:
        raise StillDriven(f"{'; '.join(who)}. Stop that first; nothing was changed")
    return ""


def drivers_of(database: Database, now: float) -> list[str]:
    """Who may be working with a store: a server, drivers and lease holders that are not provably dead."""
    server = present_server(database, now)
    found = [f"rollout serve is {server.holder}"] if server else []
    found += [f"rollout worker is {each.holder}" for each in present_workers(database, now)]
    for rollout, text, seen_at in database.all("SELECT rollout, holder, seen_at FROM drivers ORDER BY rollout"):
        holder = Holder.from_json(json.loads(text))
        near = is_seen_here(holder) or abs(now - seen_at) <= LEASE_S
        if near and not is_provably_dead(holder):
            found.append(f"{rollout} is driven by {holder}")
    query = "SELECT name, holder FROM services WHERE holder IS NOT NULL AND lease_expires_at > ? ORDER BY name"
    for service, text in database.all(query, now):
        holder = Holder.from_json(json.loads(text))
        if not is_provably_dead(holder):
            found.append(f"{service} is driven by {holder}")
    return found

"""What is kept is kept in a database: the little that is asked of one, and SQLite, which every machine has.

SQLite: WAL mode, flushed to disk at each commit that counts, numbered migrations. PostgreSQL is
rollout/stores/postgres.py. Both take `?` placeholders and `ON CONFLICT`. Standard library only (status and the
emergency path use it).
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rollout.schema import MIGRATIONS


class StoreError(Exception):
    """The store cannot be used: missing, unreadable, or written by a newer release."""


class StoreReplaced(StoreError):
    """Another file has the store's name by now: what is written here would be lost."""


class CommitUnknown(StoreError):
    """The connection was lost during a commit: the change is kept as a whole or not at all, and nobody can say which.

    Whoever wrote reads again before it goes on.
    """


class StoreMoved(StoreError):
    """It was moved elsewhere, and is kept only to be looked at with a database tool."""


class Result(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int: ...

    @property
    def description(self) -> Any:
        """The columns, each a sequence that begins with its name."""

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...


class Transaction(Protocol):
    """An open transaction; nobody else writes while it is open."""

    def execute(self, query: str, arguments: Sequence[Any] = ..., /) -> Result: ...


class Reads(Protocol):
    """A store that can be asked."""

    def all(self, query: str, *arguments: Any) -> list[Any]: ...


class Database(Reads, Protocol):
    """A database under a store. May be used from several threads, one transaction at a time. Raises StoreError."""

    path: str
    """Where it is, for people: a file, or an address without its password."""

    def transaction(self, *, flushed: bool = True) -> AbstractContextManager[Transaction]:
        """Kept as a whole when the block ends, or not at all when it raises; the only writer at that time.

        `flushed` False: what nobody misses who lost all that ran on this machine with it (a lease, who is present).
        It outlives every process, and reaches the disk with the next change that is flushed.
        """

    def snapshot(self) -> AbstractContextManager[Reads]:
        """All of it at one instant, while others go on writing."""

    def alone(self, task: str) -> AbstractContextManager[bool]:
        """False in the block where another process does this task at the moment."""

    def time(self) -> float | None:
        """Seconds since 1970 by the database's own clock; None where it has none but this machine's."""

    def close(self) -> None: ...


class SqliteDatabase:
    """Opens (and migrates) the file at `path`; `busy_s` is how long to wait for another writer."""

    def __init__(self, path: Path | str, *, busy_s: float = 5.0, create: bool = True) -> None:
        self.path = str(path)
        self._guard, self._beside = threading.RLock(), threading.Lock()
        self._reading: sqlite3.Connection | None = None  # once a thread had to read while another one wrote
        self._file: tuple[int, int] | None = None  # until it is open, and for one in memory
        self._flushes, self._busy_s = True, busy_s
        if not create and not Path(path).exists():
            raise StoreError(f"there is no store at {path}")
        try:
            self._db = self._connected(busy_s)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._file = self._file_there()
            self._migrate()
        except sqlite3.Error as error:
            raise StoreError(f"the store {path} cannot be opened: {error}") from error

    def close(self) -> None:
        with self._guard, self._beside:  # SQLite crashes the process when a thread is in the middle of a statement
            self._db.close()
            if self._reading:
                self._reading.close()

    def _connected(self, busy_s: float) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=busy_s, isolation_level=None, check_same_thread=False)

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        raise_if_newer(self.path, version, len(MIGRATIONS))
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            with self.transaction() as db:
                if db.execute("PRAGMA user_version").fetchone()[0] < number:
                    for statement in filter(str.strip, script.split(";")):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def transaction(self, *, flushed: bool = True) -> Iterator[sqlite3.Connection]:
        with self._guard, self._named():
            if flushed != self._flushes:
                self._db.execute(f"PRAGMA synchronous = {'FULL' if flushed else 'NORMAL'}")
                self._flushes = flushed
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What SQLite refuses, with the path that it is about; StoreReplaced once the path is another file's."""
        if self._file is not None and self._file_there() != self._file:
            raise StoreReplaced(f"the store {self.path} was replaced while it was open: start again")
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the store {self.path} cannot be used: {error}") from error

    def _file_there(self) -> tuple[int, int] | None:
        """Device and inode of what has the name; None where nothing has it (a store in memory never does)."""
        try:
            seen = os.stat(self.path)  # noqa: PTH116 - asked before each statement
        except OSError:
            return None
        return seen.st_dev, seen.st_ino

    def all(self, query: str, *arguments: Any) -> list[Any]:
        """While another thread writes, which takes as long as the disk does: by what was committed before."""
        if self._guard.acquire(blocking=self._file is None):
            try:
                with self._named():
                    return self._db.execute(query, arguments).fetchall()
            finally:
                self._guard.release()
        with self._beside, self._named():
            self._reading = self._reading or self._connected(self._busy_s)
            return self._reading.execute(query, arguments).fetchall()

    def snapshot(self) -> AbstractContextManager[Reads]:
        return snapshot(self.path)

    @contextmanager
    def alone(self, task: str) -> Iterator[bool]:
        """Locked beside the store: not every mount knows locks."""
        from rollout.state_dir import share

        path = Path(f"{self.path}.{task}-lock")
        with path.open("a") as lock:
            share(path)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True

    def time(self) -> float | None:
        return None


MOVED, ARRIVING = "moved", "arriving"
"""Facts of a store that was moved elsewhere, and of one whose move is not finished: where to, and where from."""


def raise_if_moved(database: Database) -> None:
    """Nobody goes on with a store that another one has taken the place of, or that does not take its place yet."""
    for name, value in database.all("SELECT name, value FROM facts WHERE name IN (?, ?)", MOVED, ARRIVING):
        told = json.loads(value)
        if name == MOVED:
            to_file = "://" not in told["to"]
            then = "take `store:` out of the fleet file" if to_file else "name that in the fleet file, under `store:`"
            raise StoreMoved(f"the store {database.path} was moved to {told['to']}: {then}")
        raise StoreMoved(
            f"the store {database.path} is not complete: moving it from {told['from']} was interrupted. Do it again, "
            f"with the fleet file as it was: rollout store move"
        )


def raise_if_newer(where: str, version: int, known: int) -> None:
    """A release must not write what it does not understand."""
    if version > known:
        raise StoreError(
            f"the store {where} was written by a newer release (schema {version}, this one knows {known}): "
            f"use that release"
        )


class _Snapshot:
    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path, self._db = path, db

    def all(self, query: str, *arguments: Any) -> list[Any]:
        try:
            return self._db.execute(query, arguments).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the store {self._path} cannot be read: {error}") from error


@contextmanager
def snapshot(path: Path | str) -> Iterator[Reads]:
    """A SQLite file as it is at one instant, while others go on writing to it. Raises StoreError."""
    try:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)
    except sqlite3.Error as error:
        raise StoreError(f"the store {path} cannot be read: {error}") from error
    with closing(db):
        try:
            db.execute("BEGIN")
        except sqlite3.Error as error:
            raise StoreError(f"the store {path} cannot be read: {error}") from error
        yield _Snapshot(Path(path), db)

"""The SQLite file under everything that is kept: WAL mode, flushed to disk at each commit, numbered migrations.

Standard library only (status and the emergency path use it).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rollout.schema import MIGRATIONS


class StoreError(Exception):
    """The store cannot be used: missing, unreadable, or written by a newer release."""


class StoreReplaced(StoreError):
    """Another file has the store's name by now: what is written here would be lost."""


class Database:
    """Opens (and migrates) the file at `path`; `busy_s` is how long to wait for another writer.

    May be used from several threads, one transaction at a time.
    """

    def __init__(self, path: Path | str, *, busy_s: float = 5.0, create: bool = True) -> None:
        self.path = str(path)
        self._guard = threading.RLock()
        self._file: tuple[int, int] | None = None  # until it is open, and for one in memory
        if not create and not Path(path).exists():
            raise StoreError(f"there is no store at {path}")
        try:
            self._db = sqlite3.connect(self.path, timeout=busy_s, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._file = self._file_there()
            self._migrate()
        except sqlite3.Error as error:
            raise StoreError(f"the store {path} cannot be opened: {error}") from error

    def close(self) -> None:
        with self._guard:  # SQLite crashes the process when another thread is in the middle of a statement
            self._db.close()

    def _migrate(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise StoreError(
                f"the store {self.path} was written by a newer release (schema {version}, this one knows "
                f"{len(MIGRATIONS)}): use that release"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            with self.transaction() as db:
                if db.execute("PRAGMA user_version").fetchone()[0] < number:
                    for statement in filter(str.strip, script.split(";")):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {number}")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with self._guard, self._named():
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
            seen = Path(self.path).stat()
        except OSError:
            return None
        return seen.st_dev, seen.st_ino

    def all(self, query: str, *arguments: Any) -> list[Any]:
        with self._guard, self._named():
            return self._db.execute(query, arguments).fetchall()

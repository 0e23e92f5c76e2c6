"""Open the store that a fleet file names. Standard library only, unless that is PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from rollout import state_dir
from rollout.database import Database, SqliteDatabase, StoreError
from rollout.store import Store
from rollout.stores.address import Address, store_of


def open_store(fleet_file: Path, *, busy_s: float = 5.0, create: bool = True) -> Store:
    """The store of a fleet. `busy_s` bounds each wait: for another writer, and for a server that does not answer.

    Raises StoreError (gone, busy, of a newer release, moved elsewhere), OSError, StateUnreadable. Without `create`
    nothing is made where nothing is.
    """
    return Store(open_database(store_of(fleet_file), busy_s=busy_s, create=create))


def open_database(where: Path | Address, *, busy_s: float = 5.0, create: bool = True) -> Database:
    if isinstance(where, Address):
        try:
            from rollout.stores.postgres import PostgresDatabase  # psycopg: only where it is used
        except ImportError as error:
            raise StoreError(
                f"the store {where.label} needs what is not installed ({error}): "
                "pip install 'rollout-manager[postgres]'"
            ) from None
        return PostgresDatabase(where, busy_s=busy_s, create=create)
    if create:
        _make_file(where)
    return SqliteDatabase(where, busy_s=busy_s, create=create)


def _make_file(path: Path) -> None:
    state_dir.make_folder(path.parent)
    if not path.exists():  # SQLite gives the files beside it the rights that this one has
        path.touch(mode=0o600)
        state_dir.share(path)

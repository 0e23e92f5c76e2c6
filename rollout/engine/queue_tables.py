"""Procrastinate's tables, beside the store's in the same schema, made and brought up to date by us.

What stands in them can be lost without loss: who is due stands in the store.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from rollout.database import Database, StoreError, Transaction

_NOTE = "CREATE TABLE rollout_queue (migration text NOT NULL, release text NOT NULL)"
_FOUND = (
    "SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
    " WHERE nspname = current_schema() AND relname IN ('rollout_queue', 'procrastinate_jobs')"
)
"""Read as rows: `to_regclass` would answer from what this connection knew before it waited for the lock."""


def prepare_queue(database: Database) -> None:
    """Make the tables, or bring them to where the installed Procrastinate wants them; one process at a time does.

    Raises StoreError where the schema has a queue of somebody else, or one of a newer release.
    """
    migrations = _migrations()
    if _noted(database) == migrations[-1].name:
        return
    with database.transaction() as db:  # takes the store's own lock
        noted = _noted(database)
        if noted is None:
            _make(db)
        elif noted > migrations[-1].name:
            raise StoreError(
                f"the queue in {database.path} was made by a newer release ({noted}, this one knows "
                f"{migrations[-1].name}): use that release"
            )
        for migration in migrations:
            if noted is not None and migration.name > noted:
                db.execute(migration.read_text("utf-8"))
        db.execute("DELETE FROM rollout_queue")
        release = version("procrastinate")
        db.execute("INSERT INTO rollout_queue (migration, release) VALUES (?, ?)", (migrations[-1].name, release))


def _noted(database: Database) -> str | None:
    """The last migration that was applied; None where there is no queue."""
    found = {name for (name,) in database.all(_FOUND)}
    if "rollout_queue" in found:
        return str(database.all("SELECT migration FROM rollout_queue")[0][0])
    if found:
        raise StoreError(
            f"the schema of {database.path} has a Procrastinate queue of something else: give the store a schema of "
            f"its own, with ?options=-csearch_path%3DNAME at the end of its address"
        )
    return None


def _make(db: Transaction) -> None:
    from procrastinate.schema import SchemaManager

    db.execute(SchemaManager.get_schema())
    db.execute(_NOTE)


def _migrations() -> list[Path]:
    from procrastinate.schema import SchemaManager

    return sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))

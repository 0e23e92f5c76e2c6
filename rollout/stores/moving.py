"""Move a store to another database: SQLite to PostgreSQL, or back. Nobody may drive meanwhile.

The old store stays locked until the new one is whole, and is marked before it is free again, so that no change can
fall between. Killed at any instant, one of the two is a store and says where to go on: the new one is refused as long
as it is not the only one, the old one as soon as it is marked. Doing it again ends what was begun.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rollout.care.backup import StillDriven, drivers_of
from rollout.care.restored import fact, set_fact
from rollout.care.verify import verify_store
from rollout.database import ARRIVING, MOVED, Database, Reads, StoreError, Transaction
from rollout.fleet_journal import append_to_fleet
from rollout.journal import canonical
from rollout.schema import MIGRATIONS
from rollout.stores.address import Address
from rollout.stores.opening import open_database

AT_ONCE = 100
PATIENT_S = 600.0
"""A move may think for longer between two statements than a worker."""

_COUNTED = re.compile(r"CREATE TABLE (\w+) \(\s*(\w+) INTEGER PRIMARY KEY AUTOINCREMENT")
"""Tables whose rows the database numbers, with the column."""

Where = Path | Address


class CannotMove(Exception):
    """The store stays where it is; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved. `rows` are those of each table; `again`: only the end of an interrupted move was left to do."""

    source: str
    target: str
    rows: Mapping[str, int]
    again: bool = False


def move(source: Where, target: Where, *, by: str, now: float) -> Moved:
    """CannotMove, StillDriven, StoreError: whatever happened, one of both stores is whole, and says so when opened."""
    if isinstance(source, Path) and not source.exists():
        raise CannotMove(f"there is no store at {source} yet: nothing has to be moved. Only change the fleet file")
    with closing(open_database(source)) as old, closing(open_database(target)) as new:
        if old.path == new.path:
            raise CannotMove(f"the store is at {old.path} already")
        with old.transaction() as writing:
            _be_patient(writing, source)
            begun = _is_begun(old, new, now)
            if not begun:
                token = uuid.uuid4().hex
                _copy(old, new, target, token)
                set_fact(writing, MOVED, canonical({"to": new.path, "at": now, "token": token}))
                for statement in _refusing(source, new.path):
                    writing.execute(statement)
        with new.transaction() as writing:
            set_fact(writing, ARRIVING, None)
            rows = {table: _count(new, table) for table in tables()}
            append_to_fleet(writing, "store_moved", "", {"from": old.path, "to": new.path, "by": by}, now)
        return Moved(old.path, new.path, rows, begun)


def tables() -> list[str]:
    """All tables, those before that others refer to."""
    return re.findall(r"CREATE TABLE (\w+)", "".join(MIGRATIONS))


def _is_begun(old: Database, new: Database, now: float) -> bool:
    """True where only the end of an interrupted move is left. CannotMove, StillDriven."""
    moved, arriving = fact(old, MOVED), fact(new, ARRIVING)
    if moved:
        told = json.loads(moved)
        if arriving and json.loads(arriving)["token"] == told["token"]:
            return True
        raise CannotMove(f"the store {old.path} was moved to {told['to']} already: say so in the fleet file")
    if fact(old, ARRIVING):
        raise CannotMove(f"the store {old.path} is not complete itself: end the move that was interrupted first")
    if who := drivers_of(old, now):
        raise StillDriven(f"{'; '.join(who)}. Stop that first; nothing was moved")
    broken = verify_store(old)["broken"]
    if broken:
        raise CannotMove(f"its journals are broken: {'; '.join(broken[:3])}. Look: rollout journal verify")
    there = {table: _count(new, table) for table in tables()}
    if any(there.values()) and not arriving:
        raise CannotMove(
            f"{new.path} is a store already, with {there['rollouts']} rollouts in it: name an empty database or schema"
        )
    return False


def _copy(old: Database, new: Database, target: Where, token: str) -> None:
    """All rows, read back and compared, in one transaction of the new store."""
    with new.transaction() as writing:
        _be_patient(writing, target)
        for table in reversed(tables()):
            writing.execute(f"DELETE FROM {table}")  # noqa: S608 - what an interrupted move left
        for table in tables():
            _copy_table(old, new, writing, table)
        for table, column in _COUNTED.findall("".join(MIGRATIONS)):
            if isinstance(target, Address):
                last = f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), max({column})) FROM {table}"  # noqa: S608
                writing.execute(last)
        if verify_store(old)["heads"] != (there := verify_store(new))["heads"] or there["broken"]:
            raise StoreError(f"what is at {new.path} is not what was copied; nothing was moved")
        set_fact(writing, ARRIVING, canonical({"from": old.path, "token": token}))


def _copy_table(old: Database, new: Database, writing: Transaction, table: str) -> None:
    columns = [described[0] for described in writing.execute(f"SELECT * FROM {table} WHERE 1 = 0").description]  # noqa: S608
    query = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - names of the schema
    rows = old.all(query)
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE]
        marks = ", ".join([f"({', '.join('?' * len(columns))})"] * len(some))
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks}"  # noqa: S608 - names of the schema
        writing.execute(insert, [value for row in some for value in row])
    if set(new.all(query)) != set(rows):
        raise StoreError(f"the rows of {table} at {new.path} are not those that were copied; nothing was moved")


def _count(db: Reads, table: str) -> int:
    ((count,),) = db.all(f"SELECT count(*) FROM {table}")  # noqa: S608 - names of the schema
    return int(count)


def _be_patient(writing: Transaction, where: Where) -> None:
    if isinstance(where, Address):
        for limit in ("idle_in_transaction_session_timeout", "statement_timeout"):
            writing.execute(f"SET LOCAL {limit} = {int(PATIENT_S * 1000)}")


def _refusing(where: Where, to: str) -> Iterator[str]:
    """The database itself refuses whoever has it open still, of whatever release."""
    told = f"this store was moved to {to}".replace("'", "''")
    if isinstance(where, Address):
        raises = f"BEGIN RAISE EXCEPTION USING MESSAGE = '{told}'; END"
        yield f"CREATE FUNCTION refuse_since_moved() RETURNS trigger LANGUAGE plpgsql AS $refuse$ {raises} $refuse$"
        for table in tables():
            yield (
                f"CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION refuse_since_moved()"
            )
        return
    for table in tables():
        for change in ("INSERT", "UPDATE", "DELETE"):
            name = f"moved_{table}_{change.lower()}"
            yield f"CREATE TRIGGER {name} BEFORE {change} ON {table} BEGIN SELECT RAISE(ABORT, '{told}'); END"

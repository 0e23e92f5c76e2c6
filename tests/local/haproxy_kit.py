"""What the tests of HAProxy share: the balancer's kit with HAProxy in the balancer's place."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from providers.base import SLOTS
from providers.local import rollback
from providers.local.balancer import store
from providers.local.balancer.identity import Identity
from providers.local.haproxy import launcher, program
from providers.local.haproxy.cli import Cli
from providers.local.haproxy.client import HaproxyClient
from tests.local.balancer_kit import PATIENCE_S, Kit, TargetProcess, wait_until

PROGRAM = program.find()
WHY = "HAProxy is not installed" if PROGRAM is None else program.problem(PROGRAM)
NEEDS_HAPROXY = pytest.mark.skipif(WHY is not None, reason=str(WHY))


def tell(directory: Path, command: str) -> str:
    """What a person would type on the socket; the answer without the blank lines after it."""
    return Cli(directory, time.monotonic() + PATIENCE_S).ask(command).strip()


class HaproxyKit(Kit):
    """HAProxy and its targets; `close` ends all of it."""

    @property
    def client(self) -> HaproxyClient:  # type: ignore[override]  # the same calls
        return HaproxyClient(self.directory, 10.0)

    def configure(self, **more: object) -> None:
        super().configure(**{"kind": "haproxy", "program": PROGRAM, **more})

    def start(self, blue: list[TargetProcess], green: list[TargetProcess], **config: object) -> None:
        self.configure(**config)
        targets = {"blue": [t.address for t in blue], "green": [t.address for t in green]}
        store.create(self.directory, {"blue": 100, "green": 0}, targets)
        launcher.ensure_running(self.directory, PATIENCE_S)
        wait_until(lambda: all(self.health().values()), "the targets are healthy")

    def tell(self, command: str) -> str:
        return tell(self.directory, command)

    def pid(self, who: str = "parent") -> int:
        return int(json.loads((self.directory / f"{who}.json").read_text())["pid"])

    def kill(self, who: str = "parent") -> None:
        super().kill(who)

    def freeze(self) -> int:
        """Stop it in its tracks; its pid."""
        pid = self.pid()
        os.kill(pid, signal.SIGSTOP)
        return pid

    def processes(self) -> list[Identity]:
        return launcher._tagged(self.directory)

    def close(self) -> None:
        launcher.stop(self.directory, PATIENCE_S)
        for target in self.targets:
            target.kill()
        assert self.processes() == [], "left behind"


def card(kit: HaproxyKit) -> dict[str, str]:
    """What a rollback card holds of it."""
    return {"provider": "local", "service": "shop", "dir": str(kit.directory)}


def put_back(kit: HaproxyKit, weights: dict[str, int]) -> dict[str, Any]:
    """What the on-call engineer's command does."""
    return rollback.put_back(card(kit), {slot: weights[slot] for slot in SLOTS}, "emergency")


def sides(kit: HaproxyKit, count: int = 40) -> set[str]:
    """Which sides answer clients now."""
    return {str(kit.ask().headers["X-Rollout-Served-By"]) for _ in range(count)}

"""What the tests of notifications stand on: a store in which things happen, and targets on this machine."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from providers.memory.clock import VirtualClock
from rollout.fleet_journal import FleetJournal
from rollout.journal import Entry
from rollout.news import NEWS_KINDS, NewsKind
from rollout.notify.deliverer import Deliverer
from rollout.notify.message import Message
from rollout.notify.outbox import Outbox
from rollout.notify.target import Target
from rollout.store import Store
from tests.core.scene import HOLDER, a_plan

ROLLOUT = "shop-1"
SECRET_ENV = "HOOK_SECRET"
KEY = "whsec_" + base64.b64encode(b"not a secret of anybody's, really").decode()


def hook(url: str, name: str = "hook", *, on: tuple[NewsKind, ...] = NEWS_KINDS, private: bool = True) -> Target:
    return Target(name, on, webhook=url, secret={"env": SECRET_ENV}, private=private)


def chat(name: str = "chat", variable: str = "CHAT_URL", on: tuple[NewsKind, ...] = NEWS_KINDS) -> Target:
    return Target(name, on, apprise={"env": variable})


def a_message(kind: str = "halted", **changes: Any) -> Message:
    told: dict[str, Any] = {"at": 1_767_225_600.0, "title": "shop: halted", "text": "It halted.", "next": "rollout x"}
    return Message(kind, **{**told, **changes})


class Desk:
    """A store with one rollout of `shop`. Its clock begins now, for receivers refuse what was signed long ago."""

    def __init__(self, path: Path) -> None:
        self.clock = VirtualClock(float(int(time.time())))
        self.path = path
        self.store = Store(path)
        self.plan = a_plan()
        self.store.open_rollout(
            ROLLOUT, "shop", self.plan.to_json(), self.plan.hash, at=self.clock.now(), actor="tester"
        )
        self.epoch = self.store.take_lease("shop", HOLDER, self.clock.now())

    @property
    def outbox(self) -> Outbox:
        return Outbox(self.store.db)

    def deliverer(self, *targets: Target, store: Store | None = None) -> Deliverer:
        return Deliverer((store or self.store).db, targets, self.clock)

    def happens(self, kind: str = "halted", step: str = "", /, **data: Any) -> Entry:
        """An entry, with its news."""
        given: Mapping[str, Any] = data or {"reason": "both sides are sick"}
        return self.store.append(ROLLOUT, self.epoch, kind, step, given, self.clock.now())

    @property
    def failures(self) -> list[Entry]:
        return [entry for entry in FleetJournal(self.store.db).entries() if entry.kind == "delivery_failed"]

    def count(self, table: str) -> int:
        return len(self.store.db.all({"news": "SELECT 1 FROM news", "deliveries": "SELECT 1 FROM deliveries"}[table]))

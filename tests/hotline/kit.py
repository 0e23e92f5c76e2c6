"""What the tests of the hotline share: an answer that is in hand, and what was said to whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rollout.hotline.converse import Say
from rollout.hotline.listener import Hotline
from rollout.hotline.request import Request

PATIENCE_S = 30.0


class Desk:
    """Answers as it is told to: says a line, waits until `go_on`, ends with `code`, or breaks with `fault`."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], str]] = []
        self.trouble: list[tuple[str, BaseException]] = []
        self.code, self.fault = 0, ""
        self.go_on, self.ended = threading.Event(), threading.Event()
        self.go_on.set()

    def answer(self, request: Request, who: str, say: Say) -> int:
        self.asked.append((request.arguments, request.actor(who)))
        try:
            say("now blue 0 %, green 100 %", before={"blue": 0, "green": 100})
            assert self.go_on.wait(PATIENCE_S)
            if self.fault:
                raise RuntimeError(self.fault)
            say("all new traffic is on blue", traffic={"blue": 100, "green": 0})
            return self.code
        finally:
            self.ended.set()

    def troubled(self, what: str, error: BaseException) -> None:
        self.trouble.append((what, error))


class Heard:
    """What a client was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.facts: dict[str, Any] = {}
        self.first = threading.Event()

    def say(self, line: str, **facts: Any) -> None:
        self.lines.append(line)
        self.facts.update(facts)
        self.first.set()


@contextmanager
def hotline(folder: Path, desk: Desk) -> Iterator[Hotline]:
    """One that listens, and has nobody left to answer afterwards."""
    made = Hotline(folder, desk.answer, desk.troubled)
    assert made.open()
    try:
        yield made
    finally:
        desk.go_on.set()
        made.close(PATIENCE_S)

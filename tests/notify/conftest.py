from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.healthchecks.servers import Servers
from tests.notify.kit import KEY, SECRET_ENV, Desk
from tests.notify.receivers import Receivers


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    monkeypatch.setenv(SECRET_ENV, KEY)
    with Receivers() as started:
        yield started


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    monkeypatch.setenv(SECRET_ENV, KEY)
    with Servers() as started:
        yield started


@pytest.fixture
def root_log() -> Iterator[list[str]]:
    """What a log that the process keeps would hold. (pytest's own listens to loggers that nobody else hears.)"""
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    root, handler = logging.getLogger(), Listening()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path / "rollout.db")
    yield made
    made.store.close()

"""A simulated world for each test, and a fleet whose store the commands can be asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.scene import World
from tests.tell.kit import Told


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """The commands over a world's store, as a user runs them."""
    monkeypatch.setenv("COLUMNS", "80")
    return Told(tmp_path, capsys)

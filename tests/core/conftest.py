"""A world for each test, on a store of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from providers.memory.clock import VirtualClock
from rollout.store import Store
from rollout.wiring import Installation
from tests.core.scene import FLEET, World

settings.register_profile("core", deadline=None)  # a busy machine is no failure
settings.load_profile("core")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "rollout.db")
    yield made
    made.close()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """A fleet of one simulated service, on virtual time."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    return Installation(tmp_path / "fleet.yaml", VirtualClock())

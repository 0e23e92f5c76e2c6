"""A fleet of one simulated service, on virtual time and a store on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.memory.clock import VirtualClock
from rollout.wiring import Installation
from tests.core.scene import FLEET


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "fleet.yaml").write_text(FLEET)
    made = Installation(folder / "fleet.yaml", VirtualClock())
    made.state_dir.mkdir(mode=0o700)
    return made

"""A scene for each test, closed behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.campaign.scene import Scene

Make = Callable[..., Scene]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes scenes: `make([a_wave(...)], services=…, …)`."""
    made: list[Scene] = []

    def one(*given: Any, **more: Any) -> Scene:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Scene(folder, *given, **more))
        return made[-1]

    yield one
    for each in made:
        each.close()

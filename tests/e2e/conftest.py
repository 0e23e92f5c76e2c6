"""A fleet that stands, and one that is only written down; both are gone after the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kit import Fleet, open_fleet


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Fleet]:
    with open_fleet(tmp_path / "fleet") as fleet:
        yield fleet


@pytest.fixture
def fleet(written: Fleet) -> Fleet:
    """The service runs base-1 on blue."""
    written.up()
    return written

"""What the tests of the way back share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rescue.kit import Night, a_night


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Night:
    """A night with a fake provider and a fake time."""
    return a_night(tmp_path, monkeypatch, capsys)

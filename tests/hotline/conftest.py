"""The fleet of the care tests, for what is answered in earnest."""

from __future__ import annotations

from tests.care.conftest import installation

__all__ = ["installation"]

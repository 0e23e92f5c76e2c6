"""The scene of the core's tests."""

from tests.core.conftest import installation, world

__all__ = ["installation", "world"]

"""What holds for all tests."""

from __future__ import annotations

import gc
import os

from hypothesis import HealthCheck, settings

MOST_DESCRIPTORS = 300
"""Stores that a test leaves open are closed when they are collected, which in a large process is late; libraries that
tests drive terminals with take no descriptor above 1023."""

# How long an example takes says something of the machine, and nothing of the program.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


class Descriptors:
    """Of this process."""

    def __init__(self) -> None:
        self.kept = 0

    def limit(self) -> None:
        """Collect, once there are so many more than are in use."""
        if len(os.listdir("/proc/self/fd")) > self.kept + MOST_DESCRIPTORS:  # noqa: PTH208 - after each of thousands
            gc.collect()
            self.kept = len(os.listdir("/proc/self/fd"))  # noqa: PTH208


DESCRIPTORS = Descriptors()


def pytest_runtest_logfinish(nodeid: str, location: tuple[str, int | None, str]) -> None:
    """After each test."""
    DESCRIPTORS.limit()

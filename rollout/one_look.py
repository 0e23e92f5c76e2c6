"""What the steps of one job need not read twice: the provider answers equal reads of a moment ago by what it has read.

It never serves a write, nor anything that follows one, a sleep, or a wait: what a write is decided by is read inside of
that write, and each job begins with nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from providers.base import Clock, Provider

WITHIN_S = 2.0
"""What was read longer ago is read again: a call may have waited for its turn since."""


def look_anew(provider: Provider) -> None:
    """What this job has read before serves nothing from here."""
    with provider.at_one_look(WITHIN_S):
        pass


def sleeping(provider: Provider, clock: Clock) -> Callable[[float], None]:
    """How a job sleeps between two tries."""

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        look_anew(provider)

    return sleep

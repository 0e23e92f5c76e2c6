"""News while a command drives: without `rollout serve` nobody else would deliver it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rollout.commands.options import server_of
from rollout.render import Screen
from rollout.wiring import Installation

FLUSH_S = 5.0
"""How long the end of a command may wait for receivers; `rollout serve` or the next command tries again."""


@contextmanager
def news_delivered(installation: Installation, screen: Screen) -> Iterator[None]:
    """Deliver from a thread of its own, unless nobody is to be told or a serving process does it."""
    from rollout.settings import SettingsErrors

    try:
        notify = installation.fleet.notify
    except (SettingsErrors, OSError) as error:
        screen.say(f"nobody will be notified, for the fleet file cannot be read: {error}")
        yield
        return
    if not notify.to or server_of(installation):
        yield
        return
    from rollout.notify.background import delivering
    from rollout.notify.deliverer import Deliverer
    from rollout.notify.target import targets_of

    deliverer = Deliverer(installation.store.db, targets_of(notify), installation.clock)
    with delivering(lambda: deliverer, lambda error: screen.say(f"news waits: {error}"), flush_s=FLUSH_S):
        yield

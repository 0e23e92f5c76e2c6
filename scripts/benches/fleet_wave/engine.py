"""The engine of `rollout serve`, its threads on virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from unittest.mock import patch

from fleet_wave.baton import Baton
from rollout.engine import serve
from rollout.engine.local import Job
from rollout.engine.serve import Chore, Server


@contextmanager
def jobs_on(baton: Baton) -> Iterator[None]:
    """Jobs that a server begins meanwhile act in virtual time."""

    @dataclass
    class Timed(Job):
        ticket: Event = field(default_factory=baton.ticket)

        def run(self) -> None:
            with baton.turn(self.ticket):
                super().run()

    with patch.object(serve, "Job", Timed):
        yield


@dataclass
class VirtualServer(Server):
    """`baton` is its clock."""

    baton: Baton = field(default_factory=lambda: Baton(0.0))

    def _begin_chore(self, chore: Chore) -> None:
        running = self._aside.get(chore.name)
        if not chore.aside:
            self._do(chore)
        elif running is None or not running.is_alive():
            self._aside[chore.name] = self.baton.thread(lambda: self._do(chore), chore.name)

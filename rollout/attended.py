"""What `rollout serve` and `rollout worker` have in common: what is told as it happens, and how they stop.

SIGTERM or Ctrl-C: no new job begins, those that act end. Once more: at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rollout import control
from rollout.care.card_copies import COPIED_S, CardCopies
from rollout.engine.serve import Chore, Server
from rollout.engine.systemd import notify
from rollout.follow import LeftAtOnce
from rollout.journal import Entry
from rollout.rows import Row
from rollout.telling import sentence
from rollout.wiring import Installation, steady

if TYPE_CHECKING:
    import structlog

GRACE_S = 60.0
"""How long jobs that act may take to end after SIGTERM; what they did is journalled either way."""
WATCHDOG_S = 5.0
MERGE_S = 5.0


class Attended:
    """`say` is for people, `event` for those who read JSON lines. Subclasses say what else they do."""

    goes_on: str
    """Who goes on with what is left at once, as the end of a sentence."""

    def __init__(
        self,
        installation: Installation,
        say: Callable[[str], None],
        event: Callable[..., None],
        log: structlog.typing.FilteringBoundLogger,
    ) -> None:
        self._installation, self._say, self._event, self._log = installation, say, event, log
        self._asked = 0
        self._unmerged: set[Path] = set()

    def _loop(self, server: Server) -> None:
        stopping_at: float | None = None
        while True:
            server.tick()
            self._look_up(server)
            if self._asked > 1:
                raise LeftAtOnce(f"left at once; what was being done is journalled{self.goes_on}")
            if self._asked and stopping_at is None:
                stopping_at = steady()
                server.stop()
                self._say(f"stopping: {server.running} jobs end first (once more to leave at once)")
            if stopping_at is not None and (not server.running or steady() - stopping_at > GRACE_S):
                server.tick()  # what ended last is told, too
                return
            server.rest(self._installation.clock.sleep)

    def _look_up(self, server: Server) -> None:
        """Between two ticks."""

    # What is told

    def _tell(self, row: Row, entry: Entry) -> None:
        told = sentence(entry)
        self._event(entry.kind, id=row.id, service=row.service, seq=entry.seq, at=entry.at, step=entry.step, text=told)
        if told:
            self._say(f"{time.strftime('%H:%M:%S', time.localtime(entry.at))}  {row.service}: {told}")

    def _trouble(self, what: str, error: BaseException) -> None:
        self._log.error("trouble", what=what, kind=type(error).__name__, text=str(error))
        self._event("trouble", what=what, text=str(error))
        self._say(f"{what}: {type(error).__name__}: {error}")

    # What is done on every host

    def _own_chores(self) -> list[Chore]:
        installation = self._installation
        chores = [
            Chore("watchdog", WATCHDOG_S, lambda: notify("WATCHDOG=1"), needs_store=False, each=True),
            Chore("spool", MERGE_S, self._merge_spool, each=True),
        ]
        if installation.is_shared:
            copies = CardCopies(installation.store.db, installation.cards)
            chores.append(Chore("cards", COPIED_S, copies.look, aside=True, each=True))
        return chores

    def _merge_spool(self) -> None:
        for merged in control.merge_spool(self._installation, self._unmerged):
            self._say(merged)

    # Signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self._asked += 1

        def hang_up(number: int, frame: FrameType | None) -> None:
            self._hang_up()

        handlers: dict[signal.Signals, Any] = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGHUP: hang_up}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _hang_up(self) -> None:
        """A reload is asked for, or a terminal was closed: nothing, unless a subclass does something."""

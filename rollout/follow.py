"""Follow one rollout to where its command ends, and take Ctrl-C seriously.

The first Ctrl-C (or SIGTERM, SIGHUP) journals the turn-back and goes on until traffic is back; the second leaves at
once, and the next command finishes.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType

from rollout import exits
from rollout.control import turn_back
from rollout.decide import CannotTurnBack
from rollout.engine.local import TICK_S, Driver, Listener
from rollout.lease import this_process
from rollout.phases import PROMOTED
from rollout.rows import Row
from rollout.store import NEVER
from rollout.wiring import Installation

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LeftAtOnce(Exception):
    """The second interrupt: this process goes; the rollout stays as the journal says."""


@dataclass
class Interrupts:
    """How often this process was asked to stop."""

    count: int = 0
    heeded: int = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        self.count += 1

    @contextmanager
    def caught(self) -> Iterator[Interrupts]:
        before = {number: signal.signal(number, self.note) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Follower:
    """Drives a rollout from this process and tells what happens; `say` is for people."""

    installation: Installation
    rollout: str
    listener: Listener
    say: Callable[[str], None]
    actor: str
    timeout_s: float | None = None
    interrupts: Interrupts = field(default_factory=Interrupts)

    def until(self, finished: Callable[[Row], bool]) -> tuple[Row, int | None]:
        """The rollout as it stands then, and an exit code that is not its outcome's: 130, or 7 after the time-out."""
        row = self.installation.store.rollout(self.rollout)
        means = self.installation.means(row.plan["provider"])
        told_seq = row.head_seq if row.head_seq > 1 else 0  # a rollout that goes on does not tell its past again
        driver = Driver(self.rollout, means, this_process(), self.listener, told_seq)
        clock, began = self.installation.clock, self.installation.clock.now()
        with self.interrupts.caught(), closing(driver):
            while True:
                row = driver.tick()
                if self.interrupts.count > self.interrupts.heeded:
                    self._heed(row)
                if not driver.busy and (finished(row) or is_stuck(row)):
                    return driver.look(), exits.INTERRUPTED if self.interrupts.count else None
                if self.timeout_s is not None and clock.now() - began >= self.timeout_s:
                    return row, exits.APPROVAL_NEEDED if row.outcome == "waiting_approval" else exits.TIMED_OUT
                clock.sleep(TICK_S)

    def _heed(self, row: Row) -> None:
        self.interrupts.heeded += 1
        if self.interrupts.heeded > 1:
            raise LeftAtOnce(f"left at once; {row.id} stays as it is. Finish it with: rollout resume {row.id}")
        if is_promoted(row):
            raise LeftAtOnce(f"left; {row.id} was promoted and stays so. Go on with it: rollout resume {row.id}")
        self.say("interrupted: putting traffic back (once more to leave at once)")
        try:
            ready = turn_back(self.installation, row, "interrupt", reason="interrupted", actor=self.actor)
        except CannotTurnBack as error:
            self.say(str(error))
            return
        self.say(f"turning back: {ready.why}" if ready.go else f"halted instead: {ready.why}")


def is_stuck(row: Row) -> bool:
    """Nothing more will happen until a person says so."""
    return row.closed_at is not None or (row.outcome == "halted" and row.due_at >= NEVER)


def is_promoted(row: Row) -> bool:
    return row.phase in PROMOTED


def is_accepted(row: Row) -> bool:
    return is_promoted(row) and row.outcome == "promoted"


def is_closed(row: Row) -> bool:
    return row.closed_at is not None


def finish_line(row: Row) -> Callable[[Row], bool]:
    """A forward rollout ends its command when it is promoted; one that is put back, when that is complete."""
    return is_closed if row.phase in PROMOTED else is_accepted

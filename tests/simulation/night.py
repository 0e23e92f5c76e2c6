"""The real emergency path in a simulated run: rollout/rescue, told step by step while the engine goes on.

It runs in a thread that has the word only until it sleeps; whoever let it speak waits meanwhile, so that a run is the
same each time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from providers.memory import rollback
from rollout.rescue import deciding, putting_back
from rollout.rescue.asked import Asked
from rollout.rescue.told import Refusal, Told, Unfinished
from tests.simulation.boundary import Cards
from tests.simulation.invariants import Violation
from tests.simulation.scene import SERVICE

if TYPE_CHECKING:
    from tests.simulation.world import World

SLEEPS = 500


class Emergency:
    """`rollout rollback`, beside whatever the engine does. Without the `store` it was out of reach, and what was
    decided is merged later."""

    def __init__(self, world: World, *, store: bool = False) -> None:
        self.world, self._store = world, store
        self._turn, self._over = threading.Semaphore(0), threading.Semaphore(0)
        self._wake_s: float | None = None
        self._violation: Violation | None = None
        self._sleeps = 0

    def begin(self) -> None:
        card = self.world.cards.get(SERVICE.name)
        if card is None or card.rollout != self.world.rollout:
            return self.world.tell("person", "emergency: there is no card")
        self.card = card
        # Without the store the engine may meet our weights before our mark, and whoever drives asks a person.
        self.world.people.halts_expected |= not self._store
        threading.Thread(target=self._run, daemon=True).start()
        return self._go_on()

    def _go_on(self) -> None:
        """It has the word until it sleeps, or is done."""
        with self._in_place():
            self._turn.release()
            self._over.acquire()
        if self._violation:
            raise self._violation
        if self._wake_s is not None:
            self.world.later(self._wake_s, self._go_on)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        """The simulated store and platform where it looks for real ones."""
        with (
            patch.object(deciding, "open_store", lambda fleet_file: _Opened(self)),
            patch.object(putting_back, "thin_of", lambda card: _Thin(self)),
        ):
            yield

    def _run(self) -> None:
        self._turn.acquire()
        world, told = self.world, _Told(self.world)
        fleet_file = Path("/nowhere/fleet.yaml") if self._store else None
        try:
            asked = Asked(reason="rollback by a person", actor="person")
            putting_back.put_back(self.card, Cards(world.cards), fleet_file, told, asked, cast(Any, self))
        except Refusal as refused:
            # What it could not finish is for a person; and so is traffic that it found where nobody else put it.
            world.people.halts_expected |= isinstance(refused, Unfinished)
            world.tell("person", f"emergency: {refused.how}: {refused}")
        else:
            if world.rollout == self.card.rollout:
                world.settled_on = self.card.original
            world.tell("person", "emergency: done")
            if not told.facts["journalled"]:
                world.later(1.0, self._merge)
        finally:
            self._wake_s = None
            self._over.release()

    def _merge(self) -> None:
        """The store is back: what was spooled becomes a decision."""
        from tests.simulation.people import on_call

        if self.world.journal.closed is None and self.world.rollout == self.card.rollout:
            on_call(self.world)

    def witnessed(self, do: Any) -> Any:
        """The rescue takes every error for the platform's; what breaks an invariant is told all the same."""
        try:
            return do()
        except Violation as found:
            self._violation = found
            raise

    # The clock that it is given

    def time(self) -> float:
        """Seconds since 1970, as this machine's clock has it."""
        return self.world.clock.now()

    def monotonic(self) -> float:
        """Seconds that nobody sets."""
        return self.world.steady.now()

    def sleep(self, seconds: float) -> None:
        """Whoever let it speak goes on."""
        self._sleeps += 1
        assert self._sleeps < SLEEPS, "the rescue never ends"
        self._wake_s = seconds
        self._over.release()
        self._turn.acquire()


class _Told(Told):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def write(self, line: str, facts: dict[str, Any]) -> None:
        self._world.tell("person", f"emergency: {line.strip()}")


class _Opened:
    """The store, as the emergency path opens it."""

    def __init__(self, night: Emergency) -> None:
        self._night, self.entries = night, night.world.store.entries

    def decide(self, *args: Any, **more: Any) -> Any:
        """What is written is seen at once by whoever watches."""
        entry = self._night.world.store.decide(*args, **more)
        self._night.witnessed(self._night.world.person_recorded)
        return entry

    def close(self) -> None:
        """Others use it."""


class _Thin:
    """providers/memory/rollback.py, watched."""

    def __init__(self, night: Emergency) -> None:
        self._night = night

    def __getattr__(self, name: str) -> Any:
        found = getattr(rollback, name)
        if not callable(found):
            return found

        def call(target: Mapping[str, Any], *rest: Any) -> Any:
            answer = self._night.witnessed(lambda: found(target, *rest))
            if name == "put_back":
                self._night.world.people.edit_stands = False
            return answer

        return call

"""What a balancer's client offers, for a service without one: its route is which side the owner's commands enabled.

Declared is what state.json says; a switch that was begun and not ended is in turn.json, and has not moved anything
yet. Standard library only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from providers.local.balancer import store
from providers.local.balancer.answers import CountersAnswer, StateAnswer, TargetAnswer
from providers.local.balancer.client import Conflict, Refused
from providers.local.balancer.config import CONFIG
from providers.local.balancer.declared import (
    REFUSED,
    TROUBLE,
    edited_revision,
    judged,
    load,
    raise_if_stale,
    writing,
)
from providers.local.balancer.mark import read_mark
from providers.local.balancer.state import (
    SLOTS,
    State,
    Unservable,
    parse_addresses,
    parse_slot,
    parse_token,
    parse_weights,
)
from providers.local.switch import turn
from providers.local.switch.model import Switch
from providers.local.switch.sides import Said, Sides
from providers.local.switch.turn import Begun, Overtaken, Stopped, Turn

R = TypeVar("R")
LOOKS = 5


@dataclass(frozen=True)
class Seen:
    """begun: a switch that was begun and not ended. said: what each side is."""

    state: State
    begun: Begun | None
    said: Mapping[str, Said]

    @property
    def active(self) -> str:
        """Which side was declared."""
        return next(slot for slot in SLOTS if self.state.weights[slot])

    @property
    def unsure(self) -> str:
        """Why nobody can say which side works; empty if that is known."""
        return "; ".join(said.why for said in self.said.values() if said.word == "unknown")

    @property
    def edited(self) -> bool:
        """Somebody else switched a side. One without a living process was switched by nobody."""
        if self.begun or self.unsure:
            return False
        standby = next(slot for slot in SLOTS if slot != self.active)
        return self.said[standby].on or self.said[self.active].word == "disabled"

    @property
    def weights(self) -> dict[str, int]:
        """100 for each side that works. Both, or none, is somebody else's doing."""
        if not self.edited:
            return dict(self.state.weights)
        return {slot: 100 if self.said[slot].on else 0 for slot in SLOTS}

    @property
    def revision(self) -> int:
        if not self.edited:
            return self.state.revision
        return edited_revision("|".join(self.said[slot].word for slot in SLOTS), self.state.revision)


class SwitchClient:
    """timeout_s: for the lock; the commands have their own. Calls raise what BalancerClient's do."""

    def __init__(self, directory: Path | str, timeout_s: float = 5.0) -> None:
        self._directory, self._timeout_s = Path(directory), timeout_s
        self._sides = _sides(self._directory)

    def state(self) -> StateAnswer:
        return self._answer(self._look())

    def set_weights(self, weights: Mapping[str, int], *, expected_revision: int | None, token: str) -> StateAnswer:
        """Switch to the side that has 100. expected_revision None goes over a person's edit, and what is unknown.

        Refused with 422: it cannot be done, and one side is enabled. With 500: it may be tried again.
        """
        with judged():
            wanted, token = parse_weights(dict(weights)), parse_token(token)
            if sorted(wanted.values()) != [0, 100]:
                raise Unservable(f"weights {wanted}: without a balancer one side has 100 and the other has 0")
            goal = next(slot for slot in SLOTS if wanted[slot])
            with self._writing() as held:
                seen = self._look()
                raise_if_stale(seen.revision, expected_revision, partial(self._answer, seen))
                held.state.with_weights(wanted, token)  # refused here where the side has no targets
                forced = expected_revision is None
                switched = Turn(held, self._directory, self._sides, token, forced=forced)
                waited_s = self._carried_out(lambda: switched.to(goal))
        return {**self.state(), "waited_s": waited_s}

    def set_targets(
        self, slot: str, addresses: Sequence[str], *, expected_revision: int | None, token: str
    ) -> StateAnswer:
        """New processes of the side that is enabled are enabled, too: they start disabled."""
        with judged():
            wanted, token, slot = parse_addresses(list(addresses)), parse_token(token), parse_slot(slot)
            with self._writing() as held:
                seen = self._look()
                raise_if_stale(seen.revision, expected_revision, partial(self._answer, seen))
                new = set(wanted) - set(seen.state.targets[slot])
                if new and slot == seen.active and seen.begun is None and seen.said[slot].word in ("mixed", "disabled"):
                    again = Turn(held, self._directory, self._sides, token, forced=False)
                    self._carried_out(lambda: again.enable_again(slot))
                held.save(held.state.with_targets(slot, wanted, token))
        return self.state()

    def cut(self, slot: str) -> int:
        """Nothing: a side that was disabled holds no work any more."""
        with judged():
            parse_slot(slot)
        return 0

    def keep_off(self, slot: str) -> None:
        """Before the first process of a standby side starts: what it is registered with must not have it enabled."""
        with judged(), self._writing() as held:
            if held.state.weights[slot] == 0 and not self._sides.living(slot):
                again = Turn(held, self._directory, self._sides, "keep-off", forced=False)
                self._carried_out(lambda: again.keep_off(slot))

    @property
    def interrupted(self) -> str:
        """What an interrupted switch left, in words; empty if there is none."""
        begun = self._begun(store.load(self._directory)[0])
        return "" if begun is None else begun.trouble or f"a switch to {begun.goal} was begun and has not ended"

    def _carried_out(self, act: Callable[[], R]) -> R:
        try:
            return act()
        except Stopped as stopped:
            raise Refused(str(stopped), status=REFUSED if stopped.settled else TROUBLE) from None
        except Overtaken:
            message = "somebody else, who did not wait for us, switched meanwhile"
            raise Conflict(message, state=self.state()) from None
        except OSError as error:
            raise Refused(f"not carried out: {error}", status=TROUBLE) from None

    def _begun(self, state: State) -> Begun | None:
        begun = turn.read(self._directory)
        return begun if begun and begun.revision > state.revision else None  # the state was saved: it has ended

    def _look(self) -> Seen:
        """State, switch and sides of one instant: read again until nothing was switched in between."""
        for _ in range(LOOKS):
            before = load(self._directory)[0]
            begun = self._begun(before)
            said = {slot: self._sides.ask(slot) for slot in SLOTS}
            after = load(self._directory)[0]
            now = self._begun(after)
            if before == after and (begun is None) == (now is None):
                break
        return Seen(after, now, said)

    @contextmanager
    def _writing(self) -> Iterator[store.StateStore]:
        """One writer at a time, over all processes; what an earlier one left half done is ended first."""
        with writing(self._directory, self._timeout_s) as held:
            if self._begun(held.state):
                self._carried_out(Turn(held, self._directory, self._sides, "settle", forced=False).settle)
            yield held

    def _answer(self, seen: Seen) -> StateAnswer:
        now = time.time()
        counters = {slot: self._sides.counters(slot) for slot in SLOTS}
        counted: dict[str, CountersAnswer] = {slot: each for slot, each in counters.items() if each is not None}
        answer = StateAnswer(
            revision=seen.revision,
            weights=seen.weights,
            targets={slot: self._targets(seen, slot, now) for slot in SLOTS},
            token=None if seen.edited else seen.state.token,
            mark=read_mark(self._directory),
            counters=counted,
            test_counters={},
            counters_id="switch",
            notice=None,
            at=now,
        )
        return {**answer, "unsure": seen.unsure} if seen.unsure else answer

    def _targets(self, seen: Seen, slot: str, now: float) -> list[TargetAnswer]:
        living, said = {record.address for record in self._sides.living(slot)}, seen.said[slot]
        off = slot == seen.active and said.word == "disabled" and seen.begun is None
        healthy: bool | None = None if said.word == "unknown" else not off
        why = said.why or ("it is switched off" if off else f"alive, {said.word}")
        return [
            TargetAnswer(
                address=address,
                healthy=healthy if address in living else False,
                reason=why if address in living else "its process is gone",
                since=round(now, 3),
            )
            for address in seen.state.targets[slot]
        ]


def _sides(directory: Path) -> Sides:
    try:
        config = json.loads((directory / CONFIG).read_bytes())
        switch = Switch.of(config["switch"])
        if switch is None:
            raise ValueError("switch: missing")
        return Sides(directory, switch, Path(config["folder"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"{directory / CONFIG}: {error}", status=TROUBLE) from None

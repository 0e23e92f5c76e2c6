"""Which target a request goes to: weights, round robin, health. Pure but for its random source."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from providers.local.balancer.answers import TargetAnswer
from providers.local.balancer.state import SLOTS, State


@dataclass
class TargetHealth:
    """What is known of one target. healthy: None until the first pass, or the first failure for good.

    A target that was never healthy needs one pass; one that failed its checks needs `rise`; one that only
    refused a connection is out until the next check passes. since: unix seconds.
    """

    since: float
    healthy: bool | None = None
    reason: str = "not checked yet"
    streak: int = 0  # > 0 passes, < 0 failures, in a row
    needed: int = 1  # passes until healthy

    def passed(self, now: float) -> None:
        self.streak = max(self.streak, 0) + 1
        if self.healthy is not True and self.streak >= self.needed:
            self._become(True, "check passed", now)

    def failed(self, reason: str, now: float, *, fall: int, rise: int) -> None:
        self.streak = min(self.streak, 0) - 1
        if -self.streak < fall:
            return
        if self.healthy is True:
            self.needed = rise
        if self.healthy is not False:
            self._become(False, reason, now)
        self.reason = reason

    def refused(self, reason: str, now: float) -> None:
        self.streak = 0
        if self.healthy is True:
            self.needed = 1
            self._become(False, reason, now)

    def _become(self, healthy: bool, reason: str, now: float) -> None:
        self.healthy, self.reason, self.since = healthy, reason, now


class RouteTable:
    """The route in force. Every method is a plain call: nothing can come between a choice and its use.

    now: unix seconds. changed: called with a line for the log when a target's health turns.
    """

    def __init__(
        self,
        state: State,
        *,
        fall: int,
        rise: int,
        now: Callable[[], float],
        changed: Callable[[str], None],
        chance: random.Random,
    ) -> None:
        self._fall, self._rise, self._now, self._changed, self._chance = fall, rise, now, changed, chance
        self._health: dict[str, TargetHealth] = {}
        self._turn = dict.fromkeys(SLOTS, 0)
        self.adopt(state)

    def adopt(self, state: State) -> None:
        """Route by `state` from now on; what is known of targets that stay is kept."""
        self.state = state
        moment = self._now()
        self._health = {address: self._health.get(address) or TargetHealth(moment) for address in self.addresses()}
        self._refresh()

    def addresses(self) -> list[str]:
        return [address for slot in SLOTS for address in self.state.targets[slot]]

    def choose_slot(self) -> str:
        """blue or green, by weight, at random."""
        blue, green = self.state.weights["blue"], self.state.weights["green"]
        return "blue" if self._chance.random() * (blue + green) < blue else "green"

    def candidates(self, slot: str) -> list[str]:
        """The slot's healthy targets, the one whose turn it is first."""
        healthy = self._healthy[slot]
        if len(healthy) < 2:
            return list(healthy)
        self._turn[slot] = turn = (self._turn[slot] + 1) % len(healthy)
        return [*healthy[turn:], *healthy[:turn]]

    def with_fallback(self, slot: str) -> Iterator[str]:
        """The slot, then the other one: clients get an answer while any side is healthy."""
        yield slot
        yield from (other for other in SLOTS if other != slot)

    def servable(self) -> bool:
        """Whether each slot that gets traffic has a healthy target."""
        return all(self._healthy[slot] for slot in SLOTS if self.state.weights[slot] > 0)

    def passed(self, address: str) -> None:
        self._note(address, lambda target, now: target.passed(now))

    def failed(self, address: str, reason: str) -> None:
        self._note(address, lambda target, now: target.failed(reason, now, fall=self._fall, rise=self._rise))

    def refused(self, address: str, reason: str) -> None:
        """A request found the target closed: out at once, until the next check."""
        self._note(address, lambda target, now: target.refused(reason, now))

    def describe(self) -> dict[str, list[TargetAnswer]]:
        return {slot: [self._describe(a) for a in self.state.targets[slot]] for slot in SLOTS}

    def _describe(self, address: str) -> TargetAnswer:
        known = self._health[address]
        return TargetAnswer(address=address, healthy=known.healthy, reason=known.reason, since=round(known.since, 3))

    def _note(self, address: str, apply: Callable[[TargetHealth, float], None]) -> None:
        target = self._health.get(address)
        if target is None:  # taken out while the answer was on its way
            return
        before = target.healthy
        apply(target, self._now())
        if target.healthy is not before:
            self._refresh()
            self._changed(f"{address} {'healthy' if target.healthy else 'unhealthy'}: {target.reason}")

    def _refresh(self) -> None:
        self._healthy = {slot: tuple(a for a in self.state.targets[slot] if self._health[a].healthy) for slot in SLOTS}

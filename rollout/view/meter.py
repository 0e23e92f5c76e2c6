"""Traffic readings as people follow them: since when, how much, how fast, and what failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from providers.base import SLOTS, Counters, Reading, Slot, TargetHealth
from rollout.telling import brief
from rollout.view.stream import Event


@dataclass
class Meter:
    """Adds up the readings of one service since the first of them.

    Counters are comparable under one `counters_id` only: where a balancer counts anew, what was added up stays, and
    what happened in between is not known.
    """

    rollout: str
    original: str
    images: Mapping[str, str]
    """Slot → the image that it runs, or is to run."""
    _last: Reading | None = None
    _counted: dict[str, dict[str, int]] = field(default_factory=dict)
    _told: Event | None = None

    def read(self, reading: Reading) -> Event | None:
        """The event, where anything is other than before; a side has these keys:

        role, image, weight (percent), requests and failed (since the first reading), per_s (since the last one; None
        when that is not known), in_flight, healthy, unhealthy, unknown (targets).
        """
        last = self._last
        if last is None or reading.counters:  # what is counted again goes on from where it could be read
            self._last = reading
        comparable = last if last is not None and last.counters_id == reading.counters_id else None
        sides = {slot: self._side(slot, reading, comparable) for slot in SLOTS}
        return self._changed(Event("traffic", {"id": self.rollout, "at": reading.at, "sides": sides, "problem": ""}))

    def fail(self, problem: str, at: float) -> Event | None:
        """It could not be read."""
        data = {"id": self.rollout, "at": at, "sides": None, "problem": brief(problem, 160)}
        return self._changed(Event("traffic", data))

    def _side(self, slot: Slot, reading: Reading, last: Reading | None) -> dict[str, Any]:
        now = _counts(reading, slot)
        before = _counts(last, slot) if last else now
        more = {what: max(0, now[what] - before[what]) for what in now}
        known = self._counted.setdefault(slot, dict.fromkeys(now, 0))
        for what, count in more.items():
            known[what] += count
        seconds = reading.at - last.at if last else 0.0
        targets = reading.targets.get(slot, TargetHealth())
        return {
            "role": "original" if slot == self.original else "replacement",
            "image": self.images.get(slot),
            "weight": reading.route.weights.get(slot, 0),
            **known,
            "per_s": round(more["requests"] / seconds, 1) if seconds > 0 else None,
            "in_flight": _counter(reading, slot).in_flight,
            "healthy": targets.healthy,
            "unhealthy": targets.unhealthy,
            "unknown": targets.unknown,
        }

    def _changed(self, event: Event) -> Event | None:
        before, self._told = self._told, event
        same = ("sides", "problem")
        if before and all(before.data[what] == event.data[what] for what in same):
            return None
        return event


def meter_of(rollout: str, plan: Mapping[str, Any]) -> Meter:
    """For the rollout with this plan (as its row has it)."""
    original = str(plan["original"])
    patched = ", ".join(plan["patch"]["images"].values())
    replacement = "green" if original == "blue" else "blue"
    return Meter(rollout, original, {original: str(plan["original_image"]), replacement: patched})


def _counter(reading: Reading, slot: Slot) -> Counters:
    found: Counters = reading.counters.get(slot, Counters())
    return found


def _counts(reading: Reading, slot: Slot) -> dict[str, int]:
    counters = _counter(reading, slot)
    return {"requests": counters.requests, "failed": counters.failed + counters.responses.get("5xx", 0)}

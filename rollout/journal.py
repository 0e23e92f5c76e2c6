"""The journal of one rollout: what was decided, meant, done and seen, in order, chained by hashes.

Pure: entries come from the store and go back to it. Standard library only, for the emergency path reads it too.

Kinds (recorded facts, past tense). `record` means that the step will never be done again:
  opened · entered (a phase) · intended → done | failed · waiting → ended (a wait) · verdict_changed
  troubled → recovered (a platform that did not answer)
  roll_back_decided (turning back, whoever asked) · warm_ended (the way back was given up early)
  adopted (a person takes what serves now as it is) · halted, paused → resumed · approved
  warned → cleared (what people should know, though nothing is done about it) · closed
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RECORDS = ("done", "failed", "ended")
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `at` is seconds since 1970; `epoch` is the service's when it was written; `hash` covers all else."""

    rollout: str
    seq: int
    at: float
    epoch: int
    kind: str
    step: str
    data: Mapping[str, Any]
    prev: str
    hash: str


def canonical(data: Any) -> str:
    """One text for equal data: what hashes are taken over."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def next_entry(
    rollout: str, seq: int, prev: str, *, at: float, epoch: int, kind: str, step: str, data: Mapping[str, Any]
) -> Entry:
    """The entry that follows the one whose hash is `prev`."""
    link = hashlib.sha256(canonical([rollout, seq, at, epoch, kind, step, data, prev]).encode()).hexdigest()
    return Entry(rollout, seq, at, epoch, kind, step, data, prev, link)


def first_broken_link(entries: Sequence[Entry]) -> str:
    """Where a chain was edited, cut open or reordered, in words; empty when it is whole."""
    prev = GENESIS
    for expected_seq, entry in enumerate(entries, start=1):
        if entry.seq != expected_seq:
            return f"{entry.rollout}: entry {expected_seq} is missing (found {entry.seq} in its place)"
        again = next_entry(
            entry.rollout,
            entry.seq,
            prev,
            at=entry.at,
            epoch=entry.epoch,
            kind=entry.kind,
            step=entry.step,
            data=entry.data,
        )
        if again.hash != entry.hash:
            return f"{entry.rollout}: entry {entry.seq} ({entry.kind} {entry.step}) does not match its hash"
        prev = entry.hash
    return ""


class Journal:
    """What the entries of one rollout say, for replay."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: list[Entry] = []
        self._records: dict[str, Entry] = {}
        self._intents: dict[str, list[Entry]] = {}
        self.decision: Entry | None = None
        self.halt: Entry | None = None
        self.paused: Entry | None = None
        self.adoption: Entry | None = None  # it and `decision`: the last word of the two counts
        self.warnings: dict[str, Entry] = {}  # what they are about → since when
        self.warm_ended: Entry | None = None
        self.closed: Entry | None = None
        self.trouble: Entry | None = None  # when it began, until anything goes on
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        if entry.kind == "troubled":
            self.trouble = self.trouble or entry
        elif entry.kind != "intended":
            self.trouble = None
        if entry.kind in RECORDS:
            self._records[entry.step] = entry
        elif entry.kind == "intended":
            self._intents.setdefault(entry.step, []).append(entry)
        elif entry.kind == "warned":
            self.warnings[entry.data["about"]] = entry
        elif entry.kind == "cleared":
            self.warnings.pop(entry.data["about"], None)
        else:
            self._hear(entry)

    def _hear(self, entry: Entry) -> None:
        """What was decided, here or by a person."""
        if entry.kind in ("roll_back_decided", "adopted", "closed"):
            self.paused = None  # only a way forward is paused
        if entry.kind == "roll_back_decided":
            self.decision, self.halt, self.adoption = entry, None, None
        elif entry.kind == "adopted":
            self.adoption, self.halt, self.decision = entry, None, None
            # What was done after an earlier word may have been done to the side that serves now.
            self._records = {step: record for step, record in self._records.items() if not step.startswith("adopt:")}
        elif entry.kind == "halted":
            self.halt = entry
        elif entry.kind == "paused":
            self.paused = entry
        elif entry.kind == "resumed":
            self._resume(entry)
        elif entry.kind == "warm_ended":
            self.warm_ended = entry
        elif entry.kind == "closed":
            self.closed = entry

    def _resume(self, said: Entry) -> None:
        """A person said go on: what had failed is tried again; after "back to the original", the whole way back."""
        again = "back:" if said.data.get("by_person") else "\0"
        self.halt = self.paused = None
        self._records = {
            step: entry for step, entry in self._records.items() if not _failed(entry) and not step.startswith(again)
        }

    @property
    def head(self) -> int:
        return self.entries[-1].seq if self.entries else 0

    @property
    def phase(self) -> str:
        return next((entry.step for entry in reversed(self.entries) if entry.kind == "entered"), "opened")

    def record(self, step: str) -> Entry | None:
        """The entry after which a step is never done again."""
        return self._records.get(step)

    def value(self, step: str) -> Any:
        """What a done step returned; None when it has no record."""
        entry = self._records.get(step)
        return entry.data.get("value") if entry else None

    def recorded_steps(self) -> set[str]:
        return set(self._records)

    def intended_steps(self) -> set[str]:
        return set(self._intents)

    def intents(self, step: str) -> Sequence[Entry]:
        return self._intents.get(step, ())

    def open_intent(self, step: str) -> Entry | None:
        """The last intent of a step without a record: it may or may not have taken effect."""
        intents = self._intents.get(step)
        return intents[-1] if intents and step not in self._records else None

    def intended_routes(self) -> list[tuple[Entry, Mapping[str, int]]]:
        """Every route that an intent of ours declared, oldest first."""
        return [
            (entry, entry.data["args"]["weights"])
            for entry in self.entries
            if entry.kind == "intended" and "weights" in entry.data["args"]
        ]

    def routes_on_the_way(self) -> list[dict[str, int]]:
        """The routes that may be seen and are ours: the last one done, and those in flight. Empty: not known yet."""
        captured = self.value("capture")
        if captured is None:
            return []
        intended = self.intended_routes()
        done = [weights for entry, weights in intended if self.record(entry.step)]
        in_flight = [weights for entry, weights in intended if not self.record(entry.step)]
        return _unique([done[-1] if done else captured["route"]["weights"], *in_flight])

    def routes_on_the_way_back(self) -> list[dict[str, int]]:
        """The same when turning back: any that we ever declared, and what was there when a person said: back."""
        captured = self.value("capture")
        if captured is None:
            return []
        said = (entry for entry in self.entries if entry.kind in ("roll_back_decided", "resumed"))
        released = [entry.data["route"] for entry in said if entry.data.get("by_person") and entry.data.get("route")]
        return _unique([captured["route"]["weights"], *(weights for _, weights in self.intended_routes()), *released])

    def route_adopted(self) -> list[dict[str, int]]:
        """The one route that may be seen after a person took what served as it was."""
        return [dict(self.adoption.data["route"])] if self.adoption else []

    def last(self, kind: str) -> Entry | None:
        return next((entry for entry in reversed(self.entries) if entry.kind == kind), None)


def _failed(entry: Entry) -> bool:
    return entry.data.get("outcome") == "failed"


def _unique(routes: Iterable[Mapping[str, int]]) -> list[dict[str, int]]:
    found: list[dict[str, int]] = []
    for route in routes:
        if dict(route) not in found:
            found.append(dict(route))
    return found


def way_of(step: str) -> str:
    """Which story a step is of: `out`, `back` or `adopt`. `keep:` ones are of none: done whenever they are needed."""
    before, colon, _ = step.partition(":")
    return before if colon and before in ("back", "adopt", "keep") else "out"

"""One rollout as it is told: its row and the entries of its journal, now or as they were at an earlier moment. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rollout.journal import Entry, Journal
from rollout.phases import PROMOTED
from rollout.rows import Row, Wait
from rollout.summary import LEDGER

PARTS = ("fixed", "remaining", "introduced", "unknown")


@dataclass(frozen=True, slots=True)
class Case:
    """`entries` are empty where the journal was pruned. `wait` is what it waits (or waited) for at that moment."""

    row: Row
    entries: tuple[Entry, ...]
    journal: Journal
    wait: Wait | None = None

    @property
    def original(self) -> str:
        return str(self.row.plan["original"])

    @property
    def replacement(self) -> str:
        return "green" if self.original == "blue" else "blue"

    @property
    def from_image(self) -> str:
        return str(self.row.plan["original_image"])

    @property
    def to_image(self) -> str:
        return ", ".join(sorted({str(image) for image in self.row.plan["patch"]["images"].values()}))

    @property
    def reference(self) -> str:
        return str(self.row.plan["patch"]["reference"])

    @property
    def ref(self) -> str:
        """The ticket that it was opened with."""
        opened = self.journal.last("opened")
        return str(opened.data.get("ref") or "") if opened else ""

    @property
    def ledger(self) -> Mapping[str, Any] | None:
        """The evidence of the latest look at advisories; None where nobody looked."""
        for entry in reversed(self.entries):
            for verdict in entry.data.get("verdicts") or ():
                evidence = verdict.get("evidence") if isinstance(verdict, Mapping) else None
                if isinstance(evidence, Mapping) and set(evidence) >= LEDGER:
                    return evidence
        return None

    @property
    def counts(self) -> dict[str, int] | None:
        """Advisories fixed, remaining, introduced and unknown; None where nobody looked."""
        ledger = self.ledger
        if ledger is None:
            return None
        counted = ledger.get("counts")
        known: Mapping[str, Any] = counted if isinstance(counted, Mapping) else {}
        return {part: _count(known.get(part), ledger[part]) for part in PARTS}

    @property
    def promoted_at(self) -> float | None:
        record = self.journal.record("promote")
        return record.at if record and record.kind == "done" else None

    @property
    def duration_s(self) -> float | None:
        """From the beginning to the end; None while it is open."""
        return None if self.row.closed_at is None else self.row.closed_at - self.row.opened_at

    @property
    def turned_back_at(self) -> float | None:
        """When it was decided; of a decision that waited beside the cards for a store, when it was taken."""
        decision = self.journal.decision
        if decision is None:
            return None
        taken_at = decision.data.get("at")
        return float(taken_at) if isinstance(taken_at, int | float) else decision.at

    @property
    def traffic_moved(self) -> bool:
        """Was any traffic meant to move before it was decided to turn back?"""
        decision = self.journal.decision
        return any(decision is None or entry.seq < decision.seq for entry, _ in self.journal.intended_routes())

    @property
    def back_s(self) -> float | None:
        """Seconds from the decision until traffic was put back; None where none had moved, or it is not back."""
        return self._since_decision("done", "back:swap")

    @property
    def back_within(self) -> bool:
        """Was it found back already (an emergency rollback had done it)? Then `back_s` is the most that it took."""
        intents = self.journal.intents("back:swap")
        seen = intents[-1].data.get("seen") if intents else None
        return isinstance(seen, Mapping) and (seen.get("weights") or {}).get(self.original) == 100

    @property
    def confirmed_s(self) -> float | None:
        """Seconds from the decision until clients were seen to follow."""
        return self._since_decision("ended", "back:observed")

    def _since_decision(self, kind: str, step: str) -> float | None:
        record = self.journal.record(step)
        if self.journal.decision is None or record is None or record.kind != kind or not self.traffic_moved:
            return None
        began = self.turned_back_at
        return None if began is None or record.data.get("outcome") == "failed" else record.at - began


def _count(counted: Any, listed: Any) -> int:
    """As a check counted (its list may be cut), else what it lists."""
    if isinstance(counted, int):
        return counted
    return len(listed) if isinstance(listed, list) else 0


def case_of(row: Row, entries: Sequence[Entry], wait: Wait | None = None) -> Case:
    """As it is now; `wait` is as the store has it."""
    return Case(row, tuple(entries), Journal(entries), wait)


def case_at(row: Row, entries: Sequence[Entry], at: float) -> Case:
    """As it was at a moment: only what had been journalled by then is known."""
    known = tuple(entry for entry in entries if entry.at <= at)
    journal = Journal(known)
    closed = journal.closed
    then = replace(
        row,
        phase=journal.phase,
        outcome=_outcome(journal),
        closed_at=closed.at if closed else None,
        head_seq=journal.head,
        head_hash=known[-1].hash if known else row.head_hash,
    )
    return Case(then, known, journal, None if closed or journal.halt else open_wait(known))


def _outcome(journal: Journal) -> str:
    if journal.closed:
        return str(journal.closed.data.get("outcome", "running"))
    if journal.halt:
        return "halted"
    if journal.decision:
        return "running"
    if journal.phase in PROMOTED:
        return "promoted"
    asked = journal.last("waiting")
    approving = asked is not None and asked.step == "approval" and not journal.record("approval")
    return "waiting_approval" if approving else "running"


def open_wait(entries: Sequence[Entry]) -> Wait | None:
    """The wait that had begun and not ended, with the verdicts that were known."""
    begun: Entry | None = None
    verdicts = dict[str, Any]()
    for entry in entries:
        if entry.kind == "waiting":
            begun, verdicts = entry, {}
        elif entry.kind == "verdict_changed" and begun and entry.step == begun.step:
            told = {"answer": entry.data.get("answer"), "summary": entry.data.get("summary"), "at": entry.at}
            verdicts[str(entry.data.get("check"))] = told
        elif entry.kind in ("roll_back_decided", "adopted", "halted", "closed") or (
            begun and entry.kind == "ended" and entry.step == begun.step
        ):
            begun = None
    if begun is None:
        return None
    state = {**begun.data, "verdicts": verdicts} if verdicts else dict(begun.data)
    return Wait(begun.step, begun.at, begun.data.get("deadline_at"), begun.at, state)

"""The gates of a rollout: what was asked, by which rule, what was answered, and how it was decided. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollout.journal import Entry
from rollout.summary import LEDGER
from rollout.tell.clean import clean
from rollout.tell.moments import lasted

EVIDENCE = 500  # characters of a check's evidence in a report; the journal has the whole of it
CUT_SHORT = ("roll_back_decided", "adopted", "halted", "closed")


@dataclass
class GateTold:
    """One attempt at a gate. `outcome` is open, passed, failed or left (something else ended it)."""

    step: str
    gate: str
    rule: Mapping[str, Any]
    started_at: float
    ended_at: float | None = None
    outcome: str = "open"
    why: str = ""
    verdicts: list[Mapping[str, Any]] = field(default_factory=list)
    changes: list[Entry] = field(default_factory=list)


def gates_of(entries: Iterable[Entry]) -> list[GateTold]:
    """Every attempt, in order; after a halt the same gate may have been tried again."""
    found = list[GateTold]()
    present: GateTold | None = None
    for entry in entries:
        data = entry.data
        if entry.kind == "waiting" and present is not None:  # paused or held meanwhile: it began anew
            present.ended_at, present.outcome, present = entry.at, "left", None
        if entry.kind == "waiting" and "gate" in data:
            present = GateTold(entry.step, str(data["gate"]), data.get("rule") or {}, entry.at)
            found.append(present)
        elif present is None:
            continue
        elif entry.kind == "verdict_changed" and entry.step == present.step:
            present.changes.append(entry)
        elif entry.kind == "ended" and entry.step == present.step:
            present.ended_at, present.outcome = entry.at, str(data.get("outcome"))
            present.why = str(data.get("why") or data.get("reason") or "")
            present.verdicts = [verdict for verdict in data.get("verdicts") or () if isinstance(verdict, Mapping)]
            present = None
        elif entry.kind in CUT_SHORT:
            present.ended_at, present.outcome, present = entry.at, "left", None
    return found


def rule_words(rule: Mapping[str, Any]) -> str:
    """A gate's rule as a sentence."""
    soak = float(rule.get("soak_s") or 0)
    watched = f", with {lasted(soak)} of watched time," if soak else ""
    return (
        f"It is asked every {lasted(rule.get('interval_s'))}. It passes after {_times(rule.get('passes'))} in a row"
        f"{watched} that pass. It fails after {_times(rule.get('failures'))} in a row that fail, after not knowing for "
        f"longer than {lasted(rule.get('unknown_limit_s'))}, or when it has not passed within "
        f"{lasted(rule.get('deadline_s'))}. What fails on both sides alike blocks it, but is not blamed on the patch."
    )


def _times(number: Any) -> str:
    return "1 look" if number == 1 else f"{number} looks"


def side_asked(gate: str, original: str, replacement: str) -> str:
    """The preflight gate is about the side that serves, every other about the patched one."""
    return original if gate == "preflight" else replacement


def verdict_told(verdict: Mapping[str, Any], on: str, beside: str) -> dict[str, Any]:
    """One check's last answer on the side that it was asked about and, where that failed, on the side beside it."""
    other = verdict.get("beside")
    told = {"check": str(verdict.get("check")), "finding": str(verdict.get("finding")), "on": _side(verdict, on)}
    return {**told, "beside": _side(other, beside) if isinstance(other, Mapping) else None}


def _side(verdict: Mapping[str, Any], slot: str) -> dict[str, Any]:
    return {
        "slot": slot,
        "answer": str(verdict.get("answer")),
        "summary": str(verdict.get("summary")),
        "evidence": evidence_told(verdict.get("evidence")),
    }


def evidence_told(evidence: Any) -> str:
    """What a check kept, in short; a ledger of advisories has a place of its own."""
    if not isinstance(evidence, Mapping) or not evidence:
        return ""
    if set(evidence) >= LEDGER:
        return "see the security ledger"
    return clean(json.dumps(evidence, sort_keys=True, ensure_ascii=False, default=str), EVIDENCE)

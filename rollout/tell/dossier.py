"""A report as plain data: all that is known of one rollout from its row, its journal and its rollback card. Pure.

Nothing of it depends on when it is made: the same journal and card are the same data. Times are ISO 8601 in UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rollout.card import Card
from rollout.journal import Entry, first_broken_link
from rollout.tell.case import Case
from rollout.tell.gates import gates_of, rule_words, side_asked, verdict_told
from rollout.tell.ledger import ledger_told
from rollout.tell.moments import utc
from rollout.tell.sentences import story
from rollout.tell.traffic import last_known, marks_of, points_of, swaps_of

VERSION = 1
WRONG = ("roll_back_decided", "halted", "failed", "troubled", "warned", "adopted")


def dossier(case: Case, card: Card | None = None, by_hand: Sequence[str] = ()) -> dict[str, Any]:
    """Everything; `card` only if it is this rollout's, `by_hand` the platform's own commands for what it says."""
    return {
        "report": VERSION,
        "id": case.row.id,
        "service": case.row.service,
        "summary": _summary(case),
        "security": ledger_told(case),
        "plan": _plan(case),
        "timeline": [{"at": utc(at), "text": text} for at, text in story(case.entries)],
        "gates": [_gate(each, case) for each in gates_of(case.entries)],
        "traffic": _traffic(case),
        "wrong": [_wrong(entry) for entry in case.entries if _went_wrong(entry)],
        "way_back": _way_back(case),
        "by_hand": _by_hand(card, by_hand) if card else None,
        "integrity": integrity(case),
    }


def _summary(case: Case) -> dict[str, Any]:
    row, plan = case.row, case.row.plan
    return {
        "outcome": row.outcome,
        "phase": row.phase,
        "opened_at": utc(row.opened_at),
        "promoted_at": _or_none(case.promoted_at),
        "turned_back_at": _or_none(case.turned_back_at),
        "closed_at": _or_none(row.closed_at),
        "duration_s": case.duration_s,
        "actor": row.actor,
        "reason": row.reason,
        "ref": case.ref,
        "approvals": [_approval(entry, case) for entry in case.entries if entry.kind == "approved"],
        "approval_asked": plan.get("approval", "none") != "none",
        "provider": plan["provider"],
        "patch": case.reference,
        "provenance": plan["patch"].get("provenance", {}),
        "original": {"slot": case.original, "images": {"": case.from_image}, "version": plan.get("app_version")},
        "replacement": {"slot": case.replacement, "images": dict(plan["patch"]["images"])},
        "traffic": last_known(case),
        "back_s": case.back_s,
        "back_within": case.back_within,
        "confirmed_s": case.confirmed_s,
        "as_of": {"entry": case.journal.head, "at": utc(case.entries[-1].at) if case.entries else None},
    }


def _or_none(at: float | None) -> str | None:
    return None if at is None else utc(at)


def _approval(entry: Entry, case: Case) -> dict[str, Any]:
    bound = entry.data.get("plan_hash")
    return {
        "by": str(entry.data.get("by", "")),
        "at": utc(entry.at),
        "ref": str(entry.data.get("ref") or ""),
        "of_this_plan": bound == case.row.plan_hash,
    }


def _plan(case: Case) -> dict[str, Any]:
    plan = case.row.plan
    gates = {
        name: {"rule": rule_words(gate["rule"]), "checks": [dict(check) for check in gate["checks"]]}
        for name, gate in sorted(plan["gates"].items())
    }
    kept = ("steps", "capacity", "coexist", "settle_s", "keep_warm_s", "on_rollback", "approval", "deadlines")
    return {
        "hash": case.row.plan_hash,
        **{key: plan.get(key) for key in kept},
        "concerns": [dict(found) for found in plan.get("concerns") or ()],
        "gates": gates,
        "options": plan["service"].get("options", {}),
    }


def _gate(gate: Any, case: Case) -> dict[str, Any]:
    on = side_asked(gate.gate, case.original, case.replacement)
    beside = case.original if on == case.replacement else case.replacement
    return {
        "step": gate.step,
        "gate": gate.gate,
        "on": on,
        "rule": rule_words(gate.rule),
        "started_at": utc(gate.started_at),
        "ended_at": _or_none(gate.ended_at),
        "lasted_s": None if gate.ended_at is None else gate.ended_at - gate.started_at,
        "outcome": gate.outcome,
        "why": gate.why,
        "verdicts": [verdict_told(verdict, on, beside) for verdict in gate.verdicts],
        "changes": [
            {"at": utc(each.at), **{key: str(each.data.get(key, "")) for key in ("check", "answer", "summary")}}
            for each in gate.changes
        ],
    }


def _traffic(case: Case) -> dict[str, Any]:
    began = case.row.opened_at
    points = [
        {
            "at": utc(each.at),
            "after_s": each.at - began,
            "weights": dict(each.weights),
            "how": each.how,
            "step": each.step,
        }
        for each in points_of(case)
    ]
    swaps = [
        {
            "step": each.step,
            "at": utc(each.at),
            "weights": dict(each.weights),
            "write_s": each.write_s,
            "followed_s": each.followed_s,
        }
        for each in swaps_of(case)
    ]
    marks = [{"at": utc(at), "after_s": at - began, "text": text} for at, text in marks_of(case)]
    return {
        "original": case.original,
        "replacement": case.replacement,
        "points": points,
        "swaps": swaps,
        "marks": marks,
    }


def _went_wrong(entry: Entry) -> bool:
    if entry.kind == "closed":
        return bool(entry.data.get("by"))  # not by its own story
    return entry.kind in WRONG or (entry.kind == "ended" and entry.data.get("outcome") in ("failed", "gave_up"))


def _wrong(entry: Entry) -> dict[str, Any]:
    """What happened, and for a decision who took it and what it rested on."""
    data = entry.data
    told = {"at": utc(entry.at), "entry": entry.seq, "kind": entry.kind, "step": entry.step}
    told["reason"] = str(data.get("reason") or data.get("seen") or "")
    if entry.kind in ("roll_back_decided", "halted", "adopted", "closed"):
        by_itself = data.get("kind") == "gate" or entry.kind == "halted"
        told["by"] = str(data.get("actor") or data.get("by") or ("this program" if by_itself else ""))
        told["decision"] = str(data.get("kind") or "")
        told["ref"] = str(data.get("ref") or "")
        told["readiness"] = str(data.get("readiness") or "")
        told["forced"] = bool(data.get("forced"))
        told["image_denied"] = bool(data.get("deny"))
    return told


def _way_back(case: Case) -> dict[str, Any]:
    """As the journal leaves it: whether a time has passed since is the reader's to see."""
    journal = case.journal
    until = (journal.value("promote") or {}).get("valid_until")
    if journal.decision:
        state = "used"
    elif journal.record("window-closed") or journal.closed or journal.adoption:
        state = "over"
    else:
        state = "open" if journal.value("card") else "not written yet"
    command = f"rollout rollback {case.row.service}" if state == "open" else None
    return {"state": state, "until": _or_none(until), "command": command, "to": case.original}


def _by_hand(card: Card, lines: Sequence[str]) -> dict[str, Any]:
    return {
        "provider": card.provider,
        "original": card.original,
        "replacement": card.replacement,
        "weights": card.way_back,
        "capacity": card.capacity,
        "write_timeout_s": card.write_timeout_s,
        "app_version": card.app_version,
        "was_healthy": card.was_healthy,
        "written_at": utc(card.written_at),
        "valid_until": _or_none(card.valid_until),
        "closed": card.closed,
        "target": dict(card.target),
        "commands": [str(line) for line in lines],
    }


def integrity(case: Case) -> dict[str, Any]:
    """Whether the chain of hashes is whole, and where it ends."""
    row, entries = case.row, case.entries
    if row.pruned_at is not None and not entries:
        told = {"state": "pruned", "problem": f"its entries were pruned at {utc(row.pruned_at)}"}
        return {**told, "entries": row.head_seq, "head": row.head_hash}
    problem = first_broken_link(entries)
    head = entries[-1].hash if entries else ""
    if not problem and (len(entries) != row.head_seq or head != row.head_hash):
        problem = f"the journal ends at entry {len(entries)}, its head says {row.head_seq}"
    return {"state": "broken" if problem else "whole", "problem": problem, "entries": len(entries), "head": head}

"""How a rollout stands, or stood: the facts behind `rollout explain`, as plain data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rollout.fleet_journal import FLEET
from rollout.journal import Entry
from rollout.phases import PHASES, PROMOTED
from rollout.rows import Row
from rollout.summary import is_way_back_open
from rollout.tell.ahead import commands, next_by_itself
from rollout.tell.case import Case
from rollout.tell.gates import GateTold, gates_of, rule_words, side_asked, verdict_told
from rollout.tell.moments import lasted
from rollout.tell.sentences import story, who
from rollout.tell.traffic import last_known, most_of

ACTS = {
    "opened": "opened it",
    "approved": "approved it",
    "paused": "paused it",
    "resumed": "let it go on",
    "roll_back_decided": "decided to turn back",
    "adopted": "took what served as it was",
    "warm_ended": "gave the way back up early",
    "halted": "halted it",
    "closed": "closed it",
}
MOVING = ("gate", "waiting", "acting", "rolling_back")
DONE_SHOWN = 12


def situation_of(case: Case) -> str:
    """The one word that all the rest follows from."""
    journal, row = case.journal, case.row
    if row.closed_at is not None:
        by_hand = journal.closed is not None and journal.closed.data.get("by")
        return "closed_by_hand" if by_hand else "adopted" if row.phase == "adopted" else f"closed_{row.outcome}"
    if journal.halt or (not case.entries and row.outcome == "halted"):
        return "halted"
    if journal.adoption:
        return "adopting"
    if journal.decision:
        return "rolling_back"
    if journal.paused:
        return "paused"
    if case.wait and case.wait.step in ("held", "frozen"):
        return case.wait.step
    if row.outcome == "waiting_approval":
        return "waiting_approval"
    if row.phase in PROMOTED:
        return "warm" if row.phase == "warm" else "retiring"
    if case.wait and "gate" in case.wait.state:
        return "gate"
    return "waiting" if case.wait else "acting"


def standing_of(
    case: Case,
    now: float,
    *,
    past: bool = False,
    route: Mapping[str, int] | None = None,
    driver: str | None = None,
    fleet: Sequence[Entry] = (),
) -> dict[str, Any]:
    """All that a person needs to know at `now`, a moment; `past`: it is over, and only the journal speaks.

    `route` is where traffic was read to be; `fleet` what the fleet's own record says up to then.
    """
    traffic = dict(route) if route is not None else last_known(case)
    open_way = is_way_back_open(case.row, case.journal, now) and not case.journal.warm_ended
    situation = situation_of(case)
    if situation == "warm" and not open_way:
        situation = "warm_over"
    gate = _gate(case, situation)
    phase = PHASES.get(case.row.phase)
    limit_s = case.row.plan["deadlines"].get(phase.deadline) if phase and situation in MOVING else None
    return {
        "id": case.row.id,
        "service": case.row.service,
        "at": now,
        "past": past,
        "situation": situation,
        "since": _since(case, situation),
        "phase": case.row.phase,
        "outcome": case.row.outcome,
        "patch": case.reference,
        "original": case.original,
        "replacement": case.replacement,
        "traffic": traffic,
        "traffic_read": "live" if route is not None else "journal",
        "active_slot": most_of(traffic),
        "image": image_of(case, traffic),
        "images": {case.original: case.from_image, case.replacement: case.to_image},
        "why": _why(case, situation),
        "evidence": _evidence(case, situation, gate),
        "gate": {"step": gate.step, "gate": gate.gate, "rule": rule_words(gate.rule)} if gate else None,
        "done": _done(case),
        **next_by_itself(case, situation),
        "undo": phase.undo if phase else "not known to this release",
        "undo_limit_s": limit_s,
        "way_back_open": open_way,
        "commands": [] if past else commands(case, situation, open_way),
        "driven_by": driver,
        "last_actor": last_actor([*case.entries, *fleet]),
        "hold": hold_of(fleet, now),
    }


def image_of(case: Case, traffic: Mapping[str, int] | None) -> str:
    """What most of the traffic meets; before the route was read, what the plan was made against."""
    return case.to_image if most_of(traffic) == case.replacement else case.from_image


def _since(case: Case, situation: str) -> float:
    journal, row = case.journal, case.row
    entry = {
        "halted": journal.halt,
        "adopting": journal.adoption,
        "rolling_back": journal.decision,
        "paused": journal.paused,
    }.get(situation)
    if entry:
        return entry.at
    if row.closed_at is not None:
        return row.closed_at
    if case.wait and situation in ("gate", "waiting", "waiting_approval", "held", "frozen"):
        return case.wait.started_at
    entered = journal.last("entered")
    return entered.at if entered else row.opened_at


def _why(case: Case, situation: str) -> list[str]:
    """The decision, and what it rested on, in sentences."""
    journal, why = case.journal, list[str]()
    if journal.decision:
        data = journal.decision.data
        asked = "it turned back by itself" if data.get("kind") == "gate" else f"{data.get('actor')} had it turned back"
        why.append(f"{asked}: {data.get('reason')}")
        why += [f"the original could serve: {data['readiness']}"] if data.get("readiness") else []
        why += ["it was forced: the original was not seen fit"] if data.get("forced") else []
    if journal.adoption:
        why.append(f"{who(journal.adoption.data)} took what serves as it is: {journal.adoption.data.get('reason')}")
    if journal.closed and journal.closed.data.get("by"):
        why.append(f"{journal.closed.data['by']} closed it: {journal.closed.data.get('reason')}")
    if journal.halt:
        data = journal.halt.data
        why.append(f"it was halted: {data.get('reason')}")
        if data.get("wanted"):
            why.append(f"it should have turned back, but the original could not serve: {data.get('readiness')}")
    if journal.paused and situation == "paused":
        why.append(f"{who(journal.paused.data)} paused it: {journal.paused.data.get('reason') or 'no reason given'}")
    why += [str(entry.data.get("reason")) for entry in journal.warnings.values() if situation == "warm"]
    if journal.trouble and case.row.closed_at is None:
        why.append(f"the platform does not answer well: {journal.trouble.data.get('reason')}; it is asked again")
    if situation == "waiting_approval":
        why.append("its plan asks for a second person's approval before any traffic moves")
    if not why and case.wait and situation != "warm":
        why.append(_waits(case))
    return why or _nothing_wrong(case)


def _waits(case: Case) -> str:
    wait = case.wait
    assert wait is not None  # noqa: S101 - asked for only then
    wanted = str(wait.state.get("for") or f"gate {wait.state.get('gate')}")
    if wait.step == "held":
        return f"{wait.state.get('by')} holds the service: {wait.state.get('reason')}"
    if wait.step == "frozen":
        return f"{wait.state.get('by')} froze it: {wait.state.get('reason')} (rollout freeze list)"
    seen = wait.state.get("seen")
    return f"at {wait.step} it waits for: {wanted}{f'; last seen: {seen}' if seen else ''}"


def _nothing_wrong(case: Case) -> list[str]:
    if not case.entries:
        return ["its journal was pruned; only its summary is known"]
    return ["every gate passed"] if case.promoted_at is not None else ["nothing went wrong so far"]


def _gate(case: Case, situation: str) -> GateTold | None:
    """The gate that this is about: the one being asked, or the one that failed."""
    gates = gates_of(case.entries)
    if situation == "gate" or not gates:
        return gates[-1] if gates and gates[-1].outcome == "open" else None
    turning = case.journal.decision or case.journal.halt
    failed = [gate for gate in gates if gate.outcome == "failed"]
    by_gate = turning is not None and failed and failed[-1].why == turning.data.get("reason")
    return failed[-1] if by_gate else None


def _evidence(case: Case, situation: str, gate: GateTold | None) -> list[dict[str, Any]]:
    """Which check saw what, on both sides."""
    on = side_asked(gate.gate, case.original, case.replacement) if gate else case.replacement
    beside = case.original if on == case.replacement else case.replacement
    source = (
        case.journal.halt
        or case.journal.decision
        or (case.journal.warnings.get("failing") if situation == "warm" else None)
    )
    if source:
        evidence = source.data.get("evidence")
        verdicts = evidence.get("verdicts") if isinstance(evidence, Mapping) else source.data.get("verdicts")
        found = [verdict_told(each, on, beside) for each in verdicts or () if isinstance(each, Mapping)]
        return [each for each in found if each["finding"] != "pass"]
    if case.wait and situation in ("gate", "paused", "held", "frozen", "warm"):
        return [
            {
                "check": str(check),
                "finding": str(told.get("answer")),
                "on": {
                    "slot": on,
                    "answer": str(told.get("answer")),
                    "summary": str(told.get("summary")),
                    "evidence": "",
                },
                "beside": None,
            }
            for check, told in sorted((case.wait.state.get("verdicts") or {}).items())
        ]
    return []


def _done(case: Case) -> list[dict[str, Any]]:
    """What was done since the turn, or in this phase."""
    journal = case.journal
    since = journal.decision or journal.adoption or journal.halt
    begun = since.seq if since else next((e.seq for e in reversed(case.entries) if e.kind == "entered"), 1)
    told: list[dict[str, Any]] = [
        {"at": at, "text": text} for at, text in story(e for e in case.entries if e.seq >= begun)
    ]
    if case.back_s is not None:
        text = f"traffic was back {'within ' if case.back_within else ''}{lasted(case.back_s)} after the decision"
        told.append({"at": (case.turned_back_at or 0.0) + case.back_s, "text": text})
    return sorted(told, key=lambda each: float(each["at"]))[-DONE_SHOWN:]


def last_actor(entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Who last said or decided something, and what."""
    for entry in sorted(entries, key=lambda each: each.at, reverse=True):
        name = who(entry.data)
        if name and (entry.kind in ACTS or entry.rollout == FLEET):
            name = "this program, by itself" if name == "rollout" else name
            return {"who": name, "did": ACTS.get(entry.kind, entry.kind.replace("_", " ")), "at": entry.at}
    return None


def hold_of(fleet: Sequence[Entry], now: float) -> dict[str, Any] | None:
    """The hold that was on the service at a moment, by the fleet's own record."""
    said = [entry for entry in fleet if entry.kind in ("held", "released") and entry.at <= now]
    if not said or said[-1].kind == "released":
        return None
    until = said[-1].data.get("until")
    if until is not None and until <= now:
        return None
    return {"by": who(said[-1].data), "reason": str(said[-1].data.get("reason") or ""), "until": until}


def rollout_at(rows: Sequence[Row], at: float) -> Row | None:
    """Of one service's rollouts, newest first: the one that was open at a moment, or else the last before it."""
    return next((row for row in rows if row.opened_at <= at), None)

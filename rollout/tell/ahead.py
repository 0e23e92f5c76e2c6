"""What comes next by itself and until when, and what a person can do now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.tell.case import Case
from rollout.tell.moments import lasted

WATCHED_WHILE_PAUSED = ("shifting", "baking")


def next_by_itself(case: Case, situation: str) -> dict[str, Any]:
    """`next` in sentences, and `until`: seconds since 1970, None where there is no end to it by itself."""
    tell = {
        "halted": _halted,
        "rolling_back": _rolling_back,
        "paused": _paused,
        "held": _paused,
        "frozen": _paused,
        "waiting_approval": _approval,
        "warm": _warm,
        "gate": _gate,
        "waiting": _waiting,
    }.get(situation)
    said, until = tell(case) if tell else (_PLAIN.get(situation, "nothing: it is over"), None)
    return {"next": said, "until": until}


_PLAIN = {
    "warm_over": "the earlier side is given up as soon as somebody drives it: the time of its way back is over",
    "adopting": "the side without traffic is given up, then it is closed; traffic does not move",
    "retiring": "the earlier side is given up, then it is closed; there is no way back any more",
    "acting": "the next step is done as soon as somebody drives it",
}


def _halted(case: Case) -> tuple[str, None]:
    return "nothing: it stays as it is until a person decides (it still obeys an emergency rollback)", None


def _rolling_back(case: Case) -> tuple[str, float | None]:
    until = case.wait.deadline_at if case.wait else None
    said = f"traffic stays on {case.original}; {case.replacement} is emptied and given up, then it is closed"
    return said, until


def _paused(case: Case) -> tuple[str, None]:
    if case.row.phase in WATCHED_WHILE_PAUSED:
        return (
            f"no further step; {case.replacement} has traffic and is watched: if its live checks fail, it turns back"
        ), None
    return "no further step, until it is let go on", None


def _approval(case: Case) -> tuple[str, float | None]:
    steps = case.row.plan["steps"]
    said = f"once approved, {steps[0]} % of traffic goes to {case.replacement}; not approved in time, it turns back"
    return said, case.wait.deadline_at if case.wait else None


def _warm(case: Case) -> tuple[str, float | None]:
    until = (case.journal.value("promote") or {}).get("valid_until")
    back = "if the live checks fail, it turns back" if case.row.plan.get("rollback_while_warm") else "only told"
    trouble = f"trouble is {back}" if back == "only told" else back
    return f"{case.original} stays ready to take traffic back, then it is given up; meanwhile {trouble}", until


def _gate(case: Case) -> tuple[str, float | None]:
    wait = case.wait
    if wait is None:
        return "the gate is asked again", None
    rule: Mapping[str, Any] = wait.state.get("rule") or {}
    judged: Mapping[str, Any] = wait.state.get("judged") or {}
    lost = float(judged.get("lost_s") or 0) + min(float(judged.get("discarded_s") or 0), float(rule.get("soak_s") or 0))
    deadline = rule.get("deadline_s")
    until = wait.started_at + float(deadline) + lost if deadline is not None else None
    failed = "it is closed, and nothing was changed" if wait.step == "preflight" else _turns_back(case)
    return f"if it passes, {_after(case, wait.step)}; if it fails, {failed}", until


def _turns_back(case: Case) -> str:
    return f"all traffic goes to {case.original} by itself, and the image is denied if a check on it failed"


def _after(case: Case, step: str) -> str:
    """What follows a gate that passed."""
    plan, to = case.row.plan, case.replacement
    if step == "preflight":
        return f"{case.original} is mirrored and the mirror patched"
    if step == "proof":
        asked = "a second person is asked, then " if plan.get("approval", "none") != "none" else ""
        return f"{asked}{plan['steps'][0]} % of traffic goes to {to}"
    if step == "bake":
        return f"{to} is promoted, and {case.original} stays warm for {lasted(plan['keep_warm_s'])}"
    number = int(step.split(":")[1]) if step.startswith("live:") and step.split(":")[1].isdigit() else 0
    if 0 < number < len(plan["steps"]):
        return f"{plan['steps'][number]} % of traffic goes to {to}"
    return f"it bakes: all traffic stays on {to}, and is watched"


def _waiting(case: Case) -> tuple[str, float | None]:
    wait = case.wait
    if wait is None or "until" in wait.state:
        return "time has to pass, then the next step is done", float(wait.state["until"]) if wait else None
    return "when it is met, the next step is done; if not in time, it turns back by itself", wait.deadline_at


def commands(case: Case, situation: str, way_back_open: bool) -> list[dict[str, str]]:
    """What a person can type now, the most useful first."""
    row, found = case.row, list[tuple[str, str]]()
    back = (f"rollout rollback {row.service}", f"put all traffic on {case.original}, now")
    drive = (f"rollout resume {row.id}", "drive it from here, if nobody does")
    abort = (f"rollout abort {row.id} --reason TEXT", "stop it and put everything back")
    if situation == "halted":
        found = [
            (f"rollout resume {row.id}", "go on, once the cause was put right"),
            *([back] if way_back_open else []),
        ]
        if case.journal.halt and case.journal.halt.data.get("wanted"):
            found.append((f"rollout rollback {row.service} --force", f"put traffic on {case.original} all the same"))
        found.append((f"rollout adopt {row.id} --reason TEXT", "take what serves now as it is, and end the rollout"))
    elif situation == "paused":
        found = [(f"rollout resume {row.id}", "let it go on"), *([back] if way_back_open else []), abort]
    elif situation == "held":
        found = [(f"rollout hold {row.service} --release", "let it go on"), *([back] if way_back_open else []), abort]
    elif situation == "frozen":
        who = ("rollout freeze list", "who froze it, why, and until when")
        found = [who, *([back] if way_back_open else []), abort]
    elif situation == "waiting_approval":
        found = [(f"rollout approve {row.id}", "as somebody else than who started it"), abort]
    elif situation == "warm":
        found = [*([back] if way_back_open else [])]
        found += [(f"rollout start {row.service} --end-warm", "patch again, and give this way back up"), drive]
    elif situation in ("gate", "waiting", "acting"):
        found = [*([back] if way_back_open else []), (f"rollout pause {row.id}", "take no further step"), abort]
        found.append(drive)
    elif situation in ("rolling_back", "adopting", "retiring", "warm_over"):
        found = [drive]
    elif situation in ("closed_rolled_back", "closed_aborted"):
        found = [(f"rollout start {row.service} --image REF", "try another image")]
        if case.journal.value("back:deny"):
            found.append((f"rollout deny {row.service} {case.reference} --lift", "allow this image again"))
    found.append((f"rollout report {row.id}", "all of it, with the evidence"))
    return [{"command": command, "does": does} for command, does in found]

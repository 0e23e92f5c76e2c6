"""How a run stands, as plain data: its waves, its services, what each waits for, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rollout import exits
from rollout.campaign.decide import Deed, Wait, soak_ends
from rollout.campaign.heard import Heard
from rollout.campaign.look import decided
from rollout.campaign.model import OVER, SKIPPED, Member, Run, Wave
from rollout.rows import Wait as RolloutWait
from rollout.telling import waiting
from rollout.wiring import Installation

PROGRESS = ("waiting", "moving", "accepted", "failing", "failed", "skipped")


def stand_of(installation: Installation, run: Run, heard: Heard | None = None) -> dict[str, Any]:
    """The run with what it would do next; reads only. `heard`: of whoever asks again and again."""
    members, deeds = decided(installation, run, heard)
    waits = _waits(installation, run) if any(each.is_open for each in members) else {}
    return stand(run, members, deeds, installation.clock.now(), waits)


def stand(
    run: Run, members: Sequence[Member], deeds: Sequence[Deed], now: float, waits: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """`waits`: rollout → what it waits for. Times are seconds since 1970."""
    told = [deed for deed in deeds if isinstance(deed, Wait)]
    own = {deed.service: deed for deed in told if deed.service}
    waves = [_wave(run, wave, members, told, now) for wave in run.plan.waves]
    outcome = outcome_of(run, members)
    return {
        "id": run.id,
        "campaign": run.campaign,
        "state": run.state,
        "outcome": outcome,
        "exit_code": exit_code(run, members, told),
        "said": run.said,
        "said_by": run.said_by,
        "actor": run.actor,
        "reason": run.reason,
        "ref": run.ref,
        "reference": run.plan.reference,
        "images": {pin.key: pin.image for pin in run.plan.pins},
        "plan_hash": run.plan.hash,
        "patch_hash": run.plan.patch_hash,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "counts": _counts(members),
        "unproven_hosts": sum(each.unproven for each in members),
        "extra_instances": sum(each.extra for each in members),
        "waves": waves,
        "services": [_service(each, own.get(each.service), waits or {}) for each in members],
        "next": next_command(run, told),
    }


def _counts(members: Sequence[Member]) -> dict[str, int]:
    counts = dict.fromkeys(PROGRESS, 0)
    for each in members:
        counts[each.progress] += 1
    return counts


def _wave(run: Run, wave: Wave, members: Sequence[Member], told: Sequence[Wait], now: float) -> dict[str, Any]:
    mine = [each for each in members if each.wave == wave.name]
    mark = run.mark(wave.name)
    waits = next((each for each in told if each.wave == wave.name and not each.service), None)
    soaks = soak_ends(mark, wave.limits) if mark.done_at is not None and _is_waited_for(run, wave) else None
    return {
        "name": wave.name,
        "state": _state(mine, mark.done_at is not None, soaks is not None and now < soaks and run.state not in OVER),
        "after": list(wave.after),
        "services": len(mine),
        "counts": _counts(mine),
        "unproven_hosts": sum(each.unproven for each in mine),
        "done_at": mark.done_at,
        "soak_until": soaks,
        "waits": waits.why if waits else None,
        "waits_kind": waits.kind if waits else None,
        "until": waits.until if waits else None,
    }


def _is_waited_for(run: Run, wave: Wave) -> bool:
    return any(wave.name in later.after for later in run.plan.waves)


def _state(members: Sequence[Member], done: bool, soaks: bool) -> str:
    if done:
        return "soaking" if soaks else "done"
    return "waiting" if all(each.progress in ("waiting", "skipped") for each in members) else "running"


def _service(member: Member, wait: Wait | None, waits: Mapping[str, str]) -> dict[str, Any]:
    why = member.why or SKIPPED.get(member.skipped, "")
    if wait is not None:
        why = wait.why
    elif member.rollout and member.is_open:
        why = waits.get(member.rollout, "")
    return {
        "service": member.service,
        "wave": member.wave,
        "progress": member.progress,
        "phase": member.phase,
        "outcome": member.outcome,
        "rollout": member.rollout,
        "hosts": member.hosts,
        "skipped": member.skipped,
        "paused": bool(member.paused),
        "waits": why,
    }


def _waits(installation: Installation, run: Run) -> dict[str, str]:
    """What the rollouts of a run wait for, in words; in one query."""
    query = (
        "SELECT w.rollout, w.step, w.started_at, w.deadline_at, w.due_at, w.state FROM waits w"
        " JOIN campaign_members m ON m.rollout = w.rollout WHERE m.run = ?"
    )
    now = installation.clock.now()
    return {
        found[0]: waiting(RolloutWait(found[1], found[2], found[3], found[4], json.loads(found[5])), now)
        for found in installation.store.db.all(query, run.id)
    }


def is_settled(run: Run, members: Sequence[Member]) -> bool:
    """Nothing more happens to it before a person says something: the end of whoever waits for it."""
    if run.state in OVER:
        return True
    at_rest = all(each.progress != "moving" and _rests(each) for each in members)
    return run.state == "stopped" and at_rest


def _rests(member: Member) -> bool:
    return member.progress != "failing" or member.outcome == "halted"


def outcome_of(run: Run, members: Sequence[Member]) -> str:
    """running, ended (all that was meant is patched), ended_with_failures, incomplete (some could not be), stopped,
    aborted."""
    if run.state not in OVER:
        return "stopped" if run.state == "stopped" else "running"
    if run.state == "aborted":
        return "aborted"
    if any(each.progress in ("failing", "failed") for each in members):
        return "ended_with_failures"
    return "incomplete" if any(_is_left_out(each) for each in members) else "ended"


def _is_left_out(member: Member) -> bool:
    return member.progress == "waiting" or member.skipped in ("denied", "no_way", "too_large")


def exit_code(run: Run, members: Sequence[Member], told: Sequence[Wait] = ()) -> int:
    """By the meanings of rollout/exits.py, as one number for all its services."""
    failing = [each for each in members if each.progress == "failing"]
    if run.state not in (*OVER, "stopped"):
        asked = any(each.kind == "asked" for each in told)
        return exits.APPROVAL_NEEDED if asked else exits.TIMED_OUT
    if failing:
        return exits.PERSON_NEEDED
    if run.state in ("stopped", "aborted") or any(each.progress == "failed" for each in members):
        return exits.ROLLED_BACK
    return exits.PERSON_NEEDED if any(_is_left_out(each) for each in members) else exits.DONE


def next_command(run: Run, told: Sequence[Wait]) -> str | None:
    """What a person may type next; None when nothing is wanted of one."""
    if run.state in ("paused", "stopped"):
        return f"rollout wave resume {run.campaign} --reason TEXT, or rollout wave abort {run.campaign} --reason TEXT"
    if run.state in OVER:
        return None
    if any(each.kind == "asked" for each in told):
        return f"rollout wave go-on {run.campaign}"
    halted = next((each for each in told if each.kind == "halted"), None)
    return halted.why.removeprefix("a person is needed: ") if halted else None

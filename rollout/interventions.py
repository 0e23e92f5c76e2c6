"""A person's word about an open rollout: pause, resume, approve, end the warm time, take it as it is.

Each is judged against the journal that it is written over, in one entry that fences whoever drives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from providers.base import ProviderError
from rollout.actor import same_person
from rollout.control import raise_if_ref_is_missing
from rollout.journal import Journal
from rollout.phases import CLOSED, PROMOTED
from rollout.plan import Plan, capacity_needed
from rollout.rows import Row
from rollout.store import Claimed, HeadMoved
from rollout.wiring import Installation

Judge = Callable[[Row, Journal], str | None]
"""The outcome that is to be told from then on, None to leave it; raises what forbids the word."""


class NotPossible(Exception):
    """The rollout is not where this would mean anything; the message says where it is."""


class NotApprovable(Exception):
    """This approval would mean nothing."""


class NotAdoptable(Exception):
    """What serves now cannot be taken as it is; nothing was changed."""


def pause(installation: Installation, row: Row, actor: str, reason: str, run: str = "") -> None:
    """No further forward step until somebody resumes it; gates, watches and ways back go on. `run`: of a campaign,
    with which it goes on."""

    def judge(now: Row, journal: Journal) -> str | None:
        _raise_if_closed(now)
        if journal.decision or journal.adoption:
            raise NotPossible(f"{now.id} is {now.phase}: a way back is not paused. Look: rollout status {now.id}")
        if journal.paused:
            raise NotPossible(f"{now.id} was paused already by {journal.paused.data['by']}")
        return None

    _say(installation, row, "paused", {"by": actor, "reason": reason, **({"run": run} if run else {})}, judge)


def resume(installation: Installation, row: Row, actor: str) -> bool:
    """Let a halted or paused rollout go on; what had failed is tried again. False: it was neither."""
    needed = True

    def judge(now: Row, journal: Journal) -> str | None:
        nonlocal needed
        needed = not journal.closed and bool(journal.halt or journal.paused)
        if not needed:
            raise _NotNeeded
        if journal.halt is None:
            return None
        return "promoted" if now.phase in PROMOTED else "running"

    try:
        _say(installation, row, "resumed", {"by": actor}, judge)
    except _NotNeeded:
        return False
    return True


class _NotNeeded(Exception):
    pass


def approve(installation: Installation, row: Row, actor: str, ref: str = "") -> None:
    """A second person's word to go on, bound to the plan's hash; NotApprovable for the one who asked."""
    raise_if_ref_is_missing(installation, "approve", ref)

    def judge(now: Row, journal: Journal) -> str | None:
        if now.outcome != "waiting_approval" or journal.decision:
            raise NotApprovable(f"{now.id} does not wait for approval ({now.outcome}, {now.phase})")
        if same_person(actor, now.actor):
            raise NotApprovable(f"{now.id} was started by {now.actor}: somebody else has to approve it")
        return None

    _say(installation, row, "approved", {"by": actor, "ref": ref, "plan_hash": row.plan_hash}, judge)


def end_warm(installation: Installation, row: Row, actor: str) -> None:
    """Give the warm side up before its window ends; the way back to it closes."""

    def judge(now: Row, journal: Journal) -> str | None:
        if now.phase not in PROMOTED or now.phase in CLOSED:
            raise Claimed(now)
        return None

    _say(installation, row, "warm_ended", {"by": actor}, judge)


def close(installation: Installation, row: Row, actor: str, reason: str) -> None:
    """End a rollout whose service is no more."""

    def judge(now: Row, journal: Journal) -> str | None:
        return "promoted" if now.phase in PROMOTED else "aborted"

    _say(installation, row, "closed", {"by": actor, "reason": reason}, judge)


def adopt(
    installation: Installation, row: Row, actor: str, reason: str, *, ref: str = "", force: bool = False
) -> dict[str, int]:
    """End an open rollout by taking what serves now as it is; the route that was adopted.

    All traffic has to be on one side, and that side healthy (`force`: even if it is not). No traffic is moved.
    """
    store = installation.store
    while True:
        now, journal = store.rollout(row.id), Journal(store.entries(row.id))
        _raise_if_closed(now)
        if now.phase in CLOSED:
            raise NotPossible(f"{now.id} is {now.phase}, but its end is not on record yet: rollout resume {now.id}")
        said = {"by": actor, "reason": reason, "ref": ref, **_what_serves(installation, now, journal, force)}
        try:
            store.decide(row.id, journal.head, "adopted", said, installation.clock.now(), outcome="running")
        except HeadMoved:
            continue  # what was read may be over: whoever drives went on meanwhile
        return dict(said["route"])


def _what_serves(installation: Installation, row: Row, journal: Journal, force: bool) -> dict[str, Any]:
    """The side that can be taken, read directly; NotAdoptable where there is none."""
    plan = Plan.from_json(row.plan)
    provider = installation.provider(row.plan["provider"])
    try:
        route = provider.traffic.route(plan.service)
        reading = provider.traffic.observe([plan.service])[plan.service.name]
    except (ProviderError, KeyError) as error:
        raise NotAdoptable(f"the balancer of {row.service} cannot be read ({error}); nothing was changed") from error
    if route.active is None:
        raise NotAdoptable(
            f"{row.service} is served by both slots ({dict(route.weights)}), so there is no one side to take. "
            f"Put traffic back: rollout rollback {row.service}; or go on: rollout resume {row.id}"
        )
    need = capacity_needed(plan, journal)
    healthy = reading.targets[route.active].healthy
    if healthy < need and not force:
        raise NotAdoptable(
            f"{route.active} has all traffic of {row.service}, but only {healthy} of {need} healthy; the other side "
            f"would be given up. Nothing was changed. To take it nevertheless: add --force"
        )
    return {"route": dict(route.weights), "active": route.active, "healthy": healthy, "forced": force}


def _raise_if_closed(row: Row) -> None:
    if row.closed_at is not None:
        raise NotPossible(f"{row.id} is closed already ({row.outcome}); where traffic is: rollout status {row.service}")


def _say(installation: Installation, row: Row, kind: str, data: Mapping[str, Any], judge: Judge) -> None:
    store = installation.store
    while True:
        now, journal = store.rollout(row.id), Journal(store.entries(row.id))
        outcome = judge(now, journal)
        said = {**data, "outcome": outcome} if kind == "closed" else data
        try:
            store.decide(row.id, journal.head, kind, said, installation.clock.now(), outcome=outcome)
            return
        except HeadMoved:
            continue

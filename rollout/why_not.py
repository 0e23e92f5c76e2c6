"""Why a rollout of a service would not begin, or go on, now: every reason, in the order in which they are met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from providers.base import ProviderError
from rollout import control
from rollout.care.restored import is_rollback_only, looks_restored
from rollout.journal import Journal
from rollout.opening import OutsideWindow, freeze_on, opening_of, window_to_begin
from rollout.phases import PROMOTED
from rollout.plan import Plan, UnsafePlan, changes_nothing, raise_if_unsafe, what_blocks
from rollout.rows import Row
from rollout.standstill import turns_back_at
from rollout.telling import waiting
from rollout.wiring import Installation


@dataclass(frozen=True, slots=True)
class Reason:
    """`kind` is one word for programs. `who` and `until` (seconds since 1970) are None where nobody can say; `next` is
    the command that helps, empty where only time does."""

    kind: str
    text: str
    who: str | None = None
    until: float | None = None
    next: str = ""


@dataclass(frozen=True, slots=True)
class WhyNot:
    """`begin` is the command that would begin it now, where there is no reason against it. `campaigns` are sentences on
    those that are to patch it: they keep nobody from beginning it by hand."""

    service: str
    rollout: str | None
    reasons: tuple[Reason, ...]
    begin: str
    campaigns: tuple[str, ...] = ()


def why_not_now(installation: Installation, name: str, image: str | None = None) -> WhyNot:
    """Everything that is in the way now; reads only. UnknownService."""
    settings = installation.service(name)
    if image is None and settings.patch is None:
        image = _image_of_campaigns(installation, name)
    rows = installation.store.rollouts(name, open_only=True)
    row = rows[0] if rows else None
    reasons = [*_of_people(installation, name), *_of_time(installation, name, row)]
    if row:
        reasons += _of_rollout(installation, row)
    reasons += _of_lease(installation, name)
    reasons += _of_store(installation, name)
    if row is None or row.phase in PROMOTED:
        reasons += _of_plan(installation, name, image, closed=any(each.kind in TIME for each in reasons))
    named = f" --image {image}" if image else ""
    begin = f"rollout resume {row.id}" if row else f"rollout start {name}{named}"
    return WhyNot(name, row.id if row else None, tuple(reasons), begin, _campaigns(installation, name))


TIME = ("window", "blackout", "window_closing")


def _of_people(installation: Installation, name: str) -> Iterator[Reason]:
    freeze = freeze_on(installation, name)
    if freeze:
        text = f"frozen ({freeze.scope}): {freeze.reason or 'no reason given'}"
        yield Reason("freeze", text, freeze.actor, freeze.until, f"rollout freeze off {freeze.scope}")
    hold = installation.store.hold(name, installation.clock.now())
    if hold:
        text = f"held: {hold.reason or 'no reason given'}"
        yield Reason("hold", text, hold.actor, hold.until, f"rollout hold {name} --release")


def _of_time(installation: Installation, name: str, row: Row | None) -> Iterator[Reason]:
    """A rollout that is open has its window from when it began."""
    now, opening = installation.clock.now(), opening_of(installation, name)
    if row is not None and row.phase not in PROMOTED:
        write_timeout_s = installation.provider(row.plan["provider"]).write_timeout_s
        journal = Journal(installation.store.entries(row.id))
        at = turns_back_at(Plan.from_json(row.plan), journal, write_timeout_s)
        if at is not None and now >= at:
            yield Reason("window_closing", "its window closes: what is not promoted turns back", None, at)
        return
    if closed := opening.why_closed(now):
        kind = "blackout" if opening.hours.blackout_at(now) else "window"
        span = opening.hours.next_open(now)
        anyway = f"rollout start {name} --outside-window --reason TEXT"
        yield Reason(kind, closed, None, span.opens if span else None, anyway)


def _of_rollout(installation: Installation, row: Row) -> Iterator[Reason]:
    """The rollout that has the claim, and what it waits for itself."""
    store, now = installation.store, installation.clock.now()
    journal = Journal(store.entries(row.id))
    if row.phase in PROMOTED and not journal.halt:
        until = (journal.value("promote") or {}).get("valid_until")
        text = f"{row.id} is {row.phase}: its way back to {row.plan['original']} is kept"
        yield Reason("open_rollout", text, row.actor, until, f"rollout start {row.service} --end-warm")
    else:
        text = f"{row.id} is open ({row.phase})"
        yield Reason("open_rollout", text, row.actor, None, f"rollout status {row.id} --watch")
    if journal.decision:
        text = f"{row.id} turns back: {journal.decision.data['reason']}"
        yield Reason("turning_back", text, str(journal.decision.data["actor"]), None, f"rollout status {row.id}")
    if journal.halt:
        text = f"{row.id} is halted: {journal.halt.data['reason']}"
        yield Reason("halted", text, None, None, f"rollout explain {row.id}, then rollout resume {row.id}")
    if journal.paused:
        said = journal.paused.data
        text = f"{row.id} is paused: {said['reason'] or 'no reason given'}"
        yield Reason("paused", text, str(said["by"]), None, f"rollout resume {row.id}")
    wait = store.wait(row.id)
    if row.outcome == "waiting_approval":
        text, until = f"{row.id} waits for a second person's approval", wait.deadline_at if wait else None
        yield Reason("approval", text, None, until, f"rollout approve {row.id}")
    elif wait and not journal.paused and row.phase not in PROMOTED:
        yield Reason("waiting", f"{row.id} waits: {waiting(wait, now)}", None, wait.deadline_at)
    if store.driver(row.id, now) is None and not journal.halt:
        yield Reason("not_driven", f"nobody drives {row.id}", None, None, f"rollout resume {row.id}, or rollout serve")


def _of_lease(installation: Installation, name: str) -> Iterator[Reason]:
    lease = installation.store.lease(name)
    if lease and lease[1] > installation.clock.now():
        yield Reason("lease", f"{lease[0]} acts on it at this moment", str(lease[0]), lease[1])


def _of_store(installation: Installation, name: str) -> Iterator[Reason]:
    try:
        behind = is_rollback_only(installation.store.db) or looks_restored(installation, name)
    except ProviderError as error:
        behind = f"the platform cannot be read: {error}"
    if behind:
        yield Reason("store_behind", str(behind), None, None, "rollout repair --restored")


def _of_plan(installation: Installation, name: str, image: str | None, *, closed: bool) -> Iterator[Reason]:
    """What a start would find wrong with the plan that it would make."""
    try:
        plan = control.make_plan(installation, name, image)
    except (UnsafePlan, ProviderError) as error:
        named = image or installation.service(name).patch
        yield Reason("plan", str(error), None, None, f"rollout plan {name}{'' if named else ' --image REF'}")
        return
    denied = control.denials(installation, name)
    refused = [f"{found}: {denied[found]}" for found in plan.patch.images.values() if found in denied]
    if refused:
        lift = f"rollout deny {name} {plan.patch.reference} --lift"
        yield Reason("denied", f"{plan.patch.reference} is denied: {'; '.join(refused)}", None, None, lift)
    try:
        raise_if_unsafe(replace(plan, concerns=()), {})
    except UnsafePlan as error:
        yield Reason("plan", str(error), None, None, f"rollout plan {name}")
    if blocked := what_blocks(plan):
        yield Reason("platform", blocked, None, None, "rollout doctor")
    if changes_nothing(plan):
        yield Reason("nothing_to_do", f"{name} runs {plan.patch.reference} already on {plan.original}")
    if not closed:
        try:
            window_to_begin(installation, plan)
        except OutsideWindow as error:
            yield Reason("window", str(error), None, None, f"rollout start {name} --outside-window --reason TEXT")


def _image_of_campaigns(installation: Installation, name: str) -> str | None:
    from rollout.campaign.why import image_of

    return image_of(installation, name)


def _campaigns(installation: Installation, name: str) -> tuple[str, ...]:
    from rollout.campaign.why import reasons

    return tuple(reasons(installation, name, installation.clock.now()))

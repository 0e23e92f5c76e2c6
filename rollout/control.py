"""What the commands do: each is one call here. Nothing is printed, nothing is parsed."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from providers.base import Provider, ProviderError, Service
from rollout.actor import as_identity
from rollout.care.restored import is_rollback_only, looks_restored
from rollout.coexist import raise_if_cannot, raise_if_forbidden
from rollout.decide import Kind, Readiness, decide_roll_back
from rollout.fleet_journal import FleetJournal
from rollout.foreseen import foreseen
from rollout.freeze import Frozen
from rollout.gate import GateRule
from rollout.going_back import as_way_back
from rollout.journal import Journal
from rollout.phases import can_turn_back
from rollout.plan import (
    CheckSpec,
    Gate,
    Plan,
    UnsafePlan,
    changes_nothing,
    choose_original,
    raise_if_blocked,
    raise_if_mixed,
    raise_if_stale,
    raise_if_unsafe,
)
from rollout.rows import Row
from rollout.store import Claimed, HeadMoved, Held
from rollout.wiring import Installation

if TYPE_CHECKING:
    from rollout.database import Transaction
    from rollout.fleetfile.timing import Timing
    from rollout.settings import ServiceSettings

OVERTAKEN = "rollback_overtaken"
"""In the fleet's journal: a person put traffic back, and the rollout was decided over without that word."""


class NothingToDo(Exception):
    """The service runs that image already."""


class StoreBehind(Exception):
    """The store was put back from a backup: nothing begins until a person has looked at it."""


class RefMissing(Exception):
    """The policy wants a reference with this command."""


class UnknownRollout(Exception):
    """No rollout has this id, and no service of this name has one."""


def make_plan(installation: Installation, name: str, image: str | None = None) -> Plan:
    """What a rollout of a service would do, from settings and live state; reads only. UnsafePlan, NotFound."""
    settings = installation.service(name)
    reference = image or (settings.patch.image if settings.patch else None)
    if reference is None:
        raise UnsafePlan(f"{name}: no image was named; say --image REF, or set services.{name}.patch.image")
    provider = installation.provider(settings.provider)
    with provider.at_one_look():
        return _look_and_plan(installation, name, provider, settings, reference)


def _look_and_plan(
    installation: Installation, name: str, provider: Provider, settings: ServiceSettings, reference: str
) -> Plan:
    service = Service(name, dict(settings.options))
    raise_if_forbidden(provider, service, settings, reference)
    raise_if_cannot(provider, service, settings)
    original = choose_original(name, provider.compute.describe(service), provider.traffic.route(service))
    raise_if_mixed(name, original, provider.compute.observe([service]).get(name, ()))
    soak = settings.gate_rule("live", settings.traffic.soak_s)
    bake = settings.gate_rule("live", settings.bake_s)
    deadlines = settings.deadlines
    checks = settings.checks
    plan = Plan(
        service=service,
        provider=settings.provider,
        coexist=settings.coexist,
        patch=provider.patcher.resolve(service, reference),
        original=original.slot,
        original_image=original.image or "",
        original_fingerprint=original.fingerprint,
        app_version=original.app_version,
        capacity=max(original.capacity, original.floor),
        steps=tuple(settings.traffic.steps),
        gates={
            "preflight": _gate(settings.gate_rule("preflight"), checks.preflight),
            "replacement": _gate(settings.gate_rule("replacement"), checks.replacement),
            "live": _gate(soak, checks.live),
            "bake": _gate(bake, checks.live),
        },
        settle_s=settings.settle_s,
        keep_warm_s=settings.keep_warm_s,
        notice_s=installation.fleet.notify.way_back_ending_s,
        rollback_while_warm=settings.rollback_while_warm,
        on_rollback=settings.traffic.on_rollback,
        approval=settings.approval,
        deadlines={
            "preflight": settings.gate_rule("preflight").deadline_s,
            "gate": soak.deadline_s,
            "drain_limit": settings.traffic.drain_limit_s,
            **{key.removesuffix("_s"): value for key, value in deadlines.model_dump().items()},
        },
        made_at=installation.clock.now(),
    )
    return replace(plan, concerns=foreseen(provider, plan))


def _gate(rule: GateRule, checks: Any) -> Gate:
    return Gate(rule, tuple(CheckSpec(check.name, check.label or check.name, dict(check.options)) for check in checks))


class Order(Protocol):
    """What begins rollouts for people, such as a campaign."""

    @property
    def wave(self) -> str:
        """What the plan says that it belongs to."""

    def judge(self, plan: Plan) -> None:
        """What it raises keeps the rollout from being opened."""

    def write(self, db: Transaction, rollout: str) -> None:
        """The same, in the transaction that opens it; it may put on record that it is."""


@dataclass(frozen=True, slots=True)
class Started:
    """`again` True: the same key had opened this rollout before."""

    row: Row
    again: bool


def start(
    installation: Installation,
    name: str,
    *,
    image: str | None,
    saved: Plan | None,
    key: str | None,
    actor: str,
    reason: str,
    ref: str = "",
    outside_window: bool = False,
    also: Timing | None = None,
    order: Order | None = None,
    cold: bool = False,
) -> Started:
    """Claim the service for a plan. Claimed, Held, Frozen, OutsideWindow, UnsafePlan, StalePlan and NothingToDo leave
    everything as it was. `also`: what a campaign demands of the time, besides the service. `order`: for whom it is.
    `cold`: it is a way back (rollout/going_back.py), which no freeze, window, denial or missing reference stops."""
    store = installation.store
    if not cold:
        raise_if_ref_is_missing(installation, "start", ref)
    if key is not None:
        known = [row for row in store.rollouts(name) if row.key == key]
        if known:
            return Started(known[0], True)
    open_already = store.rollouts(name, open_only=True)
    if open_already:
        raise Claimed(open_already[0])
    plan = plan_to_start(installation, name, image, saved, outside_window=outside_window, also=also, cold=cold)
    actor = _as_the_platform_knows(installation.provider(plan.provider), plan.service, actor)
    rollout = new_id(name, installation.clock.now())
    if order:
        order.judge(plan)
        plan = replace(plan, wave=order.wave)
    row = store.open_rollout(
        rollout,
        name,
        plan.to_json(),
        plan.hash,
        at=installation.clock.now(),
        actor=actor,
        reason=reason,
        ref=ref,
        key=key,
        also=(lambda db: order.write(db, rollout)) if order else None,
    )
    return Started(row, False)


def plan_to_start(
    installation: Installation,
    name: str,
    image: str | None,
    saved: Plan | None,
    *,
    outside_window: bool = False,
    also: Timing | None = None,
    cold: bool = False,
) -> Plan:
    """The plan that a start would carry out, if nothing is in its way now; reads only. Raises as `start` does."""
    from rollout.opening import freeze_on, window_to_begin  # calendars: only for what begins

    store = installation.store
    behind = is_rollback_only(store.db) or looks_restored(installation, name)
    if behind:
        raise StoreBehind(behind)
    if not cold and (freeze := freeze_on(installation, name)):
        raise Frozen(name, freeze)
    if hold := store.hold(name, installation.clock.now()):
        raise Held(hold)
    plan = make_plan(installation, name, saved.patch.reference if saved else image)
    if saved:
        raise_if_stale(saved, plan)
        raise_if_blocked(plan)
        plan = saved
    plan = as_way_back(plan) if cold else plan
    raise_if_unsafe(plan, {} if cold else denials(installation, name))
    if changes_nothing(plan):
        raise NothingToDo(f"{name} runs {plan.patch.reference} already on {plan.original}")
    if cold:
        return plan
    return replace(plan, window=window_to_begin(installation, plan, outside=outside_window, also=also))


def _as_the_platform_knows(provider: Provider, service: Service, actor: str) -> str:
    """The actor with his identity there; one that cannot be read keeps nothing from beginning."""
    try:
        return as_identity(actor, provider.caller(service)) if provider.caller else actor
    except ProviderError:
        return actor


def raise_if_ref_is_missing(installation: Installation, command: str, ref: str) -> None:
    """The policy may want a reference, such as a change ticket, with each start or approval; never with a way back."""
    if command in installation.fleet.policy.require_ref and not ref.strip():
        raise RefMissing(f"the policy of {installation.fleet_file} wants a reference here: say --ref TICKET")


def denials(installation: Installation, name: str) -> Mapping[str, str]:
    """Image → why it is denied: for this service, or for all once it failed on enough of them."""
    limit = installation.fleet.policy.deny_after_services
    return {**installation.store.denied_everywhere(limit), **installation.store.denials(name)}


def new_id(service: str, now: float) -> str:
    """Readable and unique: the service, the day, a random end."""
    return f"{service}-{time.strftime('%Y%m%d', time.gmtime(now))}-{uuid.uuid4().hex[:6]}"


def find(installation: Installation, named: str) -> Row:
    """The rollout with this id, or the newest of the service with this name."""
    try:
        return installation.store.rollout(named)
    except KeyError:
        found = installation.store.rollouts(named, limit=1)
    if not found:
        from rollout.fleetfile.problems import nearest  # only here: a name that is right waits for nothing

        if _is_service(installation, named):
            raise UnknownRollout(f"{named} has never been rolled out; begin with: rollout plan {named}")
        newest = installation.store.rollouts(limit=50)
        near = nearest(named, [name for row in newest for name in (row.service, row.id)])
        hint = f" (did you mean {near}?)" if near else ""
        known = ", ".join(row.id for row in newest[:5]) or "none yet"
        raise UnknownRollout(f"there is no rollout {named!r}{hint}; the newest are: {known}")
    return found[0]


def _is_service(installation: Installation, named: str) -> bool:
    try:
        return named in installation.fleet.services
    except Exception:  # a fleet file that is being edited is no answer to this question
        return False


def turn_back(
    installation: Installation, row: Row, kind: Kind, *, reason: str, actor: str, ref: str = "", force: bool = False
) -> Readiness:
    """A person's word: decide the rollback of an open rollout. CannotTurnBack past the point of no return."""
    return decide_roll_back(
        installation.store,
        installation.provider(row.plan["provider"]),
        row.id,
        kind=kind,
        reason=reason,
        actor=actor,
        ref=ref,
        at=installation.clock.now(),
        force=force,
    )


def merge_spool(installation: Installation, said: set[Path] | None = None) -> list[str]:
    """Journal the decisions that the emergency path could not; what was merged, in words. Repeatable, by several.

    What cannot be read stays; it is told once for each `said`, which whoever calls again and again keeps.
    """
    merged, known = [], set() if said is None else said
    for path in sorted((installation.state_dir / "spool").glob("*.json")):
        try:
            told = _merge(installation, path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            told = None
            if path not in known:
                known.add(path)
                merged.append(f"{path} cannot be merged, and stays ({type(error).__name__}: {error})")
        if told:
            merged.append(told)
    return merged


def _merge(installation: Installation, path: Path) -> str | None:
    """Journal one spooled decision: with its rollout if it still means something, else with the fleet, for who said it,
    why and by which ticket is known from nowhere else. None: later, or by whoever has its store."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return None  # another process merged it a moment ago
    if not installation.store.knows(data["rollout"]):
        return None
    row = installation.store.rollout(data["rollout"])
    journal, decided = Journal(installation.store.entries(row.id)), {**data, "spooled": True}
    told = f"merged the rollback that {data['actor']} decided while the store could not be used"
    if any(each.kind == "roll_back_decided" and each.data == decided for each in journal.entries):
        pass  # by one who was killed before the file was away
    elif not journal.decision and not journal.closed and can_turn_back(journal.phase):
        try:
            now = installation.clock.now()
            installation.store.decide(row.id, journal.head, "roll_back_decided", decided, now, outcome="running")
        except HeadMoved:
            return None  # the phase that was judged may be over: judged anew the next time
    else:
        fleet = FleetJournal(installation.store.db)
        if not any(each.kind == OVERTAKEN and each.data == data for each in fleet.entries(subject=row.service)):
            fleet.append(OVERTAKEN, row.service, data, installation.clock.now())
        stands = "turning back" if journal.decision and not journal.closed else journal.phase
        told = (
            f"kept what {data['actor']} decided while the store could not be used, but it is {stands} by now; "
            f"where traffic is: rollout status {row.service}"
        )
    path.unlink(missing_ok=True)
    return f"{row.id}: {told}"


def clear_left_over_mark(installation: Installation, row: Row) -> bool:
    """A closed rollout needs no hold mark; one may be left where the emergency path met its end. True: cleared."""
    if row.closed_at is None:
        return False
    provider = installation.provider(row.plan["provider"])
    service = Service(row.service, dict(row.plan["service"]["options"]))
    mark = provider.traffic.route(service).mark
    if mark is None or mark.rollout != row.id:
        return False
    provider.traffic.mark(service, None, f"{row.id}/left-over-mark/{mark.at}")
    return True

"""What each line of the story does to the world: the domain acts, as data that `run.once` journals and repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from providers.base import (
    SLOTS,
    Conflict,
    Denied,
    Environment,
    Invalid,
    Parts,
    Patch,
    ProviderError,
    Route,
    Slot,
    Transient,
    other,
    plain,
    weights_for,
)
from rollout.card import Card, CardSuperseded
from rollout.decide import was_healthy
from rollout.journal import Entry
from rollout.kept import keep_with_traffic
from rollout.means import Act, Intent
from rollout.run import Run


def owner_tag(run: Run) -> str:
    """What this program leaves on environments that it creates; only these does it ever delete."""
    return owner_tag_of(run.service.name)


def owner_tag_of(service: str) -> str:
    return f"rollout-manager/{service}"


def capture_original(run: Run) -> Act:
    """The serving side as it is now: what every later step and the way back are measured against."""

    def do(intent: Intent) -> dict[str, Any]:
        environments = run.provider.compute.describe(run.service)
        original = run.plan.original
        parts = Parts(route=False, targets=(original,), counters=())
        reading = run.provider.traffic.observe([run.service], parts)[run.service.name]
        return {
            "route": plain(intent.route),
            "environments": {slot: plain(environment) for slot, environment in environments.items()},
            "healthy": reading.targets[original].healthy,
        }

    return Act("capture", "read", do)


def captured(run: Run, slot: Slot) -> Environment:
    return Environment.from_json(run.journal.value("capture")["environments"][slot])


def changes_since_plan(run: Run) -> list[str]:
    """What is no longer as the plan saw it."""
    was, plan = captured(run, run.plan.original), run.plan
    active = Route.from_json(run.journal.value("capture")["route"]).active
    pairs = {
        "active slot": (plan.original, active),
        "image": (plan.original_image, was.image),
        "configuration": (dict(plan.original_fingerprint), dict(was.fingerprint)),
        "application version": (plan.app_version, was.app_version),
    }
    return [f"{name} was {planned}, is {found}" for name, (planned, found) in pairs.items() if planned != found]


def write_card(run: Run, step: str = "card", *, valid_for_s: float | None = None, closed: str = "") -> Act:
    """Write the way back, or write it again: with the capacity that it needs now, and with its end."""

    def args() -> dict[str, Any]:
        now = run.clock.now()
        card = latest_card(run) or first_card(run, now)
        until = now + valid_for_s if valid_for_s is not None else card.valid_until
        return replace(card, capacity=run.need, valid_until=until, closed=closed, epoch=run.epoch).to_json()

    def do(intent: Intent) -> Mapping[str, Any]:
        try:
            run.means.cards.write(Card.from_json(intent.args), begun_by(run))
        except CardSuperseded as error:
            raise Conflict(str(error)) from error
        except OSError as error:
            raise Transient(f"the rollback card cannot be written: {error}") from error
        keep_with_traffic(run, Card.from_json(intent.args), latest_card(run), intent.token)
        return dict(intent.args)

    return Act(step, "create", do, args)


def begun_by(run: Run) -> str:
    """Who began this rollout, and why, for the people who read its card."""
    said = run.journal.entries[0].data if run.journal.entries else {}
    why = ", ".join(str(said[key]) for key in ("reason", "ref") if said.get(key))
    return f"{said.get('actor', '')}{f' ({why})' if why else ''}"


def first_card(run: Run, now: float) -> Card:
    plan = run.plan
    return Card(
        rollout=run.id,
        service=plan.service.name,
        provider=plan.provider,
        original=plan.original,
        replacement=plan.replacement,
        target=run.provider.traffic.card_target(run.service),
        capacity=run.need,
        write_timeout_s=run.provider.write_timeout_s,
        app_version=plan.app_version,
        written_at=now,
        was_healthy=was_healthy(run.journal.value("capture"), plan),
        wave=plan.wave,
    )


def latest_card(run: Run) -> Card | None:
    """The card as it was last written; only cards have a record of when they were."""
    for entry in reversed(run.journal.entries):
        value = entry.data.get("value") if entry.kind == "done" else None
        if isinstance(value, Mapping) and "written_at" in value:
            return Card.from_json(value)
    return None


def mirror_original(run: Run) -> Act:
    plan = run.plan
    return Act(
        "mirror",
        "create",
        lambda intent: run.provider.compute.mirror(
            run.service, plan.original, plan.replacement, plan.patch.image, intent.args["owner"], intent.token
        ),
        lambda: {"image": plan.patch.image, "owner": owner_tag(run)},
    )


def pin(run: Run, step: str, slot: Slot) -> Act:
    """A floor at what is needed now; never a ceiling, and never below what somebody else asked for."""

    def args() -> dict[str, Any]:
        found = run.provider.compute.sizes(run.service)[slot].floor
        return {"slot": slot, "floor": max(found, run.need), "found": found}

    return _set_floor(run, step, slot, args, lambda route, args: args["found"] >= args["floor"])


def pin_again(run: Run, slot: Slot) -> Act:
    """Somebody, or a schedule, lowered a floor that the way back stands on."""
    before = [step for step in run.journal.recorded_steps() if step.startswith("keep:")]
    again = pin(run, f"keep:{len(before) + 1}:{slot}", slot)
    return replace(again, do=lambda intent: again.do(intent) or intent.args)  # told: who lowered it finds it raised


def lowered_floors(run: Run) -> list[Slot]:
    """The slots whose floor is below what both sides must have; none where that cannot be read now."""
    if not run.began_with(3):
        return []
    try:
        found = run.provider.compute.sizes(run.service)
    except ProviderError:
        return []
    return [slot for slot in SLOTS if found[slot].exists and found[slot].floor < run.need]


def has_need_risen(run: Run, number: int) -> bool:
    """Did this step find more capacity than those before it? The journal says so, the same at each telling."""
    before = [run.journal.value(step) for step in ("launch", *(f"grow:{earlier}" for earlier in range(1, number)))]
    known = max(run.plan.capacity, *(int(value["capacity"]) for value in before if value))
    return int(run.journal.value(f"grow:{number}")["capacity"]) > known


def unpin(run: Run, step: str, slot: Slot, floor: int) -> Act:
    """Give the floor its original value back, if what is there is ours."""

    def args() -> dict[str, Any]:
        ours = [entry.data["args"]["floor"] for entry in _last_pins(run, slot)]
        found = run.provider.compute.sizes(run.service)[slot].floor
        return {"slot": slot, "floor": floor, "found": found, "ours": ours}

    return _set_floor(
        run, step, slot, args, lambda route, args: args["found"] not in args["ours"] or args["found"] == args["floor"]
    )


def _last_pins(run: Run, slot: Slot) -> list[Entry]:
    """The last pin of the side that was done, and those meant since: any of them may be what is there."""
    meant = [entry for entry in run.journal.entries if entry.kind == "intended"]
    meant = [entry for entry in meant if entry.step.startswith(("pin:", "keep:"))]
    pins = [entry for entry in meant if entry.data["args"]["slot"] == slot]
    done = {entry.step for entry in run.journal.entries if entry.kind == "done"}
    return [*[pin for pin in pins if pin.step in done][-1:], *[pin for pin in pins if pin.step not in done]]


def _set_floor(
    run: Run,
    step: str,
    slot: Slot,
    args: Callable[[], dict[str, Any]],
    is_done: Callable[[Route, Mapping[str, Any]], bool],
) -> Act:
    def do(intent: Intent) -> None:
        run.provider.compute.set_floor(run.service, slot, intent.args["floor"], intent.token)

    return Act(step, "set", do, args, is_done)


def patch_replacement(run: Run) -> Act:
    def do(intent: Intent) -> dict[str, Any]:
        patch = Patch.from_json(intent.args["patch"])
        applied = run.provider.patcher.apply(run.service, run.plan.replacement, patch, intent.token)
        data: dict[str, Any] = plain(applied)
        return data

    return Act("patch", "create", do, lambda: {"patch": plain(run.plan.patch)})


def reboot_replacement(run: Run) -> Act:
    return Act(
        "reboot",
        "create",
        lambda intent: run.provider.patcher.reboot(run.service, run.plan.replacement, intent.token),
    )


def grow(run: Run, step: str, slot: Slot, *, if_possible: bool = False) -> Act:
    """Capacity of a side up to the larger current need; never down, never a number read before a wait.

    What was asked for and died does not count as had: asking again has it launched anew. `if_possible`: what the
    platform refuses is noted down, and keeps nothing that comes after it from being done.
    """

    def args() -> dict[str, Any]:
        try:
            sizes = run.provider.compute.sizes(run.service)
        except Denied as refused:
            if not if_possible:
                raise
            return {"slot": slot, "refused": str(refused)}
        asked = sizes[slot].capacity
        capacity = max(run.need, sizes[run.plan.original].capacity, asked)
        return {"slot": slot, "capacity": capacity, "had": min(asked, sizes[slot].alive)}

    def do(intent: Intent) -> Mapping[str, Any]:
        try:
            run.provider.compute.scale(run.service, slot, intent.args["capacity"], intent.token)
        except (Invalid, Denied) as refused:
            if not if_possible:
                raise
            return {**intent.args, "refused": str(refused)}
        return intent.args

    return Act(step, "set", do, args, lambda route, args: "refused" in args or args["had"] >= args["capacity"])


def grow_way_back(run: Run, step: str) -> Act:
    """The warm original up to what the replacement has grown to by now; hosts that died are launched anew."""

    def args() -> dict[str, Any]:
        wanted, alive = _way_back_wanted(run)
        return {"slot": run.plan.original, "capacity": wanted, "had": alive}

    def do(intent: Intent) -> Mapping[str, Any]:
        run.provider.compute.scale(run.service, run.plan.original, intent.args["capacity"], intent.token)
        return intent.args

    return Act(step, "set", do, args)


def is_way_back_too_small(run: Run) -> bool:
    """Has the warm original fewer hosts than it needs to take the traffic back?"""
    wanted, alive = _way_back_wanted(run)
    return alive < wanted


def _way_back_wanted(run: Run) -> tuple[int, int]:
    """The capacity that the original must have to serve alone, and the hosts of it that live."""
    sizes = run.provider.compute.sizes(run.service)
    return max(run.need, *(size.capacity for size in sizes.values())), sizes[run.plan.original].alive


def adopted_slots(run: Run) -> tuple[Slot, Slot]:
    """What a person took as it is: the side that serves, and the other."""
    adoption = run.journal.adoption
    assert adoption is not None  # noqa: S101 - the story is told only after it
    serving: Slot = adoption.data["active"]
    return serving, other(serving)


def adopted_at(run: Run) -> float:
    """When a person said so, or that it may go on, or the way back was closed: from then on nobody else writes."""
    closed = run.journal.record("adopt:card")
    said = [entry.at for entry in run.journal.entries if entry.kind in ("adopted", "resumed")]
    return max([*said, *([closed.at] if closed else [])])


def attach(run: Run, step: str, slot: Slot) -> Act:
    """The side becomes a target at the weight that it has; before its first swap that is 0."""

    def do(intent: Intent) -> dict[str, Any]:
        instances = run.provider.compute.observe([run.service])[run.service.name]
        ours = [each for each in instances if each.slot == slot and each.state == "running"]
        run.provider.traffic.attach(run.service, slot, ours, intent.token)
        return {"targets": [each.address for each in ours]}

    return Act(step, "set", do, lambda: {"slot": slot})


def swap(run: Run, step: str, weights: Mapping[Slot, int], *, always: bool = False) -> Act:
    """Move new traffic; the other side is added to before this side is taken from, and no route is ever empty.

    `always` writes what is there already once more: a new revision is what fences a write that is still in flight.
    """
    return Act(
        step,
        "set",
        lambda intent: run.provider.traffic.set_weights(run.service, weights, intent.route, intent.token),
        lambda: {"weights": dict(weights)},
        lambda route, args: not always and dict(route.weights) == args["weights"],
    )


def cut(run: Run, step: str, slot: Slot) -> Act:
    return Act(
        step,
        "set",
        lambda intent: {"closed": run.provider.traffic.cut(run.service, slot, intent.token)},
        lambda: {"slot": slot},
    )


def detach(run: Run, step: str, slot: Slot) -> Act:
    """Take the side out of the route, once no clients follow it any more, whatever was recorded before."""

    def args() -> dict[str, Any]:
        parts = Parts(targets=(), counters=())
        share = run.provider.traffic.observe([run.service], parts)[run.service.name].route.share(slot)
        if share:
            raise Transient(f"clients still send {share} % to {slot}")
        return {"slot": slot}

    return Act(
        step,
        "set",
        lambda intent: run.provider.traffic.detach(run.service, slot, intent.token),
        args,
    )


def give_up(run: Run, step: str, slot: Slot) -> Act:
    """Delete the side if this program created it; park it if it is the user's."""

    def do(intent: Intent) -> dict[str, Any]:
        compute, owner = run.provider.compute, intent.args["owner"]
        present = compute.sizes(run.service)[slot]
        if present.exists and present.owner != owner:
            compute.park(run.service, slot, intent.token)
            return {"parked": True}
        # An absent side may have left something: its mirroring, or its deletion, may have been cut off in the middle.
        deleted = compute.delete_if_owned(run.service, slot, owner, intent.token)
        return {"deleted": deleted} if deleted or present.exists else {"already": True}

    return Act(step, "set", do, lambda: {"slot": slot, "owner": owner_tag(run)})


def clear_mark(run: Run, step: str) -> Act:
    return Act(
        step,
        "set",
        lambda intent: run.provider.traffic.mark(run.service, None, intent.token),
        dict,
        lambda route, args: route.mark is None,
    )


def deny_image(run: Run, step: str) -> Act:
    """Only an image whose check failed is denied; never for unknown, quota, time-out or a person's abort."""

    def do(intent: Intent) -> dict[str, Any]:
        for image in intent.args["images"]:
            run.means.store.deny(run.service.name, image, intent.args["reason"], run.id, run.clock.now())
        return {"denied": intent.args["images"]}

    def args() -> dict[str, Any]:
        decision = run.journal.decision
        reason = decision.data["reason"] if decision else ""
        return {"images": sorted(run.plan.patch.images.values()), "reason": reason[:400]}

    return Act(step, "create", do, args)


def way_back(run: Run) -> dict[Slot, int]:
    return weights_for(run.plan.original, 100)

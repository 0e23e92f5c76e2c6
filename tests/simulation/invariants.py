"""What must hold after every event, each as one small function: "" when it holds, else what is wrong.

Functions are looked up by when they are asked: at any time, when a write begins, at a mutation of the platform, at an
entry of the journal, at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from providers.base import SLOTS, Slot, other
from providers.memory import balancer, views
from providers.memory.model import Mutation
from rollout.journal import GENESIS, Entry, first_broken_link, next_entry
from tests.simulation import heeded

if TYPE_CHECKING:
    from tests.simulation.boundary import Process
    from tests.simulation.world import World


class Violation(BaseException):
    """An invariant does not hold. No `except Exception` of the program may eat it."""

    def __init__(self, name: str, statement: str, what: str) -> None:
        super().__init__(f"{name}: {what} ({statement})")
        self.name, self.statement, self.what = name, statement, what


def check(functions: Sequence[Callable[..., str]], *about: Any) -> None:
    for function in functions:
        if what := function(*about):
            raise Violation(function.__name__, (function.__doc__ or "").split("\n")[0], what)


# ---- at any time ----------------------------------------------------------------------------------------------------


def a_side_with_traffic_has_its_capacity(world: World) -> str:
    """A side of good machines with traffic never has fewer healthy targets than the capacity that was planned."""
    for slot in SLOTS:
        if world.svc.observed[slot] > 0 and _counts(world, slot):
            there = views.answering_count(world.svc, slot)
            if there < _need(world):
                return f"{slot} has {world.svc.observed[slot]} % and {there} of {_need(world)} targets answer"
    return ""


def the_way_back_stays_open(world: World) -> str:
    """The original stands whole behind the balancer until the replacement is promoted and the window closed."""
    if world.plan is None or world.journal.closed or world.journal.adoption or _window_closed(world):
        return ""
    original = world.plan.original
    there = views.answering_count(world.svc, original)
    told = "way_back" in world.journal.warnings  # people know, and it is tried again
    if _counts(world, original) and there < _need(world) and not told:
        return f"{original}, the original, has {there} of {_need(world)} targets in phase {world.journal.phase}"
    return ""


def put_back_stays_put_back(world: World) -> str:
    """After a rollback has said done, traffic never returns to the side that it left."""
    if world.settled_on and world.svc.weights.get(_slot(world.settled_on)) != 100:
        return f"traffic was put back on {world.settled_on} and is now {world.svc.weights}"
    return ""


# ---- when a write begins --------------------------------------------------------------------------------------------


def no_write_begins_under_a_stale_epoch(world: World, process: Process, label: str) -> str:
    """A controller whose epoch was stale when it last recorded something begins no write."""
    current = max(world.owners, default=0)
    if (
        process.epoch != current
        and process.intent_at > world.people.edited_at
        and _fenced_before_intent(world, process)
    ):
        return f"{process.name} begins {label} under epoch {process.epoch}, {current} is current"
    return ""


def no_write_begins_over_a_persons_edit(world: World, process: Process, label: str) -> str:
    """Whoever read the route after a person's edit does not move traffic before a person says so."""
    if label == "traffic.set_weights" and world.people.edit_stands and process.read_at > world.people.edited_at:
        return f"{process.name} moves traffic although a person's edit stands"
    return ""


# ---- at a mutation --------------------------------------------------------------------------------------------------


def intent_comes_first(world: World, mutation: Mutation) -> str:
    """What this program changes was journalled as an intent before, with the same token."""
    if _by_people(mutation) or mutation.token in world.intents:
        return ""
    return f"{mutation.call} took effect without an intent"


def nothing_takes_effect_twice(world: World, mutation: Mutation) -> str:
    """One intent has one effect, and what creates has one effect in the whole rollout."""
    if _by_people(mutation):
        return ""
    earlier = [each for each in world.cloud.mutations if each is not mutation and each.token == mutation.token]
    if earlier:
        return f"{mutation.call} took effect twice under one token"
    creates = ("compute.mirror", "patcher.apply", "patcher.reboot")
    ours = {token for token, intent in world.intents.items() if intent.rollout == world.rollout}
    same = [each for each in world.cloud.mutations if each.call == mutation.call and each.token in ours]
    if mutation.call in creates and len(same) > 1:
        return f"{mutation.call} took effect {len(same)} times"
    return ""


def the_original_is_not_given_up_early(world: World, mutation: Mutation) -> str:
    """The original is detached, parked or deleted only longer than T after its window was closed."""
    gives_up = ("traffic.detach", "compute.park", "compute.delete_if_owned", "compute.mirror", "patcher.apply")
    if world.plan is None or mutation.call not in gives_up or mutation.slot != world.plan.original:
        return ""
    if world.journal.adoption:
        return ""  # heeded.py says which side may be given up then
    closed = world.journal.value("window-closed")
    if closed is None or world.journal.decision:
        return f"{mutation.call} on {mutation.slot} before the window was closed"
    # By the platform's time or by the controllers', whichever is longer: their clock may have been set.
    since = world.noted.get(("done", "window-closed"), mutation.at)
    wait = max(mutation.at + world.clock.offset - closed["valid_until"], mutation.at - since)
    if wait <= world.cloud.write_timeout_s:
        return f"{mutation.call} on {mutation.slot} {wait:.1f} s after the window was closed"
    return ""


def only_our_own_is_deleted(world: World, mutation: Mutation) -> str:
    """Nothing that this program did not create is deleted."""
    if mutation.call == "compute.delete_if_owned" and mutation.slot in world.users:
        return f"{mutation.slot} was the user's"
    return ""


def a_persons_edit_is_kept(world: World, mutation: Mutation) -> str:
    """With compare-and-set no write of ours lands over a person's edit, not even one that was under way."""
    if world.cloud.cas and mutation.call == "traffic.set_weights" and world.people.edit_stands:
        return f"{mutation.effect} over the edit"
    return ""


# ---- at an entry ----------------------------------------------------------------------------------------------------


def only_the_owner_records(world: World, entry: Entry, process: Process | None) -> str:
    """An entry is written by whoever raised the epoch that it carries, and that epoch is the current one."""
    owner, current = world.owners.get(entry.epoch), max(world.owners, default=0)
    if entry.epoch != current or (process is not None and owner != process.name):
        writer = process.name if process else "a person"
        return f"{entry.kind} {entry.step} by {writer} under epoch {entry.epoch} of {owner}; {current} is current"
    return ""


def the_chain_is_whole(world: World, entry: Entry, process: Process | None) -> str:
    """Each entry follows the one before it and matches its own hash."""
    prev = world.journal.entries[-1].hash if world.journal.entries else GENESIS
    again = next_entry(
        entry.rollout,
        world.journal.head + 1,
        prev,
        at=entry.at,
        epoch=entry.epoch,
        kind=entry.kind,
        step=entry.step,
        data=entry.data,
    )
    return "" if (again.hash, again.seq) == (entry.hash, entry.seq) else f"entry {entry.seq} breaks the chain"


def unknown_never_passes(world: World, entry: Entry, process: Process | None) -> str:
    """A gate passes only when every check of its last look passed."""
    if entry.kind != "ended" or entry.data.get("outcome") != "passed":
        return ""
    bad = [each["check"] for each in entry.data["verdicts"] if each["answer"] != "pass"]
    return f"{entry.step} passed with {bad or 'no verdicts'}" if bad or not entry.data["verdicts"] else ""


def declared_is_observed_before_moving_on(world: World, entry: Entry, process: Process | None) -> str:
    """What a step waited for is really there when it is recorded: weights followed, targets answering."""
    if entry.kind != "ended" or entry.data.get("outcome") != "met" or _disturbed(world, process):
        return ""
    if "observed" in entry.step and world.plan:
        share = 0 if entry.step.startswith("back:") else int(entry.step.split(":")[2])
        if world.svc.observed[world.plan.replacement] != share:
            return f"{entry.step}: clients follow {world.svc.observed}"
    if entry.step == "healthy" and world.plan and _counts(world, world.plan.replacement):
        there = views.answering_count(world.svc, world.plan.replacement)
        return f"{there} of {_need(world)} answer" if there < _need(world) else ""
    return ""


def traffic_moves_only_to_a_proven_side(world: World, entry: Entry, process: Process | None) -> str:
    """A forward swap follows a passed proof, an observed route, and a passed live gate for each earlier step."""
    if entry.kind != "intended" or not entry.step.startswith("swap:") or world.plan is None:
        return ""
    number = int(entry.step.split(":")[1])
    earlier = [f"{n}:{percent}" for n, percent in enumerate(world.plan.steps, start=1) if n < number]
    wanted = {
        "proof": "passed",
        **{f"observed:{n}": "met" for n in earlier},
        **{f"live:{n}": "passed" for n in earlier},
    }
    for step, outcome in wanted.items():
        record = world.journal.record(step)
        if record is None or record.data.get("outcome") != outcome:
            return f"{entry.step} without {step} {outcome}"
    return ""


def a_mark_is_obeyed(world: World, entry: Entry, process: Process | None) -> str:
    """No forward step is meant with a hold mark in sight."""
    forward = entry.kind == "intended" and not entry.step.startswith(("back:", "adopt:"))
    return f"{entry.step} was meant under a hold mark" if forward and entry.data["seen"]["mark"] else ""


def nothing_goes_forward_after_turning_back(world: World, entry: Entry, process: Process | None) -> str:
    """After the decision to turn back only steps of the way back are meant."""
    if world.journal.decision and entry.kind == "intended" and not entry.step.startswith("back:"):
        return f"{entry.step} was meant after the decision"
    return ""


def turns_back_only_to_a_side_that_can_serve(world: World, entry: Entry, process: Process | None) -> str:
    """Nobody decides to put traffic on an original that is worse than what serves now."""
    if entry.kind != "roll_back_decided" or entry.data["forced"] or world.plan is None:
        return ""
    original = world.plan.original
    if world.svc.weights[original] == 100 or entry.data["route"] is None:
        return ""
    here, there = (balancer.target_health(world.cloud, world.svc, slot) for slot in (original, other(original)))
    if here.unknown and not here.unhealthy:
        return ""  # not judged: then the word of whoever turns back decides, and that it was seen healthy
    worse = here.healthy == 0 or here.healthy < min(there.healthy, _need(world))
    return f"{here.healthy} healthy on {original}, {there.healthy} beside" if worse else ""


# ---- at the end -----------------------------------------------------------------------------------------------------


def no_lease_and_no_claim_is_left(world: World) -> str:
    """After the end nobody holds the service's lease and no rollout is open."""
    lease = world.store.lease(world.svc.name)
    lease = lease if lease and lease[1] > world.clock.now() else None
    still = [row.id for row in world.store.rollouts(world.svc.name, open_only=True)]
    return f"lease {lease}, open {still}" if lease or still else ""


def no_orphan_is_left(world: World) -> str:
    """An environment that this program created and that does not serve is gone."""
    for slot, side in world.svc.slots.items():
        if side.owner is not None and world.svc.weights[slot] == 0:
            return f"{slot} is ours, serves nothing and is still there"
    return ""


def traffic_ends_on_one_healthy_side(world: World) -> str:
    """Traffic ends on one side, which answers in full, and no hold mark is left."""
    active = next((slot for slot in SLOTS if world.svc.weights[slot] == 100), None)
    if active is None or world.svc.observed != world.svc.weights or world.svc.mark:
        return f"declared {world.svc.weights}, observed {world.svc.observed}, mark {world.svc.mark}"
    there = views.answering_count(world.svc, active)
    return f"{there} of {_need(world)} answer on {active}" if there < _need(world) and _counts(world, active) else ""


def nothing_bad_is_promoted(world: World) -> str:
    """A rollout that ends promoted serves a good image."""
    row = world.store.rollout(world.rollout)
    active = next(slot for slot in SLOTS if world.svc.weights[slot] == 100)
    image = world.svc.slots[active].image
    bad = image is None or not _is_good(world, active)
    if world.journal.adoption or world.people.turned_s is not None:
        return ""  # a person's word, and what turned bad when it was promoted already: heeded.py
    return f"{image.id if image else None} was promoted" if row.outcome == "promoted" and bad else ""


def a_rollback_restores_the_configuration(world: World) -> str:
    """Back on the original, the configuration is what it was, but for the parked contents of a permanent standby."""
    if world.journal.closed is None or world.plan is None or world.svc.weights[world.plan.original] != 100:
        return ""
    was, now = (_comparable(world, found) for found in (world.before, world.cloud.snapshot(world.svc.name)))
    return f"was {was}, is {now}" if was != now else ""


def each_mutation_has_its_record(world: World) -> str:
    """Each change of the platform has one intent, and its step a record or a decision, halt or resume after it."""
    if broken := first_broken_link(world.store.entries(world.rollout)):
        return broken
    said = world.journal.decision or world.journal.adoption
    turned = said.seq if said else 0
    for mutation in world.cloud.mutations:
        intent = world.intents.get(mutation.token)
        if intent is None or intent.rollout != world.rollout:
            continue
        ended = ":warm:" in intent.step and world.journal.record("keep-warm")  # with its window, tending ends anywhere
        if world.journal.record(intent.step) is None and intent.seq > turned and not ended:
            return f"{mutation.call} of step {intent.step} has no record"
    return ""


def _need(world: World) -> int:
    return world.plan.capacity if world.plan else world.scene.capacity


def _slot(name: str) -> Slot:
    return "blue" if name == "blue" else "green"


def _is_good(world: World, slot: Slot) -> bool:
    from tests.simulation.scene import GOOD

    image = world.svc.slots[slot].image
    return image is not None and image.behaviour == GOOD


def _counts(world: World, slot: Slot) -> bool:
    """Is a lack on this side the program's doing? Not with a bad image, and not while lost machines are replaced."""
    good = world.svc.slots[slot].image is None or _is_good(world, slot)
    return good and world.cloud.timeline.now >= world.people.losses_until


def _window_closed(world: World) -> bool:
    return world.journal.value("window-closed") is not None and not world.journal.decision


def _by_people(mutation: Mutation) -> bool:
    return mutation.call.startswith(("emergency.", "by_hand"))


def _disturbed(world: World, process: Process | None) -> bool:
    return process is None or world.people.disturbed_at >= process.read_at


def _fenced_before_intent(world: World, process: Process) -> bool:
    """Was the epoch raised before the process last recorded something? The store should have refused that."""
    return world.raised_at > -1 and process.intent_at > world.raised_at


def _comparable(world: World, snapshot: dict[str, Any]) -> dict[str, Any]:
    assert world.plan
    replacement = snapshot["slots"][world.plan.replacement]
    parked = {key: replacement[key] for key in ("capacity", "floor", "attached")} if replacement else None
    original = {**snapshot["slots"][world.plan.original], **({"capacity": "grown"} if world.people.grew else {})}
    slots = {world.plan.original: original, world.plan.replacement: parked}
    return {"weights": snapshot["weights"], "mark": snapshot["mark"], "slots": slots}


AT_ANY_TIME = (
    a_side_with_traffic_has_its_capacity,
    the_way_back_stays_open,
    put_back_stays_put_back,
    *heeded.AT_ANY_TIME,
)
WHEN_A_WRITE_BEGINS = (no_write_begins_under_a_stale_epoch, no_write_begins_over_a_persons_edit)
AT_A_MUTATION = (
    intent_comes_first,
    nothing_takes_effect_twice,
    the_original_is_not_given_up_early,
    only_our_own_is_deleted,
    a_persons_edit_is_kept,
    *heeded.AT_A_MUTATION,
)
AT_AN_ENTRY = (
    only_the_owner_records,
    the_chain_is_whole,
    unknown_never_passes,
    declared_is_observed_before_moving_on,
    traffic_moves_only_to_a_proven_side,
    a_mark_is_obeyed,
    nothing_goes_forward_after_turning_back,
    turns_back_only_to_a_side_that_can_serve,
    *heeded.AT_AN_ENTRY,
)
AT_THE_END = (
    no_lease_and_no_claim_is_left,
    no_orphan_is_left,
    traffic_ends_on_one_healthy_side,
    nothing_bad_is_promoted,
    a_rollback_restores_the_configuration,
    each_mutation_has_its_record,
)

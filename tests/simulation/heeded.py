"""More of what must hold: that a person's word is heeded, that the warm side is tended, that gates see what they pass.

The same shape as in invariants.py, which asks them: "" when it holds, else what is wrong.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from providers.memory import views
from providers.memory.model import Mutation
from rollout.journal import Entry
from rollout.phases import PROMOTED
from tests.simulation.weather import NOTICED_S

if TYPE_CHECKING:
    from tests.simulation.boundary import Process
    from tests.simulation.world import World

GIVES_UP = ("traffic.detach", "compute.park", "compute.delete_if_owned")


# ---- at any time ----------------------------------------------------------------------------------------------------


def the_warm_way_back_is_tended(world: World) -> str:
    """While warm, a way back that lost hosts, or that what serves has outgrown, is whole again soon."""
    hurt_s, journal = world.people.hurt_s, world.journal
    if hurt_s is None or world.plan is None or world.steady.now() - hurt_s <= NOTICED_S or not _is_tended(world):
        return ""
    if "way_back" in journal.warnings:
        return ""  # people were told that it cannot be done
    wanted = max(world.plan.capacity, *(side.capacity for side in world.svc.slots.values()))
    there = views.answering_count(world.svc, world.plan.original)
    late_s = world.steady.now() - hurt_s
    return f"{there} of {wanted} answer {late_s:.0f} s later, in {journal.phase}" if there < wanted else ""


def _is_tended(world: World) -> bool:
    """Does anybody have to look? Not when the window is over, and not when a person has the word."""
    journal = world.journal
    said = journal.halt or journal.decision or journal.adoption or journal.warm_ended
    promoted = journal.value("promote")
    is_open = promoted is not None and world.clock.now() < promoted["valid_until"]
    return journal.phase == "warm" and not said and is_open


def what_turns_bad_while_warm_is_noticed(world: World) -> str:
    """While warm, a side that serves badly is told of, or put back where the plan says so."""
    turned_s = world.people.turned_s
    if turned_s is None or world.steady.now() - turned_s <= NOTICED_S or not _is_tended(world):
        return ""
    if world.journal.trouble or (not world.scene.rollback_while_warm and "failing" in world.journal.warnings):
        return ""
    return f"it serves badly for {world.steady.now() - turned_s:.0f} s"


# ---- at a mutation --------------------------------------------------------------------------------------------------


def adoption_moves_no_traffic(world: World, mutation: Mutation) -> str:
    """After a person took what serves as it is, nothing that was meant since moves traffic."""
    intent = _meant_since_adoption(world, mutation)
    return f"{mutation.effect} by {intent.step}" if intent and mutation.call == "traffic.set_weights" else ""


def adoption_gives_up_the_other_side_only(world: World, mutation: Mutation) -> str:
    """What a person took is never given up, and the other side only longer than T after their word."""
    adoption = world.journal.adoption
    if adoption is None or mutation.call not in GIVES_UP or _meant_since_adoption(world, mutation) is None:
        return ""
    if mutation.slot == adoption.data["active"]:
        return f"{mutation.call} on {mutation.slot}, which was adopted"
    wait = mutation.at + world.clock.offset - adoption.at
    set_meanwhile = abs(world.clock.offset) > 0
    early = wait <= world.cloud.write_timeout_s and not set_meanwhile
    return f"{mutation.call} on {mutation.slot} {wait:.1f} s after the word" if early else ""


def _meant_since_adoption(world: World, mutation: Mutation) -> Entry | None:
    adoption, intent = world.journal.adoption, world.intents.get(mutation.token)
    if adoption is None or intent is None or intent.rollout != world.rollout:
        return None
    return intent if intent.seq > adoption.seq else None


# ---- at an entry ----------------------------------------------------------------------------------------------------


def a_paused_rollout_begins_nothing_forward(world: World, entry: Entry, process: Process | None) -> str:
    """After `paused` and before `resumed` no forward step is meant, not even once more."""
    paused = world.journal.paused
    if paused is None or not _forward_step(entry):
        return ""
    return f"{entry.step} was meant after entry {paused.seq}, paused"


def a_held_service_begins_nothing_forward(world: World, entry: Entry, process: Process | None) -> str:
    """While a service is held, no job that began since means a forward step."""
    held_at = world.people.held_at
    if held_at is None or process is None or process.job_began < held_at:
        return ""
    return f"{entry.step} was meant while held" if _forward_step(entry) else ""


def a_frozen_service_begins_nothing_forward(world: World, entry: Entry, process: Process | None) -> str:
    """While all is frozen, no job that began since means a forward step."""
    froze_at = world.people.froze_at
    if froze_at is None or process is None or process.job_began < froze_at:
        return ""
    return f"{entry.step} was meant while frozen" if _forward_step(entry) else ""


def a_window_that_closed_lets_nothing_forward(world: World, entry: Entry, process: Process | None) -> str:
    """Once its window closed, what was not promoted takes no step forward; but what may finish does, with traffic."""
    window = world.plan.window if world.plan else None
    if window is None or window.closes_at is None or world.journal.phase in PROMOTED or world.journal.adoption:
        return ""
    may_finish = window.at_end == "finish" and world.journal.intended_routes()
    late_s = entry.at - window.closes_at
    return f"{entry.step} {late_s:.0f} s late" if _forward_step(entry) and late_s >= 0 and not may_finish else ""


def _forward_step(entry: Entry) -> bool:
    """Tending the way back is none."""
    return entry.kind == "intended" and not entry.step.startswith(("back:", "adopt:")) and ":warm:" not in entry.step


def adoption_means_no_traffic(world: World, entry: Entry, process: Process | None) -> str:
    """After a person took what serves as it is, no route is meant any more."""
    meant = world.journal.adoption and entry.kind == "intended" and "weights" in entry.data["args"]
    return f"{entry.step} means {entry.data['args']['weights']}" if meant else ""


def what_was_adopted_is_what_serves(world: World, entry: Entry, process: Process | None) -> str:
    """Nothing is given up over a route that is not the one that the person saw."""
    adoption = world.journal.adoption
    if adoption is None or process is None or not entry.step.startswith("adopt:"):
        return ""
    moved = world.people.edit_stands and process.read_at > world.people.edited_at
    goes_on = entry.kind == "intended" or (entry.kind == "ended" and entry.step == "adopt:quiet")
    return f"{entry.kind} {entry.step} over {world.svc.weights}" if moved and goes_on else ""


def warnings_alternate(world: World, entry: Entry, process: Process | None) -> str:
    """People are told once when a trouble begins, and once when it ends."""
    if entry.kind not in ("warned", "cleared"):
        return ""
    about = entry.data["about"]
    told = about in world.journal.warnings
    return f"{entry.kind} about {about}, told before: {told}" if told == (entry.kind == "warned") else ""


def the_card_tells_what_stands(world: World, entry: Entry, process: Process | None) -> str:
    """Once the warm side was tended, it has what its card says, and its card says what it needs."""
    number = entry.step.removeprefix("card:warm:")
    if entry.kind != "done" or number == entry.step or world.plan is None:
        return ""
    healthy = world.journal.value(f"healthy:warm:{number}")
    began, hurt_s = world.noted.get(("intended", f"grow:warm:{number}"), 0.0), world.people.hurt_s
    if not healthy or not healthy["met"] or hurt_s is None or hurt_s >= began:
        return ""  # once more, then
    told = entry.data["value"]["capacity"]
    there = views.answering_count(world.svc, world.plan.original)
    serving = world.svc.slots[world.plan.replacement].capacity
    if there < told:
        return f"the card says {told}, {there} answer on {world.plan.original}"
    return f"the card says {told}, {serving} serve" if told < serving else ""


def no_gate_passes_on_unobserved_time(world: World, entry: Entry, process: Process | None) -> str:
    """A gate passes only after its soak was really looked at, whatever the clock says."""
    if entry.kind != "ended" or entry.data.get("outcome") != "passed" or world.plan is None:
        return ""
    began = world.noted.get(("waiting", entry.step))
    gate = {"preflight": "preflight", "proof": "replacement", "bake": "bake"}.get(entry.step, "live")
    rule = world.plan.gates[gate].rule
    if began is None or world.frozen_s >= began:
        return ""  # it began before this world was found, or stopped in the middle of a look, which then took so long
    looks = [at for at in world.looks if at >= began]
    close = [after - before for before, after in pairwise(looks)]
    observed_s = sum(gap for gap in close if gap <= 2 * rule.interval_s + world.cloud.write_timeout_s)
    return f"{entry.step}: {observed_s:.1f} of {rule.soak_s} s" if observed_s < rule.soak_s - 0.01 else ""


AT_ANY_TIME = (the_warm_way_back_is_tended, what_turns_bad_while_warm_is_noticed)
AT_A_MUTATION = (adoption_moves_no_traffic, adoption_gives_up_the_other_side_only)
AT_AN_ENTRY = (
    a_paused_rollout_begins_nothing_forward,
    a_held_service_begins_nothing_forward,
    a_frozen_service_begins_nothing_forward,
    a_window_that_closed_lets_nothing_forward,
    adoption_means_no_traffic,
    what_was_adopted_is_what_serves,
    warnings_alternate,
    the_card_tells_what_stands,
    no_gate_passes_on_unobserved_time,
)

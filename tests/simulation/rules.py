"""Each rule that the program keeps, switched off, with runs that have to show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from rollout import acts, bluegreen, decide, gate, run, standstill, vigil
from rollout.decide import Readiness
from rollout.engine import job
from rollout.freeze import STEP as FROZEN
from rollout.journal import Journal
from rollout.rescue import deciding, putting_back
from rollout.rescue.moving import Move
from rollout.run import Run
from rollout.store import Store
from tests.simulation.exhaustive import STORIES, Case, Story, baseline, world_of
from tests.simulation.exhaustive import run as run_case
from tests.simulation.night import Emergency
from tests.simulation.people import edit_by_hand, on_call
from tests.simulation.scene import Scene
from tests.simulation.weather import grow
from tests.simulation.words import adopt
from tests.simulation.world import Outcome, World, simulate

Runs = Callable[[], Iterator[Outcome]]


@dataclass(frozen=True)
class Rule:
    """What is replaced by what, the runs that show it, and the invariants of which one has to fall."""

    owner: Any
    name: str
    instead: Any
    runs: Runs
    caught_by: tuple[str, ...]


@contextmanager
def without(rule: Rule) -> Iterator[None]:
    """The program without that rule."""
    before = getattr(rule.owner, rule.name)
    setattr(rule.owner, rule.name, rule.instead)
    try:
        yield
    finally:
        setattr(rule.owner, rule.name, before)


def calls(story: str, label: str) -> list[int]:
    """At most some twenty of the calls of this name, spread evenly."""
    found = [number for number, (_, made) in enumerate(baseline(story).calls) if made == label]
    return found[:: 1 + len(found) // 20]


def one_case_at(story: str, label: str, what: str) -> Runs:
    return lambda: (run_case(Case(story, number, what)) for number in calls(story, label))


def undisturbed(story: str) -> Runs:
    return lambda: iter([simulate(world_of(STORIES[story]))])


def late_swap_then_on_call() -> Iterator[Outcome]:
    """A forward swap hangs; on-call turns back; the swap lands later, within its time-out."""
    story = Story(Scene(cas=False))
    swaps = [number for number, (_, made) in enumerate(baseline("good").calls) if made == "traffic.set_weights"]
    for number in swaps:
        for late_s in (1.0, 3.0, 4.9):
            world = world_of(story)
            world.boundary.faults[number], world.boundary.late_s = "late", late_s
            world.boundary.before[number + 1] = partial(on_call, world)
            yield simulate(world)


def late_swap_then_emergency() -> Iterator[Outcome]:
    """The same, with the emergency path, which has the store: it is done at once unless it sees that it has to wait."""
    story = Story(Scene(cas=False))
    swaps = [number for number, (_, made) in enumerate(baseline("good").calls) if made == "traffic.set_weights"]
    for number in swaps:
        for late_s in (1.0, 3.0, 4.9):
            for after in (1, 2, 3):
                world = world_of(story)
                world.boundary.faults[number], world.boundary.late_s = "late", late_s
                world.boundary.before[number + after] = Emergency(world, store=True).begin
                yield simulate(world)


def original_sick_then_on_call() -> Iterator[Outcome]:
    """The balancer calls the original unhealthy for a while; on-call asks to roll back meanwhile."""
    world = world_of(STORIES["good"])
    lies = world.cloud.switches.health_lies
    world.people.halts_expected = True
    world.later(15.0, lambda: lies.update({"shop/blue": "unhealthy"}))
    world.later(15.5, lambda: on_call(world))
    world.later(30.0, lies.clear)
    yield simulate(world)


def balancer_forgets() -> Iterator[Outcome]:
    """The balancer says unknown of every target of the replacement from the settling on."""
    world = world_of(STORIES["good"])
    world.later(6.0, lambda: world.cloud.switches.health_lies.update({"shop/green": "unknown"}))
    yield simulate(world)


def emergency_at_the_end() -> Iterator[Outcome]:
    """The emergency path at every call of the last part of a rollout."""
    count = len(baseline("good").calls)
    return (run_case(Case("good", number, "emergency")) for number in range(count - 60, count, 2))


# ---- what replaces the rules ----------------------------------------------------------------------------------------


def _no_guard(self: Run) -> Any:
    return self.provider.traffic.route(self.service)


def _no_hold(self: Run, step: str, wanted: Any, put_back: Any, until_at: float) -> None:
    if not self.recall(step):
        self.note("done", step, {"value": dict(wanted)})


_rest, _note, _finding, _until = Run.rest, Run.note, gate.finding_of, Run.until


def _not_held(self: Move) -> Any:
    return self.thin.read(self.card.target)


def _no_quiet(self: Run, step: str, until_at: float, **more: Any) -> None:
    _rest(self, step, 0.0 if step in ("quiet", "adopt:quiet") else until_at, **more)


def _no_intent(self: Run, kind: str, *rest: Any, **more: Any) -> Any:
    return None if kind == "intended" else _note(self, kind, *rest, **more)


def _always_ready(*_: Any) -> Readiness:
    return Readiness(True, "nobody looked", {"blue": 0, "green": 0})


def _unknown_is_a_pass(asked: Any) -> Any:
    found = _finding(asked)
    return "pass" if found == "unknown" else found


def _everything_passes(rule: Any, state: Any, *_: Any) -> Any:
    return state, "passed", "nobody judged"


def _no_waiting(self: Run, step: str, fact: Any, **_: Any) -> None:
    if not self.recall(step):
        self.end(step, "met", seen="nobody looked")


def _edit_or_emergency() -> Iterator[Outcome]:
    return chain(
        one_case_at("good", "traffic.route", "edit, then abort")(),
        one_case_at("good", "traffic.route", "emergency")(),
    )


def _edit_after_adoption() -> Iterator[Outcome]:
    """A person takes the service as it is; another one edits the route before the other side is given up."""
    for second in (10.0, 12.0):
        world = world_of(STORIES["good"])
        world.later(8.0, partial(adopt, world))
        world.later(second, partial(edit_by_hand, world))
        yield simulate(world)


def _adopted_early() -> Iterator[Outcome]:
    """A person takes what serves, in the middle of the proof."""
    world = world_of(STORIES["good"])
    world.later(8.0, partial(adopt, world))
    yield simulate(world)


def _load_grows() -> Iterator[Outcome]:
    """A host is added to what serves, while warm."""
    world = world_of(Story(Scene(keep_warm_s=300.0)))
    world.later(60.0, partial(grow, world))
    yield simulate(world)


def _told_at_each_look(run: Run, about: str, failed: str, **_: Any) -> None:
    if failed:
        run.note("warned", "keep-warm", {"about": about, "reason": failed})


def _paused_everywhere() -> Iterator[Outcome]:
    return one_case_at("good", "store.append", "pause")()


def _deaf_to_freezes(run: Run) -> Any:
    word = _told(run)
    return None if word and word["step"] == FROZEN else word


def _frozen_everywhere() -> Iterator[Outcome]:
    return one_case_at("good", "store.append", "freeze")()


def _window_closes() -> Iterator[Outcome]:
    """At every second of a rollout."""
    return (
        simulate(world_of(Story(Scene(window_s=float(second)), ends="rolled_back"))) for second in range(20, 140, 8)
    )


_told = vigil.told_to_stand_still

RULES: Mapping[str, Rule] = {
    "route and mark are read before every write": Rule(
        *(Run, "guard", _no_guard, _edit_or_emergency),
        ("a_mark_is_obeyed", "no_write_begins_over_a_persons_edit", "put_back_stays_put_back"),
    ),
    "a rollback reads back until T has passed": Rule(
        Run, "hold", _no_hold, late_swap_then_on_call, ("put_back_stays_put_back",)
    ),
    "the emergency path heeds valid_until": Rule(
        *(putting_back, "raise_if_closed", lambda *_: None, emergency_at_the_end),
        ("a_side_with_traffic_has_its_capacity", "ends_within_a_bound", "halts_only_when_it_must"),
    ),
    "the emergency path waits for a write that may still land": Rule(
        *(deciding, "unanswered", lambda *_, **__: "", late_swap_then_emergency), ("put_back_stays_put_back",)
    ),
    "a way back that nothing fences is watched": Rule(
        *(Move, "hold", _not_held, late_swap_then_emergency), ("put_back_stays_put_back",)
    ),
    "retire waits for a quiet time": Rule(
        Run, "rest", _no_quiet, undisturbed("good"), ("the_original_is_not_given_up_early",)
    ),
    "the original's health is read before the decision": Rule(
        *(decide, "original_can_serve", _always_ready, original_sick_then_on_call),
        ("turns_back_only_to_a_side_that_can_serve",),
    ),
    "the store checks the epoch": Rule(
        Store,
        "_check_epoch",
        lambda *_: None,
        one_case_at("good", "store.append", "frozen"),
        ("only_the_owner_records",),
    ),
    "unknown blocks": Rule(run, "finding_of", _unknown_is_a_pass, balancer_forgets, ("unknown_never_passes",)),
    "a repeat carries the same token": Rule(
        *(Journal, "open_intent", lambda *_: None, one_case_at("good", "compute.mirror", "reply lost")),
        ("nothing_takes_effect_twice",),
    ),
    "intents come first": Rule(Run, "note", _no_intent, undisturbed("good"), ("intent_comes_first",)),
    "after the decision only the way back is told": Rule(
        *(job, "roll_back", bluegreen.roll_out, undisturbed("on-call while warm")),
        ("nothing_goes_forward_after_turning_back", "halts_only_when_it_must", "the_original_is_not_given_up_early"),
    ),
    "gates judge": Rule(
        *(run, "judge", _everything_passes, undisturbed("bad under traffic")),
        ("nothing_bad_is_promoted", "unknown_never_passes", "no_gate_passes_on_unobserved_time"),
    ),
    "a swap is awaited": Rule(
        Run, "until", _no_waiting, undisturbed("good"), ("declared_is_observed_before_moving_on",)
    ),
    "a paused rollout stands still": Rule(
        *(vigil, "stand_still_if_told", lambda _: None, _paused_everywhere),
        ("a_paused_rollout_begins_nothing_forward",),
    ),
    "what cannot be undone in its window is not begun": Rule(
        *(standstill, "turn_back_if_closing", lambda *_, **__: None, _window_closes),
        ("a_window_that_closed_lets_nothing_forward", "ends_within_a_bound"),
    ),
    "a frozen rollout stands still": Rule(
        *(vigil, "told_to_stand_still", _deaf_to_freezes, _frozen_everywhere),
        ("a_frozen_service_begins_nothing_forward",),
    ),
    "the warm side is tended": Rule(
        *(acts, "is_way_back_too_small", lambda _: False, _load_grows),
        ("the_warm_way_back_is_tended",),
    ),
    "warm hosts that die are launched anew": Rule(
        *(acts, "is_way_back_too_small", lambda _: False, undisturbed("warm, hosts die, load grows")),
        ("the_way_back_stays_open",),
    ),
    "the card follows what serves": Rule(
        *(Run, "need", property(lambda self: self.plan.capacity), _load_grows),
        ("the_card_tells_what_stands",),
    ),
    "people are told once": Rule(
        vigil, "_warn", _told_at_each_look, undisturbed("warm, turns bad for a while"), ("warnings_alternate",)
    ),
    "people are told that what serves turned bad": Rule(
        *(vigil, "_warn", lambda *_, **__: None, undisturbed("warm, turns bad for a while")),
        ("what_turns_bad_while_warm_is_noticed",),
    ),
    "after a person took what serves only that is told": Rule(
        *(job, "take_as_is", bluegreen.roll_out, _adopted_early),
        ("adoption_means_no_traffic",),
    ),
    "taking what serves waits for a quiet time": Rule(
        *(Run, "rest", _no_quiet, _adopted_early),
        ("adoption_gives_up_the_other_side_only",),
    ),
    "what was adopted is looked at before the other side is given up": Rule(
        *(Journal, "route_adopted", lambda _: [], _edit_after_adoption),
        ("what_was_adopted_is_what_serves",),
    ),
}


def caught(rule: Rule) -> str:
    """The first invariant that falls without the rule; empty when none does."""
    with without(rule):
        return next((found.violation.name for found in rule.runs() if found.violation), "")


def world_is_sound(runs: Runs) -> str:
    """With all rules the same runs hold every invariant."""
    return next((str(found.violation) for found in runs() if found.violation), "")


__all__ = ["RULES", "Rule", "World", "caught", "world_is_sound"]

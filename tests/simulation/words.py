"""What people say about a rollout that runs: pause it, go on, keep it off the service, take what serves as it is.

Each goes through what the command line calls, with nothing but the store, the clock and the provider behind it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from rollout import interventions
from rollout.freeze import ALL, Freeze, Freezes
from rollout.holds import Busy, Holds, Taken
from rollout.interventions import NotAdoptable, NotPossible
from rollout.rows import Hold
from rollout.wiring import Installation
from tests.simulation.scene import SERVICE

if TYPE_CHECKING:
    from tests.simulation.world import World

PAUSE_S = 40.0
"""Longer than what rests is looked at, and longer than a wave of traffic is watched."""


def installation_of(world: World) -> Installation:
    return cast(
        Installation, SimpleNamespace(store=world.store, clock=world.clock, provider=lambda name: world.provider)
    )


def pause(world: World, for_s: float = PAUSE_S) -> None:
    """`rollout pause`, and `rollout resume` a while later."""
    rollout = world.rollout
    try:
        interventions.pause(installation_of(world), world.store.rollout(rollout), "person", "wait a moment")
    except NotPossible as refused:
        world.tell("person", f"pause: refused: {refused}")
        return
    world.tell("person", "pause")
    world.person_recorded()
    world.later(for_s, lambda: resume(world, rollout))


def resume(world: World, rollout: str) -> None:
    """`rollout resume` of a rollout that may be over by now."""
    if world.rollout == rollout and not world.journal.closed and world.journal.paused:
        world.tell("person", "resume what was paused")
        interventions.resume(installation_of(world), world.store.rollout(rollout), "person")
        world.person_recorded()


def hold(world: World, for_s: float = PAUSE_S) -> None:
    """`rollout hold`, and `--release` a while later; refused while traffic is moved."""
    holds, now = Holds(world.store.db), world.clock.now()
    try:
        holds.put(Hold(SERVICE.name, "pipeline", "an application release", "", now, None))
    except (Busy, Taken) as refused:
        world.tell("person", f"hold: refused: {refused}")
        return
    world.tell("person", "hold")
    world.people.held_at = len(world.boundary.made)
    world.later(for_s, lambda: release(world))


def release(world: World) -> None:
    world.tell("person", "release")
    world.people.held_at = None
    Holds(world.store.db).release(SERVICE.name, "pipeline", "released", world.clock.now())


def freeze(world: World, for_s: float = PAUSE_S) -> None:
    """`rollout freeze on`, at any moment, and `rollout freeze off` a while later."""
    Freezes(world.store.db).put(Freeze(ALL, "person", "a payment is going wrong", "", world.clock.now()))
    world.tell("person", "freeze")
    world.people.froze_at = len(world.boundary.made)
    world.later(for_s, lambda: thaw(world))


def thaw(world: World) -> None:
    world.tell("person", "freeze off")
    world.people.froze_at = None
    Freezes(world.store.db).lift(ALL, "person", "paid", world.clock.now())


def adopt(world: World) -> None:
    """`rollout adopt`: what serves stays, whatever it is."""
    if world.journal.closed:
        return
    try:
        route = interventions.adopt(installation_of(world), world.store.rollout(world.rollout), "person", "as it is")
    except (NotAdoptable, NotPossible) as refused:
        world.tell("person", f"adopt: refused: {refused}")
        return
    world.tell("person", f"adopt {route}")
    world.people.edit_stands, world.settled_on = False, None
    world.people.halts_expected = True  # a write of ours that was under way may move it once more; nobody fights that
    world.person_recorded()

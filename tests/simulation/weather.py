"""What happens to a rollout without anybody wanting it: hosts die, load grows, an image turns bad, clocks are set."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from providers.memory import balancer
from providers.memory.model import ImageBehaviour
from tests.simulation.scene import GOOD, SERVICE

if TYPE_CHECKING:
    from tests.simulation.world import World

NOTICED_S = 130.0
"""Four looks and one thing that goes wrong on the way: then what is wrong while warm is put right, or people know."""
HOUR_S = 3600.0


def warm(world: World) -> bool:
    """Warm, and nobody has done anything to it."""
    said = world.journal.decision or world.journal.adoption or world.people.edit_stands
    return world.journal.phase == "warm" and not said


def lose_a_warm_host(world: World) -> None:
    """It is gone for good; nobody replaces it, unless the scene's platform heals itself."""
    if not warm(world) or world.plan is None:
        return
    world.tell("platform", f"a machine of {world.plan.original} is lost")
    world.people.hurt_s = world.steady.now()
    world.people.losses_until = world.steady.now() + NOTICED_S
    world.cloud.kill(SERVICE, world.plan.original)
    if not world.scene.self_healing:
        side = world.svc.slots[world.plan.original]
        side.instances[:] = [each for each in side.instances if each.state != "failed"]


def grow(world: World) -> None:
    """The platform's autoscaling adds a host to what serves."""
    if not warm(world) or world.plan is None:
        return
    serving = world.plan.replacement
    world.people.hurt_s, world.people.grew = world.steady.now(), True
    world.people.losses_until = max(world.people.losses_until, world.steady.now() + 6.0)  # until it is launched
    world.cloud.edit_by_hand(SERVICE, capacity={serving: world.svc.slots[serving].capacity + 1})
    for instance in world.svc.slots[serving].instances:
        instance.registered = True  # by the platform itself, as it does where it scales


def turn(world: World, behaviour: ImageBehaviour) -> None:
    """The replacement's hosts behave otherwise from now on: a slow leak, a full disk, a dependency that is gone."""
    if not warm(world) or world.plan is None:
        return
    side = world.svc.slots[world.plan.replacement]
    balancer.accrue(world.svc, world.steady.now())
    assert side.image
    side.image = replace(side.image, behaviour=behaviour)
    for instance in side.instances:
        instance.image = side.image
    world.people.turned_s = world.steady.now() if behaviour != GOOD else None
    world.tell("platform", f"{side.name} turns {'bad' if behaviour != GOOD else 'good again'}")


def turn_bad(world: World) -> None:
    turn(world, ImageBehaviour(error_share_live=0.2))


def turn_good(world: World) -> None:
    turn(world, GOOD)


def set_clock(world: World, by_s: float) -> None:
    """The controllers' clock is set; who serves notices, and looks at everything that is open again."""
    world.tell("clock", f"set {by_s:+.0f} s")
    world.people.halts_expected = True  # a way back whose deadline has passed all at once is left to a person
    world.clock.offset += by_s
    world.woken_late = True
    world.store.wake_all(world.clock.now())


def second_driver(world: World) -> None:
    """Another process comes along and drives, too: one job, in the middle of whatever the first one does."""
    if not world.journal.closed:
        world.rival()

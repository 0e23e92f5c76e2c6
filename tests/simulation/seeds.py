"""Runs drawn by lot: a seed decides the configuration, the patches, the faults and what people do, and repeats it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from providers.base import SLOTS
from tests.simulation.boundary import FAULTS
from tests.simulation.night import Emergency
from tests.simulation.people import approve, edit_by_hand, end_warm, on_call
from tests.simulation.scene import IMAGES, SERVICE, Scene
from tests.simulation.weather import (
    HOUR_S,
    grow,
    lose_a_warm_host,
    second_driver,
    set_clock,
    turn_bad,
    turn_good,
)
from tests.simulation.words import adopt, freeze, hold, pause
from tests.simulation.world import Outcome, World, simulate

CALLS = 500  # about what two rollouts make
SECONDS = 150.0


def scene_of(random: Random) -> Scene:
    bad = [name for name in IMAGES if not name.startswith(("good", "base"))]
    first = random.choice(["good", "good", random.choice(bad)])
    return Scene(
        images=random.choice([(first,), (first, "good-again"), (first, random.choice(bad))]),
        capacity=random.randint(1, 4),
        permanent=random.random() < 0.5,
        cas=random.random() < 0.5,
        on_rollback=random.choice(["drain", "cut"]),
        steps=random.choice([(20, 100), (100,), (10, 50, 100), (50, 100)]),
        keep_warm_s=random.choice([5.0, 40.0, 40.0, 200.0]),
        end_warm=random.random() < 0.3,
        approval=random.choice(["none", "none", "required"]),
        drift=random.random() < 0.1,
        reboot=random.random() < 0.2,
        provably_dead=random.random() < 0.5,
        cloud_seed=random.randrange(1 << 16),
        self_healing=random.random() < 0.7,
        rollback_while_warm=random.random() < 0.3,
        window_s=random.choice([None, None, None, random.uniform(20.0, 200.0)]),
        at_end=random.choice(["turn_back", "finish"]),
    )


def _faults(world: World, random: Random) -> None:
    """Some faults at single calls, perhaps a bad hour in which many calls fail."""
    kinds = sorted({fault for faults in FAULTS.values() for fault in faults} - {"denied"})
    for _ in range(random.choice([0, 1, 2, 3, 6, 20])):
        world.boundary.faults[random.randrange(CALLS)] = random.choice(kinds)
    if random.random() < 0.2:
        begin, share = random.randrange(CALLS), random.uniform(0.1, 0.8)
        bad = {number: random.choice(kinds) for number in range(begin, begin + 40) if random.random() < share}
        world.boundary.faults.update(bad)
    if random.random() < 0.15:
        world.boundary.faults[random.randrange(CALLS)] = "denied"
        world.people.halts_expected = True
    world.boundary.late_s = random.choice([0.5, 2.0, 4.9, 5.0])
    if len(world.boundary.faults) > 1:
        world.people.halts_expected = True  # several faults may leave a way back that only a person can finish


def _lose_machines(world: World, random: Random) -> None:
    slot = random.choice(SLOTS)
    if not world.scene.self_healing:
        lose_a_warm_host(world)
    elif any(instance.state == "running" for instance in world.svc.slots[slot].instances):
        world.tell("platform", f"a machine of {slot} is lost")
        world.people.losses_until = world.steady.now() + 6.0
        world.people.halts_expected = True
        world.cloud.kill(SERVICE, slot)


def _people(world: World, random: Random) -> None:
    acts: list[Callable[[], None]] = [
        lambda: on_call(world),
        lambda: on_call(world, "abort"),
        lambda: Emergency(world, store=random.randrange(2) == 0).begin(),
        lambda: edit_by_hand(world),
        lambda: _lose_machines(world, random),
    ]
    said: list[Callable[[], None]] = [
        lambda: pause(world, random.uniform(5, 120)),
        lambda: hold(world, random.uniform(5, 120)),
        lambda: freeze(world, random.uniform(5, 300)),
        lambda: adopt(world),
        lambda: second_driver(world),
        lambda: set_clock(world, random.choice([-1, 1]) * random.choice([30.0, 600.0, HOUR_S])),
        lambda: grow(world),
        lambda: turn_bad(world),
        lambda: turn_good(world),
        lambda: lose_a_warm_host(world),
    ]
    for _ in range(random.choice([0, 0, 1, 1, 2, 3])):
        act = random.choice(random.choice([acts, said]))
        if random.random() < 0.5:
            world.boundary.before[random.randrange(CALLS)] = act
        else:
            world.later(random.uniform(0, SECONDS), act)
    for number in range(12):
        if world.scene.end_warm:
            world.later(23.0 + 15 * number, lambda: end_warm(world))
        if world.scene.approval != "none" and random.random() < 0.9:
            world.later(20.0 * (number + 1), lambda: approve(world))


def world_of(seed: int) -> World:
    random = Random(seed)
    world = World(scene_of(random), on_halt=random.choice(["abort", "resume"]))
    world.tell("seed", f"{seed}: {world.scene}")
    _faults(world, random)
    _people(world, random)
    return world


def run_seed(seed: int) -> Outcome:
    return simulate(world_of(seed))

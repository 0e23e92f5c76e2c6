"""What people do to a running rollout: on-call through the store, edits by hand, going on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.base import Slot, weights_for
from rollout.decide import CannotTurnBack, decide_roll_back
from tests.simulation.invariants import Violation
from tests.simulation.scene import SERVICE
from tests.simulation.words import adopt

if TYPE_CHECKING:
    from tests.simulation.world import World

HAND_WEIGHTS: tuple[Slot, int] = ("blue", 70)


def on_call(world: World, kind: Any = "rollback") -> None:
    """`rollout rollback` (or abort) while the store can be reached."""
    if world.journal.closed:
        return
    world.tell("person", kind)
    try:
        ready = decide_roll_back(
            world.store,
            world.provider,
            world.rollout,
            kind=kind,
            reason=f"{kind} by a person",
            actor="person",
            at=world.clock.now(),
        )
    except CannotTurnBack as refused:
        world.tell("person", f"{kind}: refused: {refused}")
        return
    world.people.halts_expected |= not ready.go
    before = world.journal.head
    world.person_recorded()
    if world.journal.head > before and ready.go:
        world.people.edit_stands = False


def end_warm(world: World) -> None:
    """`--end-warm`: the way back is given up early."""
    if world.journal.phase == "warm" and not world.journal.closed and not world.journal.decision:
        world.tell("person", "end warm")
        data = {"actor": "person", "reason": "end warm"}
        world.store.decide(world.rollout, world.journal.head, "warm_ended", data, world.clock.now())
        world.person_recorded()


def approve(world: World) -> None:
    if not world.journal.closed:
        world.store.decide(world.rollout, world.journal.head, "approved", {"by": "person"}, world.clock.now())
        world.person_recorded()


def edit_by_hand(world: World) -> None:
    """A person moves traffic in the platform's own console, where both sides can take it."""
    svc = world.svc
    need = world.plan.capacity if world.plan else 1
    if not all(side.attached for side in svc.slots.values()) or min(world.cloud.healthy(SERVICE).values()) < need:
        return
    world.tell("person", "edits the route by hand: blue 70, green 30")
    world.people.edited_at, world.people.edit_stands = len(world.boundary.made), True
    world.people.halts_expected, world.settled_on = True, None
    world.cloud.edit_by_hand(SERVICE, weights=weights_for(*HAND_WEIGHTS))


class Rescue:
    """The person who comes when a rollout is halted."""

    def __init__(self, world: World) -> None:
        self.world, self.came = world, 0

    def person_comes(self) -> None:
        world, self.came = self.world, self.came + 1
        if not world.people.halts_expected:
            why = world.journal.halt.data["reason"] if world.journal.halt else "nothing is due"
            raise Violation("halts_only_when_it_must", "A single fault never needs a person.", why)
        if self.came > 6:
            raise Violation("ends_within_a_bound", "Every run ends.", "a person came six times in vain")
        if world.people.edit_stands and world.on_halt == "abort":
            on_call(world, "abort")
            if not world.people.edit_stands:
                return
        if world.people.edit_stands:
            self._undo_edit()
        elif self._took_another_side():
            return
        self._resume()

    def _took_another_side(self) -> bool:
        """After a person's word a write of ours that was under way, or the emergency path, moved traffic."""
        world, adoption = self.world, self.world.journal.adoption
        if adoption is None or dict(world.svc.weights) == adoption.data["route"]:
            return False
        if any(share == 100 for share in world.svc.weights.values()):
            adopt(world)
            return True
        world.tell("person", "puts the route where it was taken")
        taken = adoption.data["route"]
        world.cloud.edit_by_hand(SERVICE, weights={"blue": taken["blue"], "green": taken["green"]})
        return False

    def _undo_edit(self) -> None:
        """Put the route where the rollout left it."""
        world = self.world
        assert world.plan
        world.people.edit_stands = False
        ours = [w for e, w in world.journal.intended_routes() if world.journal.record(e.step)]
        weights = weights_for(world.plan.original, 100)
        if world.journal.adoption:
            weights = weights_for(world.journal.adoption.data["active"], 100)
        elif ours and not world.journal.decision:
            weights = {"blue": ours[-1]["blue"], "green": ours[-1]["green"]}
        world.tell("person", "undoes the edit")
        world.cloud.edit_by_hand(SERVICE, weights=weights)

    def _resume(self) -> None:
        world = self.world
        world.clock.sleep(5.0)  # a look at the dashboards
        world.cloud.catch_up()
        world.tell("person", "resume")
        data = {"actor": "person", "reason": "looked at it"}
        world.store.decide(world.rollout, world.journal.head, "resumed", data, world.clock.now(), outcome="running")
        world.person_recorded()

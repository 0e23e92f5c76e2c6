"""A person takes what serves as it is: the rollout ends, traffic never moves, and nothing of others is deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import ProviderError, Service
from providers.memory.clock import VirtualClock
from rollout import adoption, control, interventions
from rollout.card import Card
from rollout.decide import CannotTurnBack, decide_roll_back
from rollout.engine.job import advance
from rollout.fleet_journal import FleetJournal
from rollout.interventions import NotAdoptable, NotPossible
from rollout.journal import first_broken_link
from rollout.plan import Plan
from rollout.rescue.asked import Asked
from rollout.rescue.clock import REAL
from rollout.rescue.deciding import decide, raise_if_closed
from rollout.rescue.told import Refusal, Told
from rollout.rows import Row
from rollout.store import NEVER, Claimed, LeaseHeld, Store
from rollout.wiring import Installation
from tests.core.interrupting import dies_at, jobs
from tests.core.scene import FLEET, HOLDER, RIVAL, ROLLOUT, SHOP, World, a_plan
from tests.core.test_paused import Live, fleet, gate_wait

T = 5.0
"""The simulated cloud's write time-out."""


def adopt(world: World, **more: Any) -> dict[str, int]:
    """A person says: as it is."""
    return interventions.adopt(fleet(world), world.row, "me@desk", "it is right so", **more)


def traffic_moves(world: World) -> int:
    """How often anybody of ours moved traffic."""
    return len(world.mutations("traffic.set_weights"))


def at_wait(step: str) -> Any:
    """Until this is waited for."""

    def waits(world: World) -> bool:
        wait = world.store.wait(ROLLOUT)
        return wait is not None and wait.step == step

    return waits


WITH_ORIGINAL = [
    ("preflight", at_wait("preflight")),
    ("running", at_wait("running")),
    ("healthy", at_wait("healthy")),
    ("settle", at_wait("settle")),
    ("proof", at_wait("proof")),
]
WITH_REPLACEMENT = [
    ("live", at_wait("live:2:100")),
    ("bake", at_wait("bake")),
    ("keep-warm", at_wait("keep-warm")),
    ("quiet", at_wait("quiet")),
]


# Every phase, either side


@pytest.mark.parametrize(("where", "until"), WITH_ORIGINAL, ids=[each[0] for each in WITH_ORIGINAL])
def test_taking_the_original_gives_the_replacement_up(tmp_path: Path, where: str, until: Any) -> None:
    """A rollout that nobody wants any more can only be ended by writing traffic once more."""
    world = World(tmp_path)
    world.drive(until)
    assert adopt(world) == {"blue": 100, "green": 0}
    row = world.drive()
    assert (row.phase, row.outcome, row.due_at) == ("adopted", "aborted", NEVER)
    assert traffic_moves(world) == 0 and world.weights == {"blue": 100, "green": 0}
    environments = world.provider.compute.describe(SHOP)
    assert not environments["green"].exists
    assert (environments["blue"].floor, environments["blue"].capacity) == (0, 2)
    card = world.cards.read("shop")
    assert card is None or card.closed == "adopted"
    assert first_broken_link(world.journal.entries) == ""
    assert world.store.denials("shop") == {}, "nothing was proven against the image"


@pytest.mark.parametrize(("where", "until"), WITH_REPLACEMENT, ids=[each[0] for each in WITH_REPLACEMENT])
def test_taking_the_replacement_gives_the_original_up(tmp_path: Path, where: str, until: Any) -> None:
    """A patch that everybody is content with waits for its window before the next may begin."""
    world = World(tmp_path)
    world.drive(until)
    moves = traffic_moves(world)
    assert adopt(world) == {"blue": 0, "green": 100}
    row = world.drive()
    assert (row.phase, row.outcome) == ("adopted", "promoted")
    assert traffic_moves(world) == moves and world.weights == {"blue": 0, "green": 100}
    environments = world.provider.compute.describe(SHOP)
    assert environments["blue"].capacity == 0 and environments["green"].floor == 0
    assert environments["green"].capacity == 2 and world.cloud.healthy("shop")["green"] == 2
    card = world.cards.read("shop")
    assert card is not None and card.closed == "adopted"


def test_a_side_that_is_not_ours_is_parked_never_deleted(tmp_path: Path) -> None:
    """The user's own environment is deleted because somebody adopted the other one."""
    world = World(tmp_path)
    world.drive(at_wait("bake"))
    assert world.provider.compute.describe(SHOP)["blue"].owner is None
    adopt(world)
    world.drive()
    blue = world.provider.compute.describe(SHOP)["blue"]
    assert blue.exists and blue.capacity == 0
    assert world.journal.value("adopt:give-up") == {"parked": True}


def test_the_next_rollout_begins_from_what_was_taken(world: World) -> None:
    """After an adoption the service can never be patched again."""
    world.drive(at_wait("bake"))
    adopt(world)
    world.drive()
    patch = replace(world.plan.patch, images={"memory": "base-3"})
    world.open(a_plan(original="green", original_image="base-2", patch=patch), "shop-2")
    for _ in range(400):
        row = world.store.rollout("shop-2")
        if row.due_at >= NEVER:
            break
        world.passes(max(0.0, row.due_at - world.clock.now()))
        advance("shop-2", world.means, HOLDER)
    assert (row.phase, row.outcome) == ("retired", "promoted") and world.weights == {"blue": 100, "green": 0}


def test_a_paused_and_a_waiting_rollout_can_be_taken(tmp_path: Path) -> None:
    """A rollout that stands still can only be ended after it was let go on."""
    world = World(tmp_path, a_plan(approval="required"))
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    interventions.pause(fleet(world), world.row, "me", "wait")
    jobs(world, 60)
    adopt(world)
    assert world.row.outcome == "running"
    assert world.drive().outcome == "aborted"


def test_a_halted_rollout_can_be_taken(world: World) -> None:
    """Somebody put things right by hand, and the rollout has no end but over their work."""
    world.drive(gate_wait("live:1:50"))
    world.edit(100)
    assert world.drive().outcome == "halted"
    adopt(world)
    assert world.drive().outcome == "promoted" and world.weights == {"blue": 0, "green": 100}


def test_a_rollback_that_halted_can_be_taken(tmp_path: Path) -> None:
    """A rollback that cannot be finished has no end at all."""
    world = World(tmp_path)
    world.drive(gate_wait("live:1:50"))
    now = world.clock.now()
    decide_roll_back(world.store, world.provider, ROLLOUT, kind="abort", reason="no", actor="me", at=now)
    world.cloud.switches.fail["compute.delete_if_owned"] = "denied"
    assert world.drive().outcome == "halted"
    adopt(world)
    world.cloud.switches.fail.clear()
    row = world.drive()
    assert (row.phase, row.outcome) == ("adopted", "aborted")
    assert not world.provider.compute.describe(SHOP)["green"].exists


# Refused


def unchanged(world: World, before: int) -> bool:
    """Was nothing written?"""
    return len(world.journal.entries) == before and world.journal.adoption is None


def test_split_traffic_is_refused(world: World) -> None:
    """Half of the users lose their side."""
    world.drive(gate_wait("live:1:50"))
    before = len(world.journal.entries)
    with pytest.raises(NotAdoptable, match="served by both slots") as refused:
        adopt(world, force=True)
    assert f"rollout resume {ROLLOUT}" in str(refused.value) and "rollout rollback shop" in str(refused.value)
    assert unchanged(world, before)
    assert world.drive().outcome == "promoted", "and it goes on as if nothing had been said"


def test_a_sick_side_is_refused_unless_forced(world: World) -> None:
    """The healthy side is given up because nobody looked at the other."""
    world.drive(at_wait("bake"))
    world.cloud.switches.health_lies["shop/green"] = "unhealthy"
    before = len(world.journal.entries)
    with pytest.raises(NotAdoptable, match=r"only 0 of 2 healthy.*--force"):
        adopt(world)
    assert unchanged(world, before)
    adopt(world, force=True)
    adopted = world.journal.adoption
    assert adopted is not None and adopted.data["forced"] is True and adopted.data["healthy"] == 0
    assert world.drive().phase == "adopted"


def test_a_balancer_that_cannot_be_read_is_no_ground_to_adopt(world: World) -> None:
    """A side is given up by somebody who could not see what serves."""
    world.drive(at_wait("bake"))
    before = len(world.journal.entries)
    world.cloud.switches.fail["traffic.observe"] = "transient"
    with pytest.raises(NotAdoptable, match="cannot be read"):
        adopt(world, force=True)
    assert unchanged(world, before)


def test_a_closed_rollout_is_refused(world: World) -> None:
    """A person's word is written behind the end of a journal."""
    world.drive()
    before = len(world.journal.entries)
    with pytest.raises(NotPossible, match="is closed already"):
        adopt(world)
    assert unchanged(world, before)


# Others move meanwhile


def test_a_late_write_of_whoever_drove_before_is_waited_for(world: World) -> None:
    """The side that was given up gets half of the traffic from a write that was still on its way."""
    world.drive(at_wait("proof"))
    world.cloud.switches.late["traffic.set_weights"] = T - 1
    world.drive(lambda world: bool(world.journal.intents("swap:1:50")))
    adopt(world)
    world.cloud.switches.late.clear()
    row = world.drive()
    assert row.outcome == "halted" and world.weights == {"blue": 50, "green": 50}
    assert "someone else changed the route" in world.entries("halted")[-1].data["reason"]
    assert world.provider.compute.describe(SHOP)["green"].capacity == 2, "both sides stand"
    assert world.journal.open_intent("adopt:detach") is None


def test_nothing_is_given_up_before_every_write_has_landed(world: World) -> None:
    """The standby is detached while a write onto it is on its way."""
    world.drive(at_wait("bake"))
    adopt(world)
    said_at = world.clock.now()
    world.drive(lambda world: bool(world.journal.intents("adopt:detach")))
    closed = world.journal.record("adopt:card")
    assert closed is not None and closed.at >= said_at
    assert world.clock.now() >= closed.at + 2 * T, "whoever read the open card has written by then"


def test_a_route_that_changed_between_look_and_word_halts(world: World) -> None:
    """A swap that came between is taken for what the person saw."""
    world.drive(at_wait("bake"))
    real = world.store.decide

    def decide(*arguments: Any, **more: Any) -> Any:
        world.edit(0)
        return real(*arguments, **more)

    world.store.decide = decide  # type: ignore[method-assign]
    adopt(world)
    world.store.decide = real  # type: ignore[method-assign]
    assert world.drive().outcome == "halted" and world.weights == {"blue": 100, "green": 0}
    assert world.provider.compute.describe(SHOP)["blue"].capacity == 2


@pytest.mark.parametrize("green", [0, 40])
def test_a_foreign_edit_after_the_word_halts(world: World, green: int) -> None:
    """Traffic is moved back by hand, onto a side that is deleted a moment later."""
    world.drive(at_wait("bake"))
    adopt(world)
    world.edit(green)
    assert world.drive().outcome == "halted" and world.weights["green"] == green
    assert world.provider.compute.describe(SHOP)["blue"].capacity == 2


def test_after_a_halt_it_is_taken_anew_as_it_is_then(world: World) -> None:
    """An adoption that met a hand edit can never be ended, or gives up the side that serves now."""
    world.drive(at_wait("bake"))
    adopt(world)
    world.edit(0)
    world.drive()
    assert adopt(world) == {"blue": 100, "green": 0}
    again_at = world.clock.now()
    row = world.drive()
    assert (row.phase, row.outcome) == ("adopted", "aborted")
    assert world.weights == {"blue": 100, "green": 0} and world.cloud.healthy("shop")["blue"] == 2
    assert not world.provider.compute.describe(SHOP)["green"].exists
    detached = world.entries("done")
    assert [entry.at >= again_at + 2 * T for entry in detached if entry.step == "adopt:detach"] == [True]


def test_what_was_done_to_the_other_side_is_done_again_after_a_second_word(world: World) -> None:
    """The first word gave one side up half-way, the second the other: what was left is taken for done."""
    world.drive(at_wait("proof"))
    adopt(world)
    world.cloud.switches.fail["compute.delete_if_owned"] = "denied"
    assert world.drive().outcome == "halted" and world.journal.record("adopt:detach") is not None
    world.cloud.switches.fail.clear()
    mine = [each for each in world.provider.compute.observe([SHOP])["shop"] if each.slot == "green"]
    world.provider.traffic.attach(SHOP, "green", mine, "t-by-hand")
    world.passes(3)
    world.edit(100)
    assert adopt(world) == {"blue": 0, "green": 100}
    assert world.drive().outcome == "promoted"
    assert world.provider.compute.describe(SHOP)["blue"].capacity == 0 and world.cloud.healthy("shop")["green"] == 2
    assert [each.slot for each in world.mutations("traffic.detach")] == ["green", "blue"]


def test_a_pause_after_the_word_is_refused(world: World) -> None:
    """Half of the clean-up is kept standing by a pause that means nothing."""
    world.drive(at_wait("bake"))
    adopt(world)
    with pytest.raises(NotPossible, match="a way back is not paused"):
        interventions.pause(fleet(world), world.row, "me", "")
    assert world.drive().outcome == "promoted"


def test_a_sick_side_after_the_word_is_the_persons_word(tmp_path: Path) -> None:
    """A gate overrules the person who said: as it is."""
    live = Live()
    world = World(tmp_path, ask=live)
    world.drive(at_wait("bake"))
    adopt(world)
    live.answer = "fail"
    assert world.drive().outcome == "promoted" and world.weights == {"blue": 0, "green": 100}


def test_a_mark_that_was_there_is_cleared(world: World) -> None:
    """The next rollout is refused because of the mark of one that is over."""
    world.drive(at_wait("bake"))
    adopt(world)
    world.mark()
    assert world.drive().outcome == "promoted"
    assert world.cloud.snapshot("shop")["mark"] is None


@pytest.mark.parametrize("kind", ["abort", "rollback", "interrupt"])
def test_no_turning_back_after_the_word(world: World, kind: Any) -> None:
    """An abort after the adoption sends traffic onto a side that is being given up."""
    world.drive(at_wait("bake"))
    adopt(world)
    jobs(world, 1)
    now, before = world.clock.now(), len(world.journal.entries)
    with pytest.raises(CannotTurnBack, match="me@desk took what serves as it is"):
        decide_roll_back(world.store, world.provider, ROLLOUT, kind=kind, reason="x", actor="me", at=now)
    assert len(world.journal.entries) == before


def test_the_emergency_path_refuses_after_the_word_and_touches_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At night traffic is put back on a side that is being deleted."""
    world.drive(at_wait("bake"))
    read_before = world.cards.read("shop")
    assert read_before is not None
    adopt(world)
    with pytest.raises(Refusal, match="a person took what serves as it is"):
        decide_by_emergency(world, read_before, tmp_path, monkeypatch)
    jobs(world, 1)
    card = world.cards.read("shop")
    assert card is not None
    with pytest.raises(Refusal, match="a person took what serves as it is"):
        raise_if_closed(card, world.clock.now())
    assert world.drive().outcome == "promoted" and traffic_moves(world) == 2


def decide_by_emergency(world: World, card: Card, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """The on-call command, which had read the card a moment before."""
    monkeypatch.setattr("rollout.rescue.deciding.open_store", lambda fleet_file: Store(world.store.path, create=False))
    seen = {"weights": dict(world.weights)}
    return decide(card, folder / "fleet.yaml", Told(), seen, Asked(), "", REAL).epoch


# Killed on the way


WRITES = ("append", "save_wait", "take_lease", "release_lease")


@pytest.mark.parametrize("where", ["proof", "bake"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_anywhere_it_goes_on(tmp_path: Path, where: str, after: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash in the middle of tidying up leaves a service that belongs to nobody."""
    for call in range(1, 100):
        (folder := tmp_path / str(call)).mkdir()
        world = World(folder)
        world.drive(at_wait(where))
        adopt(world)
        weights, moves = dict(world.weights), traffic_moves(world)
        if not dies_at(world, monkeypatch, WRITES, call, world.drive, after=after):
            break
        world.passes(11)
        row = driven(world)
        assert row.phase == "adopted" and dict(world.weights) == weights and traffic_moves(world) == moves
        assert world.provider.compute.describe(SHOP)["green" if where == "proof" else "blue"].capacity == 0
        results = [entry.step for entry in world.journal.entries if entry.kind in ("done", "ended", "failed")]
        assert len(results) == len(set(results)) and first_broken_link(world.journal.entries) == ""
        world.store.close()
    assert call > 15


def driven(world: World) -> Row:
    """To the end by another process, which may have to wait for the lease of the dead one."""
    while world.row.closed_at is None:
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        try:
            world.job(RIVAL)
        except LeaseHeld as held:
            world.passes(held.expires_in_s)
    return world.row


# A store that was lost


def lost(folder: Path, until: Any = None) -> tuple[Installation, str]:
    """A fleet whose store is new while a rollout of the old one is under way; and that rollout's id."""
    (folder / "fleet.yaml").write_text(FLEET)
    made = Installation(folder / "fleet.yaml", VirtualClock())
    row = control.start(made, "shop", image=None, saved=None, key=None, actor="me", reason="").row
    means = made.means("memory")
    while not (until or phase_of("baking"))(made.store.rollout(row.id)):
        now = made.store.rollout(row.id)
        made.clock.sleep(max(0.0, now.due_at - made.clock.now()))
        advance(row.id, means, HOLDER)
    path = made.store_path
    made.store.close()
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()
    made._store = None
    return made, row.id


def phase_of(phase: str) -> Any:
    """Until it has come so far."""
    return lambda row: row.phase == phase


def cloud_of(made: Installation) -> Any:
    """The simulated cloud below an installation."""
    return made.provider("memory").compute._cloud  # type: ignore[attr-defined]


def mark_by_hand(made: Installation, rollout: str) -> None:
    """The hold mark that an emergency rollback had left."""
    from providers.base import HoldMark

    mark = HoldMark(rollout, 9, "green", "oncall", made.clock.now(), "bad")
    cloud_of(made).edit_by_hand("shop", mark=mark)


@pytest.mark.parametrize("times", [1, 2])
def test_a_service_whose_rollout_nobody_knows_any_more_is_free_again(tmp_path: Path, times: int) -> None:
    """After a lost store the service can never be patched again."""
    made, rollout = lost(tmp_path)
    mark_by_hand(made, rollout)
    for _ in range(times):
        done = adoption.adopt_service(made, "shop", "me@desk", "the store was lost")
    assert done["active"] == "green"
    provider = made.provider("memory")
    service = Service("shop")
    assert provider.traffic.route(service).mark is None
    assert dict(provider.traffic.route(service).weights) == {"blue": 0, "green": 100}
    card = made.cards.read("shop")
    assert card is not None and card.rollout == rollout and card.closed == "adopted"
    assert provider.compute.describe(service)["blue"].exists, "it was not ours"
    kinds = [entry.kind for entry in FleetJournal(made.store.db).entries(subject="shop")]
    assert kinds == ["adopting", "adopted"] * times
    assert first_broken_link(FleetJournal(made.store.db).entries()) == ""
    assert made.store.lease("shop") is None
    started = control.start(made, "shop", image="base-1", saved=None, key=None, actor="me", reason="")
    assert started.row.phase == "opened" and Plan.from_json(started.row.plan).original == "green"


def test_what_carries_our_tag_is_given_up(tmp_path: Path) -> None:
    """A mirror that nobody remembers runs for ever."""
    made, _ = lost(tmp_path, phase_of("proving"))
    done = adoption.adopt_service(made, "shop", "me", "the store was lost")
    assert (done["active"], done["removed"]) == ("blue", "green")
    assert not made.provider("memory").compute.describe(Service("shop"))["green"].exists


def test_split_or_sick_services_are_refused(tmp_path: Path) -> None:
    """A side with traffic is deleted after a store was lost."""
    made, _ = lost(tmp_path, phase_of("shifting"))
    cloud = cloud_of(made)
    cloud.edit_by_hand("shop", weights={"blue": 50, "green": 50})
    with pytest.raises(NotAdoptable, match="served by both slots"):
        adoption.adopt_service(made, "shop", "me", "x", force=True)
    cloud.edit_by_hand("shop", weights={"blue": 0, "green": 100})
    cloud.switches.health_lies["shop/green"] = "unhealthy"
    with pytest.raises(NotAdoptable, match="no healthy target"):
        adoption.adopt_service(made, "shop", "me", "x")
    assert FleetJournal(made.store.db).entries() == []
    assert made.provider("memory").compute.describe(Service("shop"))["blue"].capacity == 2


def test_the_card_is_closed_and_every_write_has_landed_before_anything_is_given_up(tmp_path: Path) -> None:
    """The on-call engineer goes back by the card alone, onto a side that is deleted a moment later."""
    made, _ = lost(tmp_path, phase_of("proving"))
    seen = list[tuple[str, float]]()
    cloud = cloud_of(made)
    began = made.clock.now()

    def note(now: float) -> None:
        card = made.cards.read("shop")
        seen.append((card.closed if card else "", now - began))

    cloud.watchers.append(note)
    adoption.adopt_service(made, "shop", "me", "x")
    assert seen and all(closed == "adopted" and after_s >= 2 * T for closed, after_s in seen)


def test_traffic_that_moves_while_it_is_adopted_is_left_alone(tmp_path: Path) -> None:
    """The last write of a dead controller lands on the side that is deleted."""
    made, _ = lost(tmp_path, phase_of("proving"))
    cloud = cloud_of(made)
    cloud.timeline.after(T, lambda: cloud.edit_by_hand("shop", weights={"blue": 50, "green": 50}))
    with pytest.raises(NotAdoptable, match="was moved meanwhile"):
        adoption.adopt_service(made, "shop", "me", "x")
    assert made.provider("memory").compute.describe(Service("shop"))["green"].capacity == 2
    assert made.store.lease("shop") is None


def test_a_card_that_cannot_be_read_does_not_block_for_ever(tmp_path: Path) -> None:
    """The disk that lost the store damaged the card as well."""
    made, _ = lost(tmp_path)
    made.cards.path("shop").write_text("{half")
    adoption.adopt_service(made, "shop", "me", "x")
    assert made.cards.read("shop") is None


def test_an_open_rollout_is_ended_by_its_own_adoption(tmp_path: Path) -> None:
    """A known rollout is pulled away from below whoever drives it."""
    made, _ = lost(tmp_path)
    made.store.open_rollout("shop-9", "shop", {"provider": "memory"}, "h", at=made.clock.now(), actor="me")
    with pytest.raises(Claimed, match="shop-9"):
        adoption.adopt_service(made, "shop", "me", "x")


def test_a_rollout_that_begins_in_the_same_moment_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The card and the mirror of a rollout that was just begun are taken for leftovers."""
    made, _ = lost(tmp_path)
    real = Store.take_lease

    def overtaken(store: Store, *arguments: Any, **more: Any) -> int:
        store.open_rollout("shop-9", "shop", {"provider": "memory"}, "h", at=made.clock.now(), actor="you")
        return real(store, *arguments, **more)

    monkeypatch.setattr(Store, "take_lease", overtaken)
    with pytest.raises(Claimed, match="shop-9"):
        adoption.adopt_service(made, "shop", "me", "x")
    card = made.cards.read("shop")
    assert card is not None and not card.closed
    assert made.store.lease("shop") is None and FleetJournal(made.store.db).entries() == []


@pytest.mark.parametrize("call", ["traffic.detach", "compute.delete_if_owned", "traffic.mark"])
def test_a_platform_that_refuses_half_way_can_be_asked_again(tmp_path: Path, call: str) -> None:
    """A service stays half adopted, and held by a lease that nobody gives up."""
    made, rollout = lost(tmp_path, phase_of("proving"))
    mark_by_hand(made, rollout)
    cloud = cloud_of(made)
    cloud.switches.fail[call] = "denied"
    with pytest.raises(ProviderError):
        adoption.adopt_service(made, "shop", "me", "x")
    assert made.store.lease("shop") is None
    cloud.switches.fail.clear()
    adoption.adopt_service(made, "shop", "me", "x")
    assert made.provider("memory").traffic.route(Service("shop")).mark is None
    assert not made.provider("memory").compute.describe(Service("shop"))["green"].exists

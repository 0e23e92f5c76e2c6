"""Each act is meant before it is done, done once, and given up only when its time is over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from providers.base import Conflict, Denied, Invalid, Slot, Throttled, Transient
from rollout import acts
from rollout.flow import NotYet, StoryChanged, TurnBack
from rollout.journal import Journal
from rollout.means import Act, Intent
from rollout.plan import STORY
from rollout.run import ATTEMPTS, RETRY_S, Run
from rollout.store import Fenced
from tests.core.scene import RIVAL, ROLLOUT, SHOP, World


class Doing:
    """An act's effect: remembers every call, and fails as often as told."""

    def __init__(self, *fails: Exception | type[BaseException]) -> None:
        self.calls, self.fails = list[Intent](), list(fails)

    def __call__(self, intent: Intent) -> Any:
        """Fail, or count."""
        self.calls.append(intent)
        if self.fails:
            raise self.fails.pop(0)
        return {"n": len(self.calls)}


def create(do: Callable[[Intent], Any], step: str = "mirror", args: dict[str, Any] | None = None) -> Act:
    """An act that creates something."""
    return Act(step, "create", do, lambda: args or {})


def put(do: Callable[[Intent], Any], step: str = "pin", done: bool = False) -> Act:
    """An act that sets something."""
    return Act(step, "set", do, lambda: {"floor": 2}, lambda route, args: done)


def rival_after(world: World) -> Any:
    """Another controller, once the first one's lease ran out."""
    world.passes(11)
    return RIVAL


class Dies(BaseException):
    """The process is killed."""


def test_an_act_is_meant_before_it_is_done(world: World) -> None:
    """After a crash nobody knows that something was begun."""
    seen = list[str]()
    world.run().once(create(lambda intent: seen.extend(world.kinds())))
    assert seen[-1] == "intended mirror"
    assert world.kinds()[-1] == "done mirror"


def test_an_intent_says_what_was_seen_and_asked(world: World) -> None:
    """Nobody can tell afterwards what a write was based on."""
    world.run().once(create(lambda intent: None, args={"image": "base-2"}))
    (intended,) = world.entries("intended")
    assert intended.data["args"] == {"image": "base-2"} and intended.data["attempt"] == 1
    assert intended.data["seen"]["weights"] == {"blue": 100, "green": 0} and len(intended.data["token"]) == 32


def test_a_recorded_act_is_not_done_again(world: World) -> None:
    """A resumed rollout mirrors, swaps and deletes a second time."""
    do = Doing()
    assert world.run().once(create(do)) == {"n": 1}
    assert world.run(rival_after(world)).once(create(do)) == {"n": 1}
    assert len(do.calls) == 1


def test_a_create_is_repeated_with_the_token_and_arguments_that_were_recorded(world: World) -> None:
    """A crash in the middle of a create makes two environments."""
    do, image = Doing(Dies), ["base-2"]
    act = Act("mirror", "create", do, lambda: {"image": image[0]})
    with pytest.raises(Dies):
        world.run().once(act)
    image[0] = "base-3"
    world.run().once(act)
    first, second = do.calls
    assert (first.token, first.args) == (second.token, second.args) == (first.token, {"image": "base-2"})
    assert len(world.entries("intended")) == 1


def test_a_set_reads_again_and_is_a_new_attempt(world: World) -> None:
    """A platform answers the repeated write with what it said to the first one, and nothing changes."""
    do = Doing(Dies)
    with pytest.raises(Dies):
        world.run().once(put(do))
    world.passes(6)
    world.run().once(put(do))
    assert do.calls[0].token != do.calls[1].token
    assert [entry.data["attempt"] for entry in world.entries("intended")] == [1, 2]


def test_a_set_waits_for_another_controllers_write_to_land(world: World) -> None:
    """A late write of the crashed controller undoes what its successor has just done."""
    do = Doing(Dies)
    with pytest.raises(Dies):
        world.run().once(put(do))
    began = world.clock.now()
    with pytest.raises(NotYet, match="earlier write") as wait:
        world.run().once(put(do))
    assert wait.value.due_at == began + world.provider.write_timeout_s
    assert len(do.calls) == 1


def test_a_set_that_is_done_already_is_only_recorded(world: World) -> None:
    """A swap that took effect before the crash is made a second time, over what a person did since."""
    do = Doing()
    assert world.run().once(put(do, done=True)) == {"floor": 2, "already": True}
    assert do.calls == [] and world.entries("intended") == []


def test_tokens_differ_from_step_to_step_and_rollout_to_rollout(world: World) -> None:
    """Two different writes are taken for one by the platform."""
    run, do = world.run(), Doing()
    run.once(create(do, "a"))
    run.once(create(do, "b"))
    world.store.open_rollout("shop-2", "cart", {}, "h", at=1.0, actor="me")
    elsewhere = Run("shop-2", world.plan, Journal(()), world.means, 0)
    elsewhere.once(create(do, "a"))
    assert len({intent.token for intent in do.calls}) == 3


@pytest.mark.parametrize("error", [Transient("timeout"), Throttled("slow down"), Conflict("changed")])
def test_trouble_that_may_pass_is_retried_within_the_job(world: World, error: Exception) -> None:
    """One lost packet costs a whole job, or the rollout."""
    do, began = Doing(error, error), world.clock.now()
    assert world.run().once(create(do)) == {"n": 3}
    assert 0 < world.clock.now() - began < 5


def test_trouble_that_stays_makes_the_job_due_again(world: World) -> None:
    """A short outage rolls a good patch back, or blocks a worker for minutes."""
    do = Doing(*[Transient("timeout")] * 9)
    with pytest.raises(NotYet, match="mirror: Transient: timeout") as wait:
        world.run().once(create(do))
    assert len(do.calls) == ATTEMPTS
    assert wait.value.due_at == world.clock.now() + RETRY_S
    assert world.journal.record("mirror") is None


def test_trouble_beyond_the_deadline_turns_back(world: World) -> None:
    """A platform that is down for hours keeps half a rollout standing for ever."""
    do = Doing(*[Transient("timeout")] * 99)
    run = world.run()
    run.once(create(Doing(), "before"))
    with pytest.raises(NotYet):
        run.once(create(do))
    world.passes(run.deadline_s() + 1)
    with pytest.raises(TurnBack, match="given up after 6"):
        run.once(create(do))
    assert len(world.entries("troubled")) == 1
    failed = world.journal.record("mirror")
    assert failed is not None and failed.kind == "failed" and failed.data["deny"] is False


def test_trouble_counts_from_its_beginning_and_not_from_the_last_entry(world: World) -> None:
    """A rollout that rested for hours is turned back by one slow answer."""
    run = world.run()
    run.once(create(Doing(), "before"))
    world.passes(10 * run.deadline_s())
    with pytest.raises(NotYet, match="mirror: Throttled: slow down"):
        run.once(create(Doing(*[Throttled("slow down")] * 9)))
    (troubled,) = world.entries("troubled")
    assert (troubled.step, troubled.data["reason"]) == ("mirror", "mirror: Throttled: slow down")
    assert run.trouble_s("mirror", "x") == pytest.approx(0, abs=1)


def test_trouble_that_passed_is_forgotten(world: World) -> None:
    """Two short outages, hours apart, add up to a rollback."""
    run = world.run()
    with pytest.raises(NotYet):
        run.once(create(Doing(*[Transient("timeout")] * 3)))
    run.once(create(Doing()))
    assert world.journal.trouble is None
    world.passes(10 * run.deadline_s())
    with pytest.raises(NotYet):
        run.once(create(Doing(*[Transient("timeout")] * 3), "patch"))
    assert len(world.entries("troubled")) == 2


def test_the_trouble_of_one_job_is_known_to_the_next(world: World) -> None:
    """Each restart gives a platform that is down its whole time again."""
    with pytest.raises(NotYet):
        world.run().once(create(Doing(*[Transient("timeout")] * 9)))
    world.passes(30)
    assert world.run(rival_after(world)).trouble_s("mirror", "x") == pytest.approx(41, abs=1)
    assert len(world.entries("troubled")) == 1


@pytest.mark.parametrize("error", [Denied("no permission"), Invalid("below the floor")])
def test_a_refusal_is_recorded_and_turns_back_at_every_replay(world: World, error: Exception) -> None:
    """A refused write is tried for ever, or the next job goes on as if it had succeeded."""
    do = Doing(error)
    with pytest.raises(TurnBack, match=str(error)):
        world.run().once(create(do))
    with pytest.raises(TurnBack, match=str(error)) as again:
        world.run().once(create(do))
    assert len(do.calls) == 1 and again.value.deny is False
    assert len(world.entries("failed")) == 1


def test_a_read_leaves_no_intent(world: World) -> None:
    """The journal is full of intents that meant nothing."""
    world.run().once(Act("capture", "read", Doing()))
    assert world.kinds() == ["opened", "done capture"]


def test_what_an_act_returns_is_the_same_before_and_after_a_crash(world: World) -> None:
    """A replayed story branches otherwise than the first time."""
    first = world.run().once(Act("capture", "read", lambda intent: {"route": intent.route, "steps": (1, 2)}))
    again = world.run().once(Act("capture", "read", Doing()))
    assert first == again and again["steps"] == [1, 2]


def test_a_step_that_was_never_recorded_before_one_that_was_is_an_error(world: World) -> None:
    """A new release inserts a step into rollouts that are past it, in the middle of their traffic."""
    world.run().once(create(Doing(), "second"))
    with pytest.raises(StoryChanged, match="first was never recorded, but second after it was"):
        world.run().once(create(Doing(), "first"))


def test_the_way_back_does_not_mind_the_steps_of_the_way_there(world: World) -> None:
    """A rollback is refused because the forward story was not told to its end."""
    world.run().once(create(Doing(), "mirror"))
    world.store.decide(ROLLOUT, world.journal.head, "roll_back_decided", {"reason": "x"}, world.clock.now())
    run = world.run()
    assert run.turning_back
    run.once(create(Doing(), "back:swap"))
    assert world.journal.record("back:swap") is not None


def test_a_step_of_a_later_story_is_left_out_of_earlier_rollouts(world: World) -> None:
    """An upgrade in the middle of a rollout changes what the rollout does."""
    run = world.run()
    assert run.began_with(STORY) and not run.began_with(STORY + 1)


def test_what_was_only_meant_counts_as_maybe_done(world: World) -> None:
    """A rollback leaves an environment behind whose creation crashed half-way."""
    with pytest.raises(Dies):
        world.run().once(create(Doing(Dies)))
    assert world.run().did("mirror") and not world.run().did("attach")


def test_a_stale_controller_means_nothing(world: World) -> None:
    """A frozen controller wakes up and moves traffic."""
    stale = world.run()
    world.passes(11)
    world.run(RIVAL)
    do = Doing()
    with pytest.raises(Fenced):
        stale.once(create(do))
    assert do.calls == []


def test_a_stale_controller_repeats_no_create(world: World) -> None:
    """A frozen controller wakes up and creates an environment that its successor has given up."""
    with pytest.raises(Dies):
        world.run().once(create(Doing(Dies)))
    stale, do = world.run(), Doing()
    world.passes(11)
    world.run(RIVAL)
    with pytest.raises(Fenced):
        stale.once(create(do))
    assert do.calls == []


def test_phases_are_entered_once_and_in_order(world: World) -> None:
    """Status jumps, or a rollout gets traffic before it was proven."""
    run = world.run()
    run.enter("preparing")
    run.enter("preparing")
    assert [entry.step for entry in world.entries("entered")] == ["preparing"]
    with pytest.raises(StoryChanged, match="shifting may not follow preparing"):
        run.enter("shifting")


def test_closing_ends_the_claim_and_says_the_outcome(world: World) -> None:
    """A finished rollout blocks the next one."""
    run = world.at_phase("rolling_back")
    run.close("rolled_back", "aborted")
    assert (world.row.phase, world.row.outcome) == ("rolled_back", "aborted") and world.row.closed_at is not None


# The acts of the story, on the simulated cloud


def prepared(world: World) -> Run:
    """A run that knows its original."""
    return world.past_capture()


def test_a_swap_moves_traffic_only_if_it_is_not_there_yet(world: World) -> None:
    """Traffic is moved twice after a crash."""
    run = prepared(world)
    world.mirror_stands()
    run.once(acts.swap(run, "swap:1:50", {"blue": 50, "green": 50}))
    assert world.weights == {"blue": 50, "green": 50}
    run.once(acts.swap(run, "swap:1b:50", {"blue": 50, "green": 50}))
    assert len(world.mutations("traffic.set_weights")) == 1


def test_a_swap_back_is_written_even_where_traffic_is_back_already(world: World) -> None:
    """A write that is still in flight lands over a way back that was only looked at."""
    run = prepared(world)
    world.mirror_stands()
    back = acts.way_back(run)
    run.once(acts.swap(run, "back:swap", back, always=True))
    assert len(world.mutations("traffic.set_weights")) == 1 and world.weights == back
    run.once(acts.swap(run, "back:again", back))
    assert len(world.mutations("traffic.set_weights")) == 1


def test_a_swap_whose_reply_was_lost_is_found_done(world: World) -> None:
    """A swap that worked is called failed because its answer was lost."""
    run = prepared(world)
    world.mirror_stands()
    world.cloud.switches.lost_reply["traffic.set_weights"] = True
    world.cloud.switches.times["traffic.set_weights"] = 1
    value = run.once(acts.swap(run, "swap:1:50", {"blue": 50, "green": 50}))
    assert value["weights"] == {"blue": 50, "green": 50}
    assert len(world.mutations("traffic.set_weights")) == 1


def test_growing_follows_the_original_and_never_shrinks(world: World) -> None:
    """The patched side is too small for the traffic that the old side grew for."""
    run = prepared(world)
    world.mirror_stands()
    world.cloud.edit_by_hand("shop", capacity={"blue": 5})
    run.once(acts.grow(run, "grow:1", "green"))
    assert world.cloud.snapshot("shop")["slots"]["green"]["capacity"] == 5
    world.cloud.edit_by_hand("shop", capacity={"blue": 3})
    assert run.once(acts.grow(run, "grow:2", "green"))["already"] is True


def floor_of(world: World, slot: Slot = "blue") -> int:
    """The floor that the platform has for a side."""
    return world.provider.compute.describe(SHOP)[slot].floor


def a_person_sets_the_floor(world: World, floor: int) -> None:
    """Somebody's capacity plan for tomorrow."""
    world.provider.compute.set_floor(SHOP, "blue", floor, f"by hand {floor}")


def test_a_pin_is_a_floor_with_its_original_value(world: World) -> None:
    """Scale-in takes the warm side away, or nobody knows what the floor was."""
    run = prepared(world)
    run.once(acts.pin(run, "pin:original", "blue"))
    assert world.entries("intended")[0].data["args"] == {"slot": "blue", "floor": 2, "found": 0}
    assert floor_of(world) == 2
    assert acts.captured(run, "blue").floor == 0


@pytest.mark.parametrize("floor", [2, 3])
def test_a_pin_never_lowers_a_floor(world: World, floor: int) -> None:
    """A person's floor for tomorrow's rush is lowered by a patch tonight."""
    run = prepared(world)
    a_person_sets_the_floor(world, floor)
    before = len(world.mutations("compute.set_floor"))
    assert run.once(acts.pin(run, "pin:original", "blue"))["already"] is True
    assert floor_of(world) == floor and len(world.mutations("compute.set_floor")) == before


def test_a_pin_follows_what_is_needed_now(world: World) -> None:
    """The service grew in the middle of the rollout, and its floor stays at what it was at the beginning."""
    run = prepared(world)
    run.note("done", "grow:1", {"value": {"capacity": 4}})
    run = world.later()
    run.once(acts.pin(run, "pin:original:1", "blue"))
    assert floor_of(world) == 4


def test_what_our_pin_wrote_is_given_back(world: World) -> None:
    """After a rollout the service can never scale in again."""
    run = prepared(world)
    a_person_sets_the_floor(world, 1)
    run.once(acts.pin(run, "pin:original", "blue"))
    assert floor_of(world) == 2
    run.once(acts.unpin(run, "unpin", "blue", 1))
    assert floor_of(world) == 1


@pytest.mark.parametrize("pinned", [True, False])
def test_a_floor_that_somebody_set_since_is_left_alone(world: World, pinned: bool) -> None:
    """A person's floor for tomorrow's rush is gone when the rollout ends."""
    run = prepared(world)
    if pinned:
        run.once(acts.pin(run, "pin:original", "blue"))
    a_person_sets_the_floor(world, 3)
    assert run.once(acts.unpin(run, "unpin", "blue", 0))["already"] is True
    assert floor_of(world) == 3


def test_only_the_pins_of_that_side_are_given_back(world: World) -> None:
    """The floor of one side is undone because the other one was pinned."""
    run = prepared(world)
    a_person_sets_the_floor(world, 2)
    world.mirror_stands()
    run.once(acts.pin(run, "pin:replacement", "green"))
    run.once(acts.unpin(run, "unpin", "blue", 0))
    assert (floor_of(world), floor_of(world, "green")) == (2, 2)


def test_the_last_pin_is_the_one_that_is_given_back(world: World) -> None:
    """A floor that grew with the service stays for ever, or a person's smaller one is taken for ours."""
    run = prepared(world)
    run.once(acts.pin(run, "pin:original", "blue"))
    run.note("done", "grow:1", {"value": {"capacity": 4}})
    run = world.later()
    run.once(acts.pin(run, "pin:original:1", "blue"))
    a_person_sets_the_floor(world, 2)
    run.once(acts.unpin(run, "unpin:person", "blue", 0))
    assert floor_of(world) == 2
    a_person_sets_the_floor(world, 4)
    run.once(acts.unpin(run, "unpin:ours", "blue", 0))
    assert floor_of(world) == 0


def test_a_pin_that_failed_does_not_hide_the_one_before(world: World) -> None:
    """A refused second pin leaves the first one behind for ever."""
    run = prepared(world)
    run.once(acts.pin(run, "pin:original", "blue"))
    run.note("done", "grow:1", {"value": {"capacity": 4}})
    run = world.later()
    world.cloud.switches.fail["compute.set_floor"] = "denied"
    with pytest.raises(TurnBack):
        run.once(acts.pin(run, "pin:original:1", "blue"))
    world.cloud.switches.fail.clear()
    run._visited.add("pin:original:1")
    run.once(acts.unpin(run, "unpin", "blue", 0))
    assert floor_of(world) == 0


def test_a_pin_whose_reply_was_lost_is_given_back_too(world: World) -> None:
    """A floor stays for ever because nobody heard that it was set."""
    run = prepared(world)
    world.cloud.switches.lost_reply["compute.set_floor"] = True
    with pytest.raises(Dies):
        run.once(Act("pin:original", "set", lambda intent: _sets_and_dies(world), lambda: PINNED))
    world.cloud.switches.lost_reply.clear()
    world.passes(6)
    again = world.later()
    again.once(acts.unpin(again, "unpin", "blue", 0))
    assert floor_of(world) == 0


PINNED = {"slot": "blue", "floor": 2, "found": 0}


def _sets_and_dies(world: World) -> None:
    with suppress(Transient):
        world.provider.compute.set_floor(SHOP, "blue", 2, "t-pin")
    raise Dies


def test_what_is_the_users_is_parked_and_what_is_ours_deleted(tmp_path: Any) -> None:
    """The user's own environment is deleted, or ours stays and costs money."""
    ours = World(tmp_path)
    ours.mirror_stands()
    run = ours.past_capture()
    run.once(acts.detach(run, "back:detach", "green"))
    assert run.once(acts.give_up(run, "back:give-up", "green")) == {"deleted": True}
    assert not ours.provider.compute.describe(SHOP)["green"].exists
    assert run.once(acts.give_up(run, "again", "green")) == {"already": True}
    assert run.once(acts.give_up(run, "theirs", "blue")) == {"parked": True}
    assert ours.provider.compute.describe(SHOP)["blue"].exists


def test_the_card_is_written_before_it_is_needed_and_says_all(world: World) -> None:
    """The emergency path has nothing to go by."""
    run = prepared(world)
    run.once(acts.write_card(run))
    card = world.cards.read("shop")
    assert card is not None
    assert (card.rollout, card.original, card.replacement, card.capacity) == (ROLLOUT, "blue", "green", 2)
    assert (card.provider, card.write_timeout_s, card.valid_until, card.closed) == ("memory", 5.0, None, "")
    run.once(acts.write_card(run, "promote", valid_for_s=60.0))
    later = world.cards.read("shop")
    assert later is not None and later.valid_until == world.clock.now() + 60.0
    assert later.written_at == card.written_at and later.was_healthy is True
    run.once(acts.write_card(run, "card:closed", closed="retired"))
    last = world.cards.read("shop")
    assert last is not None and (last.valid_until, last.closed) == (later.valid_until, "retired")


def test_a_card_follows_what_is_needed_now(world: World) -> None:
    """At night traffic for five hosts is put back onto the two that there were in the evening."""
    run = prepared(world)
    run.once(acts.write_card(run))
    run.note("done", "grow:1", {"value": {"capacity": 5}})
    run = world.later()
    run.once(acts.write_card(run, "card:1"))
    card = world.cards.read("shop")
    assert card is not None and card.capacity == 5
    latest = acts.latest_card(run)
    assert latest == card


def test_only_cards_are_taken_for_the_latest_card(world: World) -> None:
    """The way back is made of something that some other step returned."""
    run = prepared(world)
    assert acts.latest_card(run) is None
    run.once(acts.write_card(run))
    run.once(create(lambda intent: {"weights": {"blue": 100, "green": 0}}, "swap"))
    card = acts.latest_card(run)
    assert card is not None and card.rollout == ROLLOUT


def test_changes_since_the_plan_are_named(world: World) -> None:
    """A rollout goes on over a configuration that nobody planned for."""
    world.cloud.edit_by_hand("shop", app_version={"blue": "9.9"}, fingerprint={"blue": {"firewall": "open"}})
    run = prepared(world)
    changes = acts.changes_since_plan(run)
    assert len(changes) == 2
    assert "application version was None, is 9.9" in changes and changes[0].startswith("configuration was")


def test_a_denial_names_the_reason(world: World) -> None:
    """The next person finds a denied image and no word why."""
    run = prepared(world)
    world.store.decide(ROLLOUT, world.journal.head, "roll_back_decided", {"reason": "http failed"}, 1.0)
    run = world.run()
    run.once(acts.deny_image(run, "back:deny"))
    assert world.store.denials("shop") == {"base-2": "http failed"}

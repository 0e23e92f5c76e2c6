"""What the commands do: each refuses what it must, and leaves everything as it was when it does."""

from __future__ import annotations

import json
import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import HoldMark, NotFound
from providers.memory.clock import VirtualClock
from rollout import actor, bootstrap, control, interventions
from rollout.cli import _explain
from rollout.commands.options import Stranded, live_route
from rollout.control import NothingToDo, UnknownRollout
from rollout.decide import CannotTurnBack
from rollout.engine import local
from rollout.engine.job import UnknownStory, advance
from rollout.engine.local import Driver, Job, Listener
from rollout.exits import INTERRUPTED, PERSON_NEEDED, TIMED_OUT
from rollout.fleet_journal import FleetJournal
from rollout.follow import Follower, Interrupts, LeftAtOnce, finish_line, is_closed, is_promoted, is_stuck
from rollout.journal import Journal, first_broken_link
from rollout.lease import LEASE_S, Holder, this_process
from rollout.plan import STORY, Plan, StalePlan, UnsafePlan
from rollout.rows import Row
from rollout.store import NEVER, Claimed, Fenced, HeadMoved, Store, StoreError
from rollout.wiring import Installation
from tests.core.scene import FLEET, HOLDER, RIVAL, SHOP


def start(made: Installation, **more: Any) -> control.Started:
    """As the command does, without options."""
    asked: dict[str, Any] = {"image": None, "saved": None, "key": None, "actor": "me", "reason": ""}
    return control.start(made, "shop", **{**asked, **more})


def drive(made: Installation, rollout: str, until: Any = lambda row: False) -> Row:
    """Jobs as they are due, until closed, stuck or `until`."""
    means = made.means("memory")
    for _ in range(400):
        row = made.store.rollout(rollout)
        if row.closed_at is not None or row.due_at >= NEVER or until(row):
            return row
        made.clock.sleep(row.due_at - made.clock.now())
        advance(rollout, means, HOLDER)
    raise AssertionError(f"still {row.phase}")


def untouched(made: Installation) -> bool:
    """Was nothing opened?"""
    return made.store.rollouts() == []


# Planning


def test_a_plan_is_made_from_settings_and_the_live_service(installation: Installation) -> None:
    """A rollout does something else than the fleet file says."""
    plan = control.make_plan(installation, "shop")
    assert (plan.original, plan.original_image, plan.capacity) == ("blue", "base-1", 2)
    assert (plan.patch.image, plan.steps, plan.keep_warm_s) == ("base-2", (50, 100), 60.0)
    assert plan.gates["live"].rule.soak_s == 2.0 and plan.gates["bake"].rule.soak_s == 2.0
    assert untouched(installation)


def test_a_plan_has_every_deadline_that_the_story_uses(installation: Installation) -> None:
    """A rollout ends with a KeyError in a phase that has no deadline."""
    from rollout.plan import DEADLINES

    assert set(control.make_plan(installation, "shop").deadlines) == set(DEADLINES)


def test_how_long_connections_may_drain_comes_from_the_fleet_file(tmp_path: Path) -> None:
    """A user's own limit is read and forgotten, and a rollback waits for one idle connection."""
    (tmp_path / "fleet.yaml").write_text(FLEET.replace("interval: 1s", "interval: 1s, drain_limit: 7s"))
    plan = control.make_plan(Installation(tmp_path / "fleet.yaml", VirtualClock()), "shop")
    assert plan.deadlines["drain_limit"] == 7.0


def test_an_image_on_the_command_line_goes_before_the_fleet_file(installation: Installation) -> None:
    """CI starts a rollout of the image that it built, and the old one is rolled out."""
    assert control.make_plan(installation, "shop", "base-broken").patch.image == "base-broken"
    with pytest.raises(NotFound, match="known are"):
        control.make_plan(installation, "shop", "base-99")


def test_no_image_anywhere_is_refused_with_both_ways_to_say_it(tmp_path: Path) -> None:
    """Nobody knows where to write what should be rolled out."""
    (tmp_path / "fleet.yaml").write_text(FLEET.replace("    patch: {image: base-2}\n", ""))
    with pytest.raises(UnsafePlan, match=r"--image REF, or set services\.shop\.patch\.image"):
        control.make_plan(Installation(tmp_path / "fleet.yaml"), "shop")


# Starting


def test_a_start_claims_the_service(installation: Installation) -> None:
    """Two people patch one service at a time."""
    started = start(installation, reason="CVE")
    assert started.row.reason == "CVE" and not started.again
    with pytest.raises(Claimed, match=started.row.id):
        start(installation)


def test_the_same_key_is_the_same_rollout(installation: Installation) -> None:
    """A pipeline that is run again starts a second rollout."""
    first, second = start(installation, key="build-7"), start(installation, key="build-7")
    assert second.again and second.row.id == first.row.id
    drive(installation, first.row.id)
    assert start(installation, key="build-7").again


def test_a_saved_plan_is_carried_out_exactly(installation: Installation) -> None:
    """What was approved is planned anew, and differently."""
    saved = control.make_plan(installation, "shop")
    saved = Plan.from_json(json.loads(json.dumps(saved.to_json())))
    installation.clock.sleep(3600)
    assert start(installation, saved=saved).row.plan_hash == saved.hash


def test_a_stale_plan_is_refused_with_the_difference(installation: Installation) -> None:
    """A plan of last week is carried out on today's service."""
    saved = replace(control.make_plan(installation, "shop"), capacity=9)
    with pytest.raises(StalePlan, match=r"shop changed since the plan was made: capacity was 9, is 2\. Nothing"):
        start(installation, saved=saved)
    assert untouched(installation)


def test_a_service_that_runs_the_image_has_nothing_to_do(installation: Installation) -> None:
    """A nightly wave rolls every service out by itself, for nothing."""
    with pytest.raises(NothingToDo, match="shop runs base-1 already on blue"):
        start(installation, image="base-1")
    assert untouched(installation)


def test_a_denied_image_is_refused_until_it_is_lifted(installation: Installation) -> None:
    """An image that somebody has forbidden is rolled out."""
    bootstrap.deny(installation, "shop", "base-2", reason="broke checkout", lift=False)
    with pytest.raises(UnsafePlan, match="broke checkout"):
        start(installation)
    assert untouched(installation)
    bootstrap.deny(installation, "shop", "base-2", reason="", lift=True)
    assert start(installation).row.phase == "opened"


def test_an_id_is_readable_and_unique() -> None:
    """Two rollouts of one day have one name."""
    ids = {control.new_id("shop", 1_767_225_600.0) for _ in range(50)}
    assert len(ids) == 50 and all(each.startswith("shop-20260101-") for each in ids)


# Finding and deciding


def test_a_rollout_is_found_by_id_or_service(installation: Installation) -> None:
    """A person has to copy an id at night, or gets another rollout."""
    row = start(installation).row
    assert control.find(installation, row.id).id == control.find(installation, "shop").id == row.id
    with pytest.raises(UnknownRollout, match=f"the newest are: {row.id}"):
        control.find(installation, "shpo")


def test_without_rollouts_the_answer_says_so(installation: Installation) -> None:
    """An empty list is told as an empty string."""
    with pytest.raises(UnknownRollout, match="none yet"):
        control.find(installation, "shpo")


def test_a_service_that_was_never_rolled_out_is_no_mistake(installation: Installation) -> None:
    """A newcomer who asks about a new service is told that there is no such thing, and not what comes next."""
    with pytest.raises(UnknownRollout, match="never been rolled out; begin with: rollout plan shop"):
        control.find(installation, "shop")


def test_an_abort_puts_everything_back(installation: Installation) -> None:
    """A person's abort leaves a mirror or half of the traffic behind."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    assert control.turn_back(installation, row, "abort", reason="wrong night", actor="me").go
    assert drive(installation, row.id).outcome == "aborted"
    route = installation.provider("memory").traffic.route(SHOP)
    assert dict(route.weights) == {"blue": 100, "green": 0}


def test_a_retired_rollout_cannot_be_turned_back(installation: Installation) -> None:
    """Traffic is sent to a side that was deleted."""
    row = start(installation).row
    epoch = installation.store.take_lease("shop", HOLDER, 1.0)
    for phase in ("warm", "retiring"):
        installation.store.append(row.id, epoch, "entered", phase, {}, 1.0)
    with pytest.raises(CannotTurnBack):
        control.turn_back(installation, row, "rollback", reason="", actor="me")


def test_only_what_is_halted_is_resumed(installation: Installation) -> None:
    """`resume` after a crash writes entries that mean nothing, or forgets that it was promoted."""
    row = start(installation).row
    interventions.resume(installation, row, "me")
    assert len(installation.store.entries(row.id)) == 1
    for phase, outcome in (("preparing", "running"), ("warm", "promoted")):
        epoch = installation.store.take_lease("shop", HOLDER, 1.0)
        installation.store.append(row.id, epoch, "entered", phase, {}, 1.0)
        installation.store.append(row.id, epoch, "halted", "", {"reason": "x"}, 1.0, outcome="halted")
        interventions.resume(installation, installation.store.rollout(row.id), "me")
        assert installation.store.rollout(row.id).outcome == outcome


def test_a_warm_side_is_given_up_only_when_there_is_one(installation: Installation) -> None:
    """`--end-warm` ends a rollout that is still moving traffic."""
    row = start(installation).row
    with pytest.raises(Claimed):
        interventions.end_warm(installation, row, "me")
    warm = drive(installation, row.id, lambda row: row.phase == "warm")
    interventions.end_warm(installation, warm, "me")
    closed = drive(installation, row.id)
    assert closed.phase == "retired" and closed.closed_at is not None
    assert closed.closed_at < warm.opened_at + 60 + 2
    with pytest.raises(Claimed):
        interventions.end_warm(installation, closed, "me")


def test_an_approval_is_a_second_persons_and_only_when_asked(tmp_path: Path) -> None:
    """Whoever starts a rollout approves it, or an approval lies ready before there is anything to look at."""
    (tmp_path / "fleet.yaml").write_text(FLEET.replace("settle: 1s", "settle: 1s\n    approval: required"))
    made = Installation(tmp_path / "fleet.yaml", VirtualClock())
    row = start(made).row
    with pytest.raises(interventions.NotApprovable, match="does not wait"):
        interventions.approve(made, row, "boss")
    row = drive(made, row.id, lambda row: row.outcome == "waiting_approval")
    with pytest.raises(interventions.NotApprovable, match="somebody else"):
        interventions.approve(made, row, "me")
    interventions.approve(made, row, "boss")
    assert drive(made, row.id, lambda row: row.phase == "warm").outcome == "promoted"


def test_who_asks_is_the_user_of_the_system_and_not_who_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a rollout approves it too, under a name of their choice."""
    real = actor.this_person()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "another")
    assert actor.this_person() == real
    assert real.startswith(f"{pwd.getpwuid(os.getuid()).pw_name}@")


def test_a_user_whom_the_system_does_not_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without a user database every command ends with a traceback, or two people look like one."""
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)
    assert actor.this_person().startswith("uid 4000000001@")


# Journals


def test_a_standing_service_is_not_stood_up_again(installation: Installation) -> None:
    """`up` on a live service replaces it."""
    with pytest.raises(UnsafePlan, match="shop stands already on blue"):
        bootstrap.stand_up(installation, "shop", None)


def test_what_other_tools_own_is_not_torn_down(installation: Installation) -> None:
    """`down` deletes an environment that somebody's infrastructure code made."""
    row = start(installation).row
    with pytest.raises(UnsafePlan, match="removed with the tool that made them"):
        bootstrap.tear_down(installation, "shop", "me")
    assert installation.store.rollout(row.id).closed_at is None


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of services whose provider was asked to remove all of them."""
    found = list[str]()
    monkeypatch.setattr(
        "providers.memory.adapter.tear_down", lambda context, service: found.append(service.name), raising=False
    )
    return found


def test_taking_a_service_down_ends_its_rollout(installation: Installation, removed: list[str]) -> None:
    """A rollout of a service that is gone is driven on, and the service can never be stood up again."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    epoch = installation.store.take_lease("shop", HOLDER, installation.clock.now())
    assert installation.cards.read("shop") is not None
    bootstrap.tear_down(installation, "shop", "me")
    assert removed == ["shop"] and installation.cards.read("shop") is None
    closed, last = installation.store.rollout(row.id), installation.store.entries(row.id)[-1]
    assert closed.closed_at is not None and closed.outcome == "aborted"
    assert last.data == {"outcome": "aborted", "by": "me", "reason": "the service was taken down"}
    with pytest.raises(Fenced):
        installation.store.append(row.id, epoch, "intended", "swap", {}, 1.0)
    assert installation.store.rollouts("shop", open_only=True) == []


def test_taking_a_service_down_that_nobody_patches_only_removes_it(
    installation: Installation, removed: list[str]
) -> None:
    """`down` works only while a rollout runs, or writes into the journals of old ones."""
    row = start(installation).row
    drive(installation, row.id)
    before = len(installation.store.entries(row.id))
    bootstrap.tear_down(installation, "shop", "me")
    assert removed == ["shop"] and len(installation.store.entries(row.id)) == before


def test_a_promoted_rollout_that_is_closed_stays_promoted(installation: Installation) -> None:
    """Whether last week's patch was accepted depends on the service being taken down since."""
    row = start(installation).row
    warm = drive(installation, row.id, lambda row: row.phase == "warm")
    interventions.close(installation, warm, "me", "the service was taken down")
    closed = installation.store.rollout(row.id)
    assert closed.closed_at is not None and closed.outcome == "promoted"
    assert installation.store.wait(row.id) is None and installation.store.lease("shop") is None
    assert advance(row.id, installation.means("memory"), HOLDER).why == "closed"


# What the emergency path left


def spool(made: Installation, rollout: str, name: str = "shop-1234") -> Path:
    """A decision that was kept beside the cards, as the emergency path writes it."""
    data = {
        "rollout": rollout,
        "at": 1000.0,
        "kind": "rollback",
        "reason": "slow",
        "actor": "oncall@host",
        "ref": "INC-7",
        "deny": False,
        "forced": False,
        "by_person": True,
        "readiness": "blue: 2 of 2 healthy",
        "route": {"blue": 50, "green": 50},
        "evidence": {},
    }
    path = made.state_dir / "spool" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data) + "\n")
    return path


def test_a_spooled_decision_is_journalled_once(installation: Installation) -> None:
    """A rollback that was decided while the store was down is in no journal, or in it twice."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    epoch = installation.store.take_lease("shop", HOLDER, installation.clock.now())
    path = spool(installation, row.id)
    (told,) = control.merge_spool(installation)
    assert row.id in told and "oncall@host" in told and not path.exists()
    (decision,) = [each for each in installation.store.entries(row.id) if each.kind == "roll_back_decided"]
    assert (decision.data["reason"], decision.data["at"], decision.data["spooled"]) == ("slow", 1000.0, True)
    with pytest.raises(Fenced):
        installation.store.append(row.id, epoch, "intended", "swap", {}, 1.0)
    assert control.merge_spool(installation) == []
    spool(installation, row.id)  # killed before it was taken away
    assert "merged" in control.merge_spool(installation)[0] and not path.exists()
    assert FleetJournal(installation.store.db).entries(subject="shop") == [], "it was not overtaken"
    assert drive(installation, row.id).outcome == "rolled_back"


@pytest.mark.parametrize("phase", ["turning back", "rolled_back", "retired"])
def test_a_spooled_decision_that_came_too_late_changes_nothing(installation: Installation, phase: str) -> None:
    """A rollout that is over, or turns back already, is decided over once more; or nobody knows who put traffic back at
    night, and by which ticket."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    if phase != "retired":
        control.turn_back(installation, row, "abort", reason="wrong night", actor="me")
    if phase != "turning back":
        drive(installation, row.id)
    before, path = len(installation.store.entries(row.id)), spool(installation, row.id)
    (told,) = control.merge_spool(installation)
    assert f"but it is {phase} by now; where traffic is: rollout status shop" in told and not path.exists()
    spool(installation, row.id)  # killed before it was taken away
    control.merge_spool(installation)
    assert len(installation.store.entries(row.id)) == before
    fleet = FleetJournal(installation.store.db).entries(subject="shop")
    (kept,) = [each for each in fleet if each.kind == control.OVERTAKEN]
    told_by = [kept.data[key] for key in ("rollout", "actor", "reason", "ref")]
    assert told_by == [row.id, "oncall@host", "slow", "INC-7"] and first_broken_link(fleet) == ""


def test_a_spooled_decision_is_judged_anew_when_the_journal_moves(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A way back that closes at that moment is decided over all the same, and the rollout is stuck for good."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    path = spool(installation, row.id)

    def moved(*arguments: object, **more: object) -> None:
        raise HeadMoved("the journal went on")

    with monkeypatch.context() as patched:
        patched.setattr(installation.store, "decide", moved)
        assert control.merge_spool(installation) == [] and path.exists()
    assert len(control.merge_spool(installation)) == 1 and not path.exists()


def test_a_decision_of_another_store_waits_for_it(installation: Installation) -> None:
    """The only record of a rollback is thrown away because a fresh store does not know its rollout."""
    path = spool(installation, "shop-of-the-lost-store")
    assert control.merge_spool(installation) == [] and path.exists()


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3"])
def test_a_spooled_decision_that_was_cut_off_is_told_and_stops_nothing(installation: Installation, text: str) -> None:
    """A disk that was full for a moment ends every later command with a traceback."""
    row = start(installation).row
    damaged, whole = spool(installation, row.id, "a"), spool(installation, row.id, "b")
    damaged.write_text(text)
    told = control.merge_spool(installation)
    assert len(told) == 2 and str(damaged) in told[0] and row.id in told[1]
    assert damaged.exists() and not whole.exists()


def left_mark(made: Installation, rollout: str) -> HoldMark:
    """A mark that the emergency path left with the traffic."""
    mark = HoldMark(rollout, 9, "blue", "oncall@host", made.clock.now(), "slow")
    made.provider("memory").traffic.mark(SHOP, mark, f"t-{rollout}-{mark.at}")
    return mark


def test_a_mark_that_a_closed_rollout_left_is_cleared(installation: Installation) -> None:
    """A service can never be patched again, because of the mark of a rollout that is long over."""
    row = start(installation).row
    closed = drive(installation, row.id)
    assert not control.clear_left_over_mark(installation, closed)
    left_mark(installation, row.id)
    assert control.clear_left_over_mark(installation, closed)
    assert installation.provider("memory").traffic.route(SHOP).mark is None
    assert not control.clear_left_over_mark(installation, closed)
    installation.clock.sleep(1)
    left_mark(installation, row.id)
    assert control.clear_left_over_mark(installation, closed)


def test_a_mark_that_is_needed_is_not_cleared(installation: Installation) -> None:
    """`resume` sends traffic forward again after the on-call engineer put it back."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    left_mark(installation, row.id)
    assert not control.clear_left_over_mark(installation, installation.store.rollout(row.id))
    closed = drive(installation, row.id)
    mark = left_mark(installation, "shop-other")
    assert not control.clear_left_over_mark(installation, closed)
    assert installation.provider("memory").traffic.route(SHOP).mark == mark


def test_a_command_that_cannot_go_on_says_where_traffic_is(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up in the middle of a rollout, and a person learns nothing but that."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "baking")
    told = str(Stranded(installation, row, StoreError("the store is full")))
    assert told.startswith(f"the store is full. {row.id} stays as it is; traffic is now blue 0 %, green 100 %.")
    assert "rollout rollback shop" in told and told.endswith(f"rollout resume {row.id}")
    installation.cards.path("shop").write_text("{")
    assert "where traffic is could not be read" in str(Stranded(installation, row, StoreError("full")))
    assert _explain(Stranded(installation, row, StoreError("full")))[0] == PERSON_NEEDED


def test_another_rollouts_card_says_nothing_about_where_traffic_is(installation: Installation) -> None:
    """A person is told where the traffic of some other rollout was."""
    row = start(installation).row
    drive(installation, row.id, lambda row: row.phase == "shifting")
    assert live_route(installation, row) is not None
    assert live_route(installation, replace(row, id="shop-other")) is None


# Driving from here


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run where they begin, so that virtual time stands still meanwhile."""
    monkeypatch.setattr(Job, "begin", Job._work)


def follower(made: Installation, rollout: str, **more: Any) -> Follower:
    """Who follows a rollout, and says things into `said`."""
    said: list[str] = more.pop("said", [])
    return Follower(made, rollout, more.pop("listener", Listener()), said.append, "me", **more)


@pytest.mark.usefixtures("at_once")
def test_a_rollout_is_followed_until_it_is_promoted_and_told(installation: Installation) -> None:
    """`start --wait` ends too early, or never, or in silence."""
    row, told, waits = start(installation).row, list[str](), list[str]()
    listener = Listener(lambda entry: told.append(entry.kind), lambda wait: waits.append(wait.step))
    now, code = follower(installation, row.id, listener=listener).until(finish_line(row))
    assert (now.phase, now.outcome, code) == ("warm", "promoted", None)
    assert told == [entry.kind for entry in installation.store.entries(row.id)]
    assert {"proof", "live:1:50", "bake"} <= set(waits)
    assert installation.store.driver(row.id, installation.clock.now()) is None


@pytest.mark.usefixtures("at_once")
def test_a_timeout_leaves_the_rollout_running(installation: Installation) -> None:
    """CI waits for ever, or a time-out rolls a good patch back."""
    row = start(installation).row
    now, code = follower(installation, row.id, timeout_s=1.0).until(finish_line(row))
    assert code == TIMED_OUT and now.closed_at is None
    assert installation.store.entries(row.id)[-1].kind != "roll_back_decided"


@pytest.mark.usefixtures("at_once")
def test_the_first_interrupt_puts_traffic_back(installation: Installation) -> None:
    """Ctrl-C leaves half of the traffic on an unproven side, with nobody watching."""
    row, said = start(installation).row, list[str]()
    drive(installation, row.id, lambda row: row.phase == "shifting")
    now, code = follower(installation, row.id, said=said, interrupts=Interrupts(count=1)).until(finish_line(row))
    assert (now.outcome, now.phase, code) == ("rolled_back", "rolled_back", INTERRUPTED)
    assert said[0].startswith("interrupted: putting traffic back") and said[1].startswith("turning back:")


@pytest.mark.usefixtures("at_once")
def test_the_second_interrupt_leaves_at_once(installation: Installation) -> None:
    """A person cannot get out of a command that hangs."""
    row = start(installation).row
    interrupts = Interrupts(count=2, heeded=1)
    with pytest.raises(LeftAtOnce, match=f"rollout resume {row.id}"):
        follower(installation, row.id, interrupts=interrupts).until(finish_line(row))


@pytest.mark.usefixtures("at_once")
def test_an_interrupt_past_the_point_of_no_return_says_so(installation: Installation) -> None:
    """Ctrl-C while the old side is deleted ends with a traceback."""
    row, said = start(installation).row, list[str]()
    drive(installation, row.id, lambda row: row.phase == "warm")
    epoch = installation.store.take_lease("shop", HOLDER, installation.clock.now())
    installation.store.append(row.id, epoch, "entered", "retiring", {}, installation.clock.now())
    installation.store.release_lease(row.id, epoch, installation.clock.now())
    followed = follower(installation, row.id, said=said, interrupts=Interrupts(count=1), timeout_s=0.0)
    with pytest.raises(LeftAtOnce, match="was promoted and stays so"):
        followed.until(is_closed)
    assert said == [] and Journal(installation.store.entries(row.id)).decision is None


@pytest.mark.usefixtures("at_once")
def test_an_interrupt_of_a_promoted_rollout_leaves_it_promoted(installation: Installation) -> None:
    """Ctrl-C on a command that only kept the old side warm takes an accepted patch back."""
    row, said = start(installation).row, list[str]()
    warm = drive(installation, row.id, lambda row: row.phase == "warm")
    followed = follower(installation, row.id, said=said, interrupts=Interrupts(count=1))
    with pytest.raises(LeftAtOnce, match=f"was promoted and stays so. Go on with it: rollout resume {row.id}") as left:
        followed.until(is_closed)
    assert _explain(left.value)[0] == INTERRUPTED
    now, journal = installation.store.rollout(row.id), Journal(installation.store.entries(row.id))
    assert (now.phase, now.outcome, now.closed_at) == ("warm", "promoted", None)
    assert journal.decision is None and said == []
    assert dict(installation.provider("memory").traffic.route(SHOP).weights) == {"blue": 0, "green": 100}
    assert installation.store.driver(row.id, installation.clock.now()) is None
    assert drive(installation, warm.id).phase == "retired"


@pytest.mark.usefixtures("at_once")
def test_a_newer_releases_rollout_is_left_to_it(installation: Installation) -> None:
    """A command of an older release hangs on a rollout that it cannot drive, or kills it."""
    plan = replace(control.make_plan(installation, "shop"), story=STORY + 1)
    row = installation.store.open_rollout("shop-1", "shop", plan.to_json(), plan.hash, at=1.0, actor="me")
    with pytest.raises(UnknownStory, match="drive it with that release") as unknown:
        follower(installation, row.id).until(is_closed)
    assert _explain(unknown.value)[0] == PERSON_NEEDED
    assert len(installation.store.entries(row.id)) == 1


def test_what_ends_a_command(installation: Installation) -> None:
    """A command waits for what will not come, or leaves before its end."""
    row = start(installation).row
    assert not is_stuck(row) and not is_promoted(row) and not is_closed(row)
    assert not finish_line(row)(replace(row, phase="warm", outcome="halted"))
    assert finish_line(row)(replace(row, phase="warm", outcome="promoted"))
    warm = replace(row, phase="warm", outcome="promoted")
    assert not finish_line(warm)(warm) and finish_line(warm)(replace(warm, closed_at=1.0))
    assert is_stuck(replace(row, outcome="halted", due_at=NEVER)) and not is_stuck(replace(row, outcome="halted"))


@pytest.mark.usefixtures("at_once")
def test_where_another_process_drives_this_one_watches_and_takes_over(installation: Installation) -> None:
    """Two terminals fight over one rollout, or nobody goes on when the first was closed."""
    row, met = start(installation).row, list[Holder]()
    installation.store.note_driver(row.id, RIVAL, installation.clock.now())
    driver = Driver(row.id, installation.means("memory"), HOLDER, Listener(elsewhere=met.append))
    driver.tick()
    assert met == [RIVAL] and not driver.busy
    installation.clock.sleep(LEASE_S + 1)
    driver.tick()
    assert installation.store.driver(row.id, installation.clock.now()) == HOLDER
    driver.close()
    assert installation.store.driver(row.id, installation.clock.now()) is None


@pytest.mark.usefixtures("at_once")
def test_a_held_lease_is_waited_out(installation: Installation) -> None:
    """A command ends with a traceback because another process happened to act."""
    row = start(installation).row
    installation.store.take_lease("shop", RIVAL, installation.clock.now())
    driver = Driver(row.id, installation.means("memory"), HOLDER, Listener())
    driver.tick()
    driver.tick()
    installation.clock.sleep(LEASE_S + 1)
    driver.tick()
    driver.tick()
    assert len(installation.store.entries(row.id)) > 1


@pytest.mark.usefixtures("at_once")
def test_a_job_that_breaks_is_not_silent(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug leaves a command that waits for ever."""

    def breaks(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(local, "advance", breaks)
    row = start(installation).row
    driver = Driver(row.id, installation.means("memory"), HOLDER, Listener())
    driver.tick()
    with pytest.raises(ZeroDivisionError):
        driver.tick()


def test_a_job_renews_its_lease_while_it_acts(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes longer than the lease is done by two controllers."""
    monkeypatch.setattr(local, "HEARTBEAT_S", 0.0)
    row, renewed = start(installation).row, list[int]()
    job = Job(row.id, installation.means("memory"), this_process())
    job.epoch = installation.store.take_lease("shop", this_process(), installation.clock.now())
    real = Store.renew_lease

    def renew(store: Store, service: str, epoch: int, now: float, *rest: Any) -> None:
        renewed.append(epoch)
        if len(renewed) == 3:
            store.take_lease("shop", this_process(), now)  # somebody else has it now: the heartbeat ends
        real(store, service, epoch, now, *rest)

    monkeypatch.setattr(Store, "renew_lease", renew)
    job._beat()
    assert renewed == [1, 1, 1]


def test_a_real_job_runs_in_a_thread_and_ends(installation: Installation) -> None:
    """A driver waits for a job that is over."""
    row = start(installation).row
    job = Job(row.id, installation.means("memory"), this_process())
    job.begin()
    assert job.done.wait(20)
    assert job.error is None and job.advanced is not None and job.epoch == 1

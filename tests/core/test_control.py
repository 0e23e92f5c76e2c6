"""What the commands do: each refuses what it must, and leaves everything as it was when it does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.base import NotFound
from providers.memory.clock import VirtualClock
from rollout import bootstrap, control
from rollout.control import NothingToDo, UnknownRollout
from rollout.decide import CannotTurnBack
from rollout.engine import local
from rollout.engine.job import advance
from rollout.engine.local import Driver, Job, Listener
from rollout.exits import INTERRUPTED, TIMED_OUT
from rollout.follow import Follower, Interrupts, LeftAtOnce, finish_line, is_closed, is_promoted, is_stuck
from rollout.lease import LEASE_S, Holder, this_process
from rollout.plan import Plan, StalePlan, UnsafePlan
from rollout.rows import Row
from rollout.store import NEVER, Claimed, Store
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
    with pytest.raises(StalePlan, match="capacity was 9, is 2"):
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
    control.resume(installation, row, "me")
    assert len(installation.store.entries(row.id)) == 1
    for phase, outcome in (("preparing", "running"), ("warm", "promoted")):
        epoch = installation.store.take_lease("shop", HOLDER, 1.0)
        installation.store.append(row.id, epoch, "entered", phase, {}, 1.0)
        installation.store.append(row.id, epoch, "halted", "", {"reason": "x"}, 1.0, outcome="halted")
        control.resume(installation, installation.store.rollout(row.id), "me")
        assert installation.store.rollout(row.id).outcome == outcome


def test_a_warm_side_is_given_up_only_when_there_is_one(installation: Installation) -> None:
    """`--end-warm` ends a rollout that is still moving traffic."""
    row = start(installation).row
    with pytest.raises(Claimed):
        control.end_warm(installation, row, "me")
    warm = drive(installation, row.id, lambda row: row.phase == "warm")
    control.end_warm(installation, warm, "me")
    closed = drive(installation, row.id)
    assert closed.phase == "retired" and closed.closed_at is not None
    assert closed.closed_at < warm.opened_at + 60 + 2
    with pytest.raises(Claimed):
        control.end_warm(installation, closed, "me")


def test_an_approval_is_a_second_persons_and_only_when_asked(tmp_path: Path) -> None:
    """Whoever starts a rollout approves it, or an approval lies ready before there is anything to look at."""
    (tmp_path / "fleet.yaml").write_text(FLEET.replace("settle: 1s", "settle: 1s\n    approval: required"))
    made = Installation(tmp_path / "fleet.yaml", VirtualClock())
    row = start(made).row
    with pytest.raises(control.NotApprovable, match="does not wait"):
        control.approve(made, row, "boss")
    row = drive(made, row.id, lambda row: row.outcome == "waiting_approval")
    with pytest.raises(control.NotApprovable, match="somebody else"):
        control.approve(made, row, "me")
    control.approve(made, row, "boss")
    assert drive(made, row.id, lambda row: row.phase == "warm").outcome == "promoted"


# Journals


def test_whole_journals_verify_and_broken_ones_are_named(installation: Installation) -> None:
    """A journal that was tampered with is called whole."""
    row = start(installation).row
    drive(installation, row.id)
    whole = bootstrap.verify(installation, row.id)
    assert whole["broken"] == [] and whole["verified"] == 1
    assert "1 journals are whole" in bootstrap.verify_text(whole)
    installation.store._all("UPDATE journal SET data = '{}' WHERE seq = 3")
    broken = bootstrap.verify(installation, None)
    assert "entry 3" in broken["broken"][0] and "1 journals are broken" in bootstrap.verify_text(broken)


def test_a_journal_cut_at_its_end_is_found(installation: Installation) -> None:
    """The last entries of a journal disappear without a trace."""
    row = start(installation).row
    drive(installation, row.id)
    installation.store._all("DELETE FROM journal WHERE seq > 10")
    assert "the journal ends at entry 10" in bootstrap.verify(installation, row.id)["broken"][0]


def test_a_standing_service_is_not_stood_up_again(installation: Installation) -> None:
    """`up` on a live service replaces it."""
    with pytest.raises(UnsafePlan, match="shop stands already on blue"):
        bootstrap.stand_up(installation, "shop", None)


def test_what_other_tools_own_is_not_torn_down(installation: Installation) -> None:
    """`down` deletes an environment that somebody's infrastructure code made."""
    with pytest.raises(UnsafePlan, match="removed with the tool that made them"):
        bootstrap.tear_down(installation, "shop")


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
    installation.store.release_lease("shop", epoch)
    followed = follower(installation, row.id, said=said, interrupts=Interrupts(count=1), timeout_s=0.0)
    followed.until(is_closed)
    assert "its way back was given up" in said[1]


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

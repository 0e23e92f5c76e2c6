"""A freeze stops what goes forward, everywhere, and nothing else; it is on record, and ends when it was to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.base import Subject, Verdict
from rollout.decide import decide_roll_back
from rollout.fleet_journal import FleetJournal
from rollout.freeze import ALL, STEP, BadScope, Freeze, Freezes, Frozen, checked_scope
from rollout.journal import first_broken_link
from rollout.plan import CheckSpec
from rollout.store import Store
from tests.core.interrupting import jobs, right_after
from tests.core.scene import ROLLOUT, World, a_plan, always_pass, phase_is

NOW = 1_000_000.0


def frozen(world: World, scope: str = ALL, for_s: float | None = None, **more: Any) -> Freeze:
    """Somebody says stop."""
    now = world.clock.now()
    until = None if for_s is None else now + for_s
    said = Freeze(scope, "lead@desk", "customers are down", "INC-7", now, until, **more)
    return Freezes(world.store.db).put(said)


def thawed(world: World, scope: str = ALL) -> Freeze | None:
    """Somebody says go on."""
    return Freezes(world.store.db).lift(scope, "boss@desk", "over", world.clock.now())


def in_gate(step: str) -> Callable[[World], bool]:
    """A gate is being asked."""

    def is_in(world: World) -> bool:
        wait = world.store.wait(ROLLOUT)
        return wait is not None and wait.step == step

    return is_in


class Live:
    """Checks whose answer a test changes."""

    def __init__(self) -> None:
        self.fails = False

    def __call__(self, spec: CheckSpec, subject: Subject) -> Verdict:
        """The verdict."""
        return Verdict.failed("broken") if self.fails and subject.slot == "green" else always_pass(spec, subject)


# What it stops


def test_in_the_middle_of_a_shift_it_stays_at_its_weights_and_is_watched(tmp_path: Path) -> None:
    """The whole fleet is to stand still, and half an hour later all traffic is on the new side."""
    world = World(tmp_path)
    world.drive(in_gate("live:1:50"))
    frozen(world)
    jobs(world, 200)
    assert world.weights == {"blue": 50, "green": 50} and world.row.closed_at is None
    wait = world.store.wait(ROLLOUT)
    assert wait is not None and wait.step == STEP and "judged" in wait.state, "its live checks go on"
    assert "lead@desk" in wait.state["seen"] and "customers are down" in wait.state["seen"]
    assert thawed(world) is not None and world.row.due_at == world.clock.now(), "it goes on at once"
    assert world.drive().outcome == "promoted"
    assert first_broken_link(world.journal.entries) == ""


def test_what_fails_meanwhile_is_put_back(tmp_path: Path) -> None:
    """A freeze keeps users on a side that turned bad."""
    live = Live()
    world = World(tmp_path, ask=live)
    world.drive(in_gate("live:1:50"))
    frozen(world)
    jobs(world, 60)
    live.fails = True
    row = world.drive()
    assert (row.outcome, world.weights) == ("rolled_back", {"blue": 100, "green": 0})
    assert Freezes(world.store.db).all(world.clock.now()), "it is frozen still"


def test_a_person_may_always_go_back(tmp_path: Path) -> None:
    """The first thing that is wanted in an incident is refused because of the incident."""
    world = World(tmp_path)
    world.drive(in_gate("live:1:50"))
    frozen(world)
    jobs(world, 60)
    now = world.clock.now()
    decide_roll_back(world.store, world.provider, ROLLOUT, kind="abort", reason="enough", actor="me@desk", at=now)
    assert world.drive().outcome == "aborted" and world.weights == {"blue": 100, "green": 0}


def test_a_hold_mark_is_obeyed(tmp_path: Path) -> None:
    """The emergency path put traffic back, and a frozen rollout does not notice."""
    world = World(tmp_path)
    world.drive(in_gate("live:1:50"))
    frozen(world)
    jobs(world, 60)
    world.mark()
    assert world.drive().outcome == "rolled_back"


STEPS = ("card", "mirror", "patch", "launch", "swap:1:50", "swap:2:100", "promote", "window-closed", "detach")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["intended", "done"])
def test_a_step_that_began_is_ended_and_no_other_begins(tmp_path: Path, kind: str, step: str) -> None:
    """A write that was on its way stays half known; or one more goes out after everybody was told that all stands."""
    world = World(tmp_path)
    right_after(world, kind, step, lambda: frozen(world))
    world.drive(lambda world: bool(Freezes(world.store.db).all(world.clock.now())))
    meant = {entry.step for entry in world.entries("intended")}
    jobs(world, 300)
    assert {entry.step for entry in world.entries("intended")} == meant
    if kind == "intended" and step != "detach":  # of that no read says whether it took effect
        assert world.journal.record(step) is not None
    thawed(world)
    assert world.drive().outcome == "promoted"
    assert first_broken_link(world.journal.entries) == ""


def test_it_ends_by_itself(tmp_path: Path) -> None:
    """Somebody forgot to lift a freeze of two hours, and nothing is patched any more."""
    world = World(tmp_path)
    world.drive(in_gate("live:1:50"))
    frozen(world, for_s=300)
    jobs(world, 290)
    assert world.weights == {"blue": 50, "green": 50}
    jobs(world, 60)
    assert world.weights == {"blue": 0, "green": 100}


@pytest.mark.parametrize("scope", ["service:till", "tag:team=other", "region:us-east-1", "account:2/eu-central-1"])
def test_another_part_of_the_fleet_goes_on(tmp_path: Path, scope: str) -> None:
    """One team's incident stops everybody."""
    world = World(tmp_path)
    frozen(world, scope)
    assert world.drive().outcome == "promoted"


def test_a_part_that_was_named_by_a_tag_stands_still(tmp_path: Path) -> None:
    """A job knows no tags, and goes on in a part of the fleet that is frozen."""
    world = World(tmp_path)
    world.drive(phase_is("patching"))
    frozen(world, "tag:team=payments", services=("shop",))
    jobs(world, 300)
    assert world.row.phase == "patching" and world.weights == {"blue": 100, "green": 0}


# What it covers


COVERED = {
    "all": True,
    "service:shop": True,
    "service:shop-2": False,
    "tag:team=payments": True,
    "tag:team=web": False,
    "tag:tier=1": False,
    "region:eu-central-1": True,
    "region:eu": False,
    "account:123": True,
    "account:12": False,
    "account:123/eu-central-1": True,
    "account:123/us-east-1": False,
}


@pytest.mark.parametrize("scope", COVERED)
def test_what_a_scope_means(scope: str) -> None:
    """A part of the fleet is left out, or stopped, that was not meant."""
    options, tags = {"region": "eu-central-1", "account": "123"}, {"team": "payments"}
    freeze = Freeze(checked_scope(scope), "a", "b", "", NOW)
    assert freeze.covers("shop", options, tags) is COVERED[scope]
    elsewhere = {"team": "payments", "region": "eu-central-1", "account": "123"}
    assert freeze.covers("shop", {}, elsewhere) is COVERED[scope], "where the provider says nothing, tags do"


def test_a_bare_name_is_a_service() -> None:
    """At three in the morning nobody remembers how a scope is written."""
    assert checked_scope("shop") == "service:shop" and checked_scope("all") == "all"


NO_SCOPES = ("", "everything:x", "tag:team", "tag:=x", "region:", "account:", "account:1/2/3", "Shop", "a b")


@pytest.mark.parametrize("scope", NO_SCOPES)
def test_what_is_no_scope_is_refused(scope: str) -> None:
    """A typing error freezes nothing, and everybody believes that all stands still."""
    with pytest.raises(BadScope, match="service:NAME"):
        checked_scope(scope)


@given(st.text(max_size=30))
def test_any_text_is_a_scope_or_refused(text: str) -> None:
    """A freeze is kept under a name under which nobody can lift it."""
    try:
        scope = checked_scope(text)
    except BadScope:
        return
    assert checked_scope(scope) == scope and not any(each.isspace() for each in scope)


# What is kept of it


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "rollout.db")


def a_freeze(**changes: Any) -> Freeze:
    """A good one over all."""
    return Freeze(**{"scope": ALL, "actor": "me", "reason": "why", "ref": "", "at": NOW, "until": NOW + 60, **changes})


def test_who_why_and_until_are_on_record(store: Store) -> None:
    """Nobody knows afterwards who stopped the fleet, and who let it go on."""
    freezes = Freezes(store.db)
    freezes.put(a_freeze(ref="INC-7"))
    assert freezes.lift(ALL, "you", "over", NOW + 1) == a_freeze(ref="INC-7")
    journal = FleetJournal(store.db).entries()
    assert [(entry.kind, entry.at) for entry in journal] == [("frozen", NOW), ("thawed", NOW + 1)]
    assert journal[0].data["ref"] == "INC-7" and journal[0].data["until"] == NOW + 60
    assert journal[1].data["frozen_by"] == "me" and journal[1].data["actor"] == "you"
    assert first_broken_link(journal) == ""
    assert freezes.all(NOW + 2) == []


def test_it_is_seen_by_another_process_at_once(store: Store, tmp_path: Path) -> None:
    """What was said here is known there only after a restart."""
    other = Store(tmp_path / "rollout.db")
    Freezes(store.db).put(a_freeze())
    assert Freezes(other.db).on("shop", {}, NOW) == a_freeze()
    other.close()


def test_said_again_it_never_ends_earlier(store: Store) -> None:
    """Somebody freezes for ten minutes what was frozen for the weekend, and on Friday evening everything moves."""
    freezes = Freezes(store.db)
    freezes.put(a_freeze(until=NOW + 1000))
    assert freezes.put(a_freeze(actor="you", until=NOW + 60)).until == NOW + 1000
    assert freezes.put(a_freeze(until=None)).until is None
    assert freezes.put(a_freeze(until=NOW + 60)).until is None
    freezes.lift(ALL, "me", "", NOW)
    assert freezes.put(a_freeze(until=NOW + 60)).until == NOW + 60
    later = a_freeze(at=NOW + 61, until=NOW + 70)
    assert freezes.put(later) == later, "one that is over counts for nothing"


def test_one_of_two_is_lifted(store: Store) -> None:
    """Lifting one team's freeze lifts the one of the whole fleet."""
    freezes = Freezes(store.db)
    freezes.put(a_freeze())
    freezes.put(a_freeze(scope="service:shop", until=None))
    assert [each.scope for each in freezes.all(NOW)] == ["all", "service:shop"], "the widest first"
    found = freezes.on("shop", {}, NOW)
    assert found is not None and found.scope == "service:shop", "the one that lasts longest"
    assert freezes.lift("service:shop", "me", "", NOW) is not None
    assert freezes.lift("service:shop", "me", "", NOW) is None
    found = freezes.on("shop", {}, NOW)
    assert found is not None and found.scope == ALL
    assert freezes.on("shop", {}, NOW + 60) is None, "over at its very end"


def test_the_refusal_says_who_and_why() -> None:
    """CI fails with `locked`, and nobody knows whom to ask."""
    assert str(Frozen("shop", a_freeze())) == "shop is frozen (all) by me: why"


def test_the_plan_knows_nothing_of_it(tmp_path: Path) -> None:
    """A frozen rollout that goes on is another one than was approved."""
    world = World(tmp_path, a_plan(approval="required"))
    before = world.row.plan_hash
    frozen(world)
    jobs(world, 60)
    assert world.row.plan_hash == before == a_plan(approval="required").hash

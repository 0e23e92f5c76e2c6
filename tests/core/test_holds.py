"""Holds and rollouts exclude each other, whoever comes first; and what was said of a hold is on record."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from rollout import control
from rollout.cli import _explain
from rollout.commands import guard
from rollout.exits import LOCKED
from rollout.fleet_journal import FleetJournal
from rollout.holds import Busy, Holds, Taken
from rollout.journal import first_broken_link
from rollout.rows import Hold
from rollout.store import Claimed, Held, Store
from rollout.times import BadTime, moment
from rollout.wiring import Installation

NOW = 1_000_000.0


def a_hold(at: float = NOW, actor: str = "ci@runner", until: float | None = NOW + 60, service: str = "shop") -> Hold:
    """A deployment's hold."""
    return Hold(service, actor, "release 7", "CHG-1", at, until)


def begin(store: Store, rollout: str = "shop-1", at: float = NOW, service: str = "shop", key: str | None = None) -> Any:
    """A rollout begins."""
    return store.open_rollout(rollout, service, {"provider": "memory"}, "hash", at=at, actor="me", key=key)


def enter(store: Store, phase: str, rollout: str = "shop-1", service: str = "shop") -> None:
    """It comes so far."""
    epoch = store.take_lease(service, _holder(), NOW)
    store.append(rollout, epoch, "entered", phase, {}, NOW)
    store.release_lease(rollout, epoch, NOW)


def close(store: Store, rollout: str = "shop-1", service: str = "shop") -> None:
    """It ends."""
    epoch = store.take_lease(service, _holder(), NOW)
    store.append(rollout, epoch, "closed", "retired", {"outcome": "promoted"}, NOW, outcome="promoted")
    store.release_lease(rollout, epoch)


def _holder() -> Any:
    from tests.core.scene import HOLDER

    return HOLDER


def records(store: Store, subject: str | None = None) -> list[tuple[str, str]]:
    """What the fleet's journal says."""
    return [(entry.kind, entry.step) for entry in FleetJournal(store.db).entries(subject=subject)]


# One after the other


def test_no_rollout_begins_on_a_held_service(store: Store) -> None:
    """A rollout mirrors a side in the middle of a deployment."""
    Holds(store.db).put(a_hold())
    with pytest.raises(Held, match=r"shop is held by ci@runner: release 7") as held:
        begin(store)
    assert held.value.hold == a_hold() and store.rollouts() == []
    begin(store, "other-1", service="other")


def test_a_start_is_refused_with_who_and_until_when(installation: Installation) -> None:
    """Whoever is refused does not know whom to ask, nor how to end it."""
    now = installation.clock.now()
    Holds(installation.store.db).put(a_hold(now, until=now + 60))
    with pytest.raises(Held) as held:
        control.start(installation, "shop", image=None, saved=None, key=None, actor="me", reason="")
    code, told = _explain(held.value)
    assert code == LOCKED
    assert "held by ci@runner: release 7 (since 20" in told and "rollout hold shop --release" in told
    assert installation.store.rollouts() == []


def test_the_same_key_finds_its_rollout_on_a_held_service(store: Store) -> None:
    """A pipeline that asks again about its own rollout is told of a hold instead."""
    opened = begin(store, key="nightly")
    close(store)
    Holds(store.db).put(a_hold())
    assert begin(store, "shop-2", key="nightly").id == opened.id


@pytest.mark.parametrize("phase", ["", "preparing", "shifting", "baking", "rolling_back", "retiring"])
def test_a_service_with_a_moving_rollout_cannot_be_held(store: Store, phase: str) -> None:
    """A deployment begins while traffic moves."""
    begin(store)
    if phase:
        enter(store, phase)
    with pytest.raises(Busy, match="shop has an open rollout: shop-1") as busy:
        Holds(store.db).put(a_hold())
    assert busy.value.phase == (phase or "opened")
    assert Holds(store.db).all(NOW) == [] and records(store) == []
    code, told = _explain(busy.value)
    assert code == LOCKED and "rollout status shop-1 --watch" in told


@pytest.mark.parametrize("phase", ["warm", "closed"])
def test_a_service_that_only_waits_can_be_held(store: Store, phase: str) -> None:
    """Deployments wait a day because a service was patched."""
    begin(store)
    enter(store, "warm")
    if phase == "closed":
        close(store)
    Holds(store.db).put(a_hold())
    assert Holds(store.db).of("shop", NOW) == a_hold()


def test_a_hold_ends_by_itself(store: Store) -> None:
    """A pipeline that was cancelled keeps patches away for ever."""
    Holds(store.db).put(a_hold(until=NOW + 60))
    assert store.hold("shop", NOW + 59.9) is not None
    assert store.hold("shop", NOW + 60) is None and Holds(store.db).all(NOW + 60) == []
    assert begin(store, at=NOW + 60).phase == "opened"


def test_a_hold_without_an_end_stays(store: Store) -> None:
    """A hold that was meant to stay ends by itself."""
    Holds(store.db).put(a_hold(until=None))
    assert store.hold("shop", NOW + 1e9) is not None


def test_somebody_elses_hold_is_not_taken_over(store: Store) -> None:
    """Two deployments believe that the service is theirs, and the first to end frees it for everybody."""
    Holds(store.db).put(a_hold())
    with pytest.raises(Taken, match="held by ci@runner already: release 7") as taken:
        Holds(store.db).put(a_hold(actor="you@desk"))
    assert _explain(taken.value)[0] == LOCKED
    assert Holds(store.db).of("shop", NOW) == a_hold()
    Holds(store.db).put(a_hold(NOW + 60, actor="you@desk", until=NOW + 90))  # the first is over by then
    assert records(store) == [("held", "shop"), ("held", "shop")]


def test_ones_own_hold_can_be_prolonged(store: Store) -> None:
    """A deployment that takes longer than planned loses the service in the middle."""
    Holds(store.db).put(a_hold())
    Holds(store.db).put(a_hold(NOW + 50, until=NOW + 500))
    hold = Holds(store.db).of("shop", NOW + 400)
    assert hold is not None and hold.until == NOW + 500


def test_a_release_is_on_record_with_whose_hold_it_was(store: Store) -> None:
    """Nobody can tell who freed a service in the middle of somebody's deployment."""
    Holds(store.db).put(a_hold())
    assert Holds(store.db).release("shop", "you@desk", "it hung", NOW + 5) == a_hold()
    assert store.hold("shop", NOW + 6) is None
    held, released = FleetJournal(store.db).entries()
    assert (held.kind, held.step, held.data["actor"], held.data["ref"]) == ("held", "shop", "ci@runner", "CHG-1")
    assert released.kind == "released" and released.at == NOW + 5
    said = {"actor": "you@desk", "reason": "it hung", "ref": ""}
    assert released.data == {**said, "held_by": "ci@runner", "held_since": NOW}


def test_releasing_what_is_not_held_says_so_and_records_nothing(store: Store) -> None:
    """A typing error is recorded as if a deployment had ended."""
    assert Holds(store.db).release("shop", "me", "", NOW) is None
    Holds(store.db).put(a_hold())
    assert Holds(store.db).release("shop", "me", "", NOW + 61) is None, "it was over already"
    assert records(store) == [("held", "shop")]


def test_a_release_wakes_what_waited_for_it(store: Store) -> None:
    """A warm side that was held past its end is given up half a minute late, or not at all."""
    begin(store)
    enter(store, "warm")
    epoch = store.take_lease("shop", _holder(), NOW)
    store.release_lease("shop-1", epoch, NOW + 3600)
    Holds(store.db).put(a_hold())
    Holds(store.db).release("shop", "me", "", NOW + 7)
    assert store.rollout("shop-1").due_at == NOW + 7


def test_holds_are_listed_in_order(store: Store) -> None:
    """Nobody sees what keeps the night's patches away."""
    for service in ("web", "api"):
        Holds(store.db).put(a_hold(service=service))
    assert [hold.service for hold in Holds(store.db).all(NOW)] == ["api", "web"]


def test_a_hold_lasts_hours_not_weeks_when_nothing_is_said() -> None:
    """A pipeline that was cancelled keeps patches away until somebody wonders."""
    said = inspect.signature(guard.hold).parameters["until"].default
    assert 3600 <= moment(said, NOW) - NOW <= 24 * 3600


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "25:00", "-1h", "4 hours ago"])
def test_a_time_that_is_none_is_refused_with_what_is_allowed(text: str) -> None:
    """A hold ends at once, or never, because of a typing error."""
    with pytest.raises(BadTime, match="2026-11-30T06:00"):
        moment(text, NOW)


def test_a_time_with_a_zone_is_that_time() -> None:
    """A hold across an ocean ends hours early."""
    assert moment("2026-11-30T06:00:00+00:00", NOW) == 1_796_018_400.0
    assert moment("2026-11-30T06:00:00+02:00", NOW) == 1_796_018_400.0 - 7200


# At the same time


@contextmanager
def two_stores() -> Iterator[tuple[Store, Store]]:
    """Two processes' views of one file."""
    with tempfile.TemporaryDirectory() as folder:
        first, second = (Store(Path(folder) / "rollout.db") for _ in range(2))
        try:
            yield first, second
        finally:
            first.close()
            second.close()


def test_a_hold_and_a_start_at_one_moment_never_both_succeed() -> None:
    """A deployment and a rollout begin in the same second, and change one service together."""
    with two_stores() as (first, second):
        for number in range(40):
            service, together, won = f"s{number}", Barrier(2), list[str]()

            def put(service: str = service, together: Barrier = together, won: list[str] = won) -> None:
                together.wait()
                try:
                    Holds(first.db).put(a_hold(service=service))
                    won.append("hold")
                except Busy:
                    return

            def start(service: str = service, together: Barrier = together, won: list[str] = won) -> None:
                together.wait()
                try:
                    begin(second, f"{service}-1", service=service)
                    won.append("start")
                except Held:
                    return

            threads = [Thread(target=put), Thread(target=start)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1, (service, won)
        assert first_broken_link(FleetJournal(first.db).entries()) == ""


SERVICES = st.sampled_from(["shop", "web"])
SIDES = st.sampled_from([0, 1])
ACTORS = st.sampled_from(["ci@runner", "you@desk"])


class HoldsAndRollouts(RuleBasedStateMachine):
    """Two processes on one store, with a model of what must be true beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.stores = [Store(Path(self.folder.name) / "rollout.db") for _ in range(2)]
        self.now, self.number = NOW, 0
        self.open: dict[str, tuple[str, str]] = {}  # service → rollout, phase
        self.held: dict[str, Hold] = {}
        self.said = 0

    def teardown(self) -> None:
        """Nothing is left."""
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def in_force(self, service: str) -> Hold | None:
        """The hold that the model says is on."""
        hold = self.held.get(service)
        return hold if hold and (hold.until is None or hold.until > self.now) else None

    @rule(seconds=st.sampled_from([1.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        """Holds end by themselves."""
        self.now += seconds

    @rule(side=SIDES, service=SERVICES, actor=ACTORS, lasts=st.sampled_from([None, 20.0, 90.0]))
    def put(self, side: int, service: str, actor: str, lasts: float | None) -> None:
        """Somebody holds a service, or is told why not."""
        hold = a_hold(self.now, actor, None if lasts is None else self.now + lasts, service)
        moving = service in self.open and self.open[service][1] != "warm"
        present = self.in_force(service)
        try:
            Holds(self.stores[side].db).put(hold)
        except Busy:
            assert moving
        except Taken:
            assert not moving and present and present.actor != actor
        else:
            assert not moving and not (present and present.actor != actor)
            self.held[service] = hold
            self.said += 1

    @rule(side=SIDES, service=SERVICES)
    def release(self, side: int, service: str) -> None:
        """Somebody ends a hold."""
        present = self.in_force(service)
        assert Holds(self.stores[side].db).release(service, "boss", "", self.now) == present
        self.held.pop(service, None)
        self.said += present is not None

    @rule(side=SIDES, service=SERVICES)
    def start(self, side: int, service: str) -> None:
        """A rollout begins, or is told why not."""
        self.number += 1
        rollout = f"{service}-{self.number}"
        try:
            begin(self.stores[side], rollout, self.now, service)
        except Held:
            assert self.in_force(service) and service not in self.open
        except Claimed:
            assert service in self.open
        else:
            assert not self.in_force(service) and service not in self.open
            self.open[service] = (rollout, "opened")

    @precondition(lambda self: self.open)
    @rule(side=SIDES, data=st.data(), phase=st.sampled_from(["shifting", "warm", "closed"]))
    def comes_to(self, side: int, data: Any, phase: str) -> None:
        """An open rollout goes on."""
        service = data.draw(st.sampled_from(sorted(self.open)))
        rollout, now = self.open[service]
        if phase == "closed":
            close(self.stores[side], rollout, service)
            del self.open[service]
        elif now != "warm":
            enter(self.stores[side], phase, rollout, service)
            self.open[service] = (rollout, phase)

    @rule(side=SIDES)
    def dies_and_comes_again(self, side: int) -> None:
        """A process ends and another one opens the file."""
        self.stores[side].close()
        self.stores[side] = Store(Path(self.folder.name) / "rollout.db")

    @invariant()
    def both_see_the_same_and_no_two_begin_together(self) -> None:
        """The promise of the whole."""
        for store in self.stores:
            seen = {hold.service: hold for hold in Holds(store.db).all(self.now)}
            assert seen == {name: hold for name in self.held if (hold := self.in_force(name))}
            moving = {row.service for row in store.rollouts(open_only=True) if row.phase != "warm"}
            assert not moving & set(seen)

    @invariant()
    def what_was_said_is_on_record(self) -> None:
        """Each word once, in one chain."""
        journal = FleetJournal(self.stores[0].db)
        entries = journal.entries()
        assert first_broken_link(entries) == ""
        assert len(entries) == self.said == journal.head()[0]


def test_whatever_happens_a_fresh_hold_and_a_moving_rollout_never_meet() -> None:
    """In some order of events that nobody thought of, a deployment and a rollout work on one service."""
    run_state_machine_as_test(
        HoldsAndRollouts,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


# The fleet's own journal


def test_an_entry_of_the_fleets_journal_cannot_be_changed_unseen(store: Store) -> None:
    """Somebody hides that they ended a hold."""
    journal = FleetJournal(store.db)
    for number in range(4):
        journal.append("held", "shop", {"n": number}, NOW + number)
    assert first_broken_link(journal.entries()) == "" and journal.head()[0] == 4
    with store.db.transaction() as db:
        db.execute("""UPDATE fleet_journal SET data = '{"n":9}' WHERE seq = 2""")
    assert "entry 2 (held shop) does not match its hash" in first_broken_link(journal.entries())


@pytest.mark.parametrize(("seq", "told"), [(1, "entry 1 is missing"), (2, "entry 2 is missing")])
def test_an_entry_cannot_be_taken_out_unseen(store: Store, seq: int, told: str) -> None:
    """Somebody takes a line out of the record."""
    journal = FleetJournal(store.db)
    for number in range(3):
        journal.append("held", "shop", {"n": number}, NOW)
    with store.db.transaction() as db:
        db.execute("DELETE FROM fleet_journal WHERE seq = ?", (seq,))
    assert told in first_broken_link(journal.entries())


def test_the_fleets_journal_can_be_asked_for_a_service_and_a_time(store: Store) -> None:
    """Whoever looks for one service's holds reads a year of everybody's."""
    journal = FleetJournal(store.db)
    for at, service in ((1.0, "shop"), (2.0, "web"), (3.0, "shop"), (4.0, "")):
        journal.append("held", service, {}, at)
    assert [entry.at for entry in journal.entries(subject="shop")] == [1.0, 3.0]
    assert [entry.at for entry in journal.entries(since=2.0)] == [2.0, 3.0, 4.0]
    assert [entry.at for entry in journal.entries(subject="")] == [4.0]


def test_an_entry_that_belongs_to_a_change_comes_and_goes_with_it(store: Store) -> None:
    """The record tells of a hold that was never put."""
    from rollout.fleet_journal import append_to_fleet

    with pytest.raises(RuntimeError), store.db.transaction() as db:
        append_to_fleet(db, "held", "shop", {}, NOW)
        raise RuntimeError("the disk is full")
    assert FleetJournal(store.db).entries() == []

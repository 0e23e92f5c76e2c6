"""One time for all machines: leases and due times are judged by the database's clock, whatever a machine's says."""

from __future__ import annotations

import time

import pytest

from rollout.engine.serve import JUMP_S
from rollout.lease import LEASE_S, Holder
from rollout.presence import AlreadyServed, note_server
from rollout.store import LeaseHeld, StoreError
from rollout.stores.clock import EVERY_S, StoreClock
from rollout.wiring import Installation
from tests.stores.kit import Place

ME, RIVAL = Holder("a", "b", 1, "1"), Holder("c", "d", 2, "2")


class Machine:
    """A machine with a steady clock of its own, and a database far away. `away_s`: how long an answer takes."""

    def __init__(self, steady: float = 0.0, database: float = 1000.0) -> None:
        self.steady, self.database, self.away_s, self.asked, self.gone = steady, database, 0.0, 0, False
        self.clock = StoreClock(self.ask, lambda: self.steady, self.passes)

    def ask(self) -> float:
        """The database's time."""
        self.asked += 1
        if self.gone:
            raise StoreError("gone")
        self.passes(self.away_s / 2)
        told = self.database
        self.passes(self.away_s / 2)
        return told

    def passes(self, seconds: float) -> None:
        """For the machine and for the database."""
        self.steady += seconds
        self.database += seconds


def test_time_goes_on_between_two_looks() -> None:
    """Each look at the clock is a question to the database."""
    machine = Machine()
    for _ in range(5):
        assert machine.clock.now() == pytest.approx(machine.database)
        machine.passes(EVERY_S / 10)
    assert machine.asked == 1
    machine.passes(EVERY_S)
    machine.clock.now()
    assert machine.asked == 2


def test_a_clock_that_was_set_is_followed() -> None:
    """A worker goes on by a time that nobody else has, for ever."""
    machine = Machine()
    before = machine.clock.now() - machine.steady
    machine.database += 3600
    machine.passes(EVERY_S)
    after = machine.clock.now() - machine.steady
    assert after - before == pytest.approx(3600) and after - before > JUMP_S, "which `rollout serve` tells"


def test_the_noise_of_looking_does_not_turn_time_back() -> None:
    """Entries of a journal seem to be in the wrong order by a millisecond."""
    machine, last = Machine(), 0.0
    for wrong_s in (0.0, 0.004, -0.004, 0.002, -0.003):
        machine.database += wrong_s
        machine.passes(EVERY_S)
        assert machine.clock.now() > last
        last = machine.clock.now()


def test_a_look_that_took_long_is_not_believed() -> None:
    """One slow answer makes a lease seem to have run out."""
    machine = Machine()
    offset = machine.clock.now() - machine.steady
    machine.away_s = 8.0
    machine.database += 3.0
    machine.passes(EVERY_S)
    assert machine.clock.now() - machine.steady == pytest.approx(offset)
    machine.away_s = 0.0
    machine.passes(EVERY_S)
    assert machine.clock.now() == pytest.approx(machine.database)


def test_without_the_database_time_goes_on_and_is_never_made_up() -> None:
    """Where the database is gone a worker stops, or drives by its own clock, which nobody has compared."""
    machine = Machine()
    machine.gone = True
    with pytest.raises(StoreError):
        machine.clock.now()
    machine.gone = False
    machine.clock.now()
    machine.gone = True
    machine.passes(EVERY_S)
    assert machine.clock.now() == pytest.approx(machine.database)
    asked = machine.asked
    machine.clock.now()
    assert machine.asked == asked, "not at each call, for each may wait for seconds"


def test_sleeping_is_this_machines() -> None:
    """A pause ends when somebody sets the database's clock."""
    machine = Machine()
    machine.clock.sleep(2.0)
    assert machine.steady == 2.0


def test_a_machine_whose_clock_is_an_hour_ahead_takes_no_lease(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine with a wrong clock takes every rollout away from the others, again and again."""
    right = Installation(shared.fleet_file)
    right.store.take_lease("shop", ME, right.clock.now())
    note_server(right.store.db, ME, right.clock.now())
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    wrong = Installation(shared.fleet_file)
    with pytest.raises(LeaseHeld) as held:
        wrong.store.take_lease("shop", RIVAL, wrong.clock.now())
    assert 0 < held.value.expires_in_s <= LEASE_S
    with pytest.raises(AlreadyServed):
        note_server(wrong.store.db, RIVAL, wrong.clock.now())
    assert abs(wrong.clock.now() - right.clock.now()) < 1
    for each in (right, wrong):
        each.store.close()


def test_a_store_on_one_machine_has_that_machines_time(place: Place) -> None:
    """Times in the journal are a database's that nobody asked, or none at all."""
    made = Installation(place.fleet_file)
    assert abs(made.clock.now() - time.time()) < 5
    assert (made.store.db.time() is None) == (place.url is None)
    made.store.close()

"""A server with an observer: what waits costs no jobs, and an observer that fails is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rollout.engine.serve import ObserverSilent
from rollout.engine.watch import AWAKE_S, Observer
from rollout.observer import Answer
from rollout.store import StoreError
from tests.core.scene import ROLLOUT
from tests.core.test_serve import PATIENCE_S, Desk


class Observed(Desk):
    """The desk of a server that has an observer; it looks once between two ticks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        world = self.world
        self.observer = Observer(world.store, lambda name: world.provider, world.clock.now)
        self.server = self.another(self.server.holder, self.told, observer=self.observer)

    def settle(self, server: object = None) -> None:
        """Let the look end before jobs begin, as nobody may wait for it by sleeping."""
        self.server.tick()
        for looking in list(self.server._aside.values()):
            looking.join(PATIENCE_S)
        for _, job in list(self.server._running.values()):
            assert job.done.wait(PATIENCE_S)
        self.server._collect()

    def waits_for_hosts(self) -> bool:
        """Is this what its rollout waits for?"""
        wait = self.world.store.wait(ROLLOUT)
        return wait is not None and wait.step == "running"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Observed]:
    """A server that has not begun, and one rollout that is open."""
    made = Observed(tmp_path)
    yield made
    made.world.store.close()


def test_a_rollout_is_driven_to_its_very_end(desk: Observed) -> None:
    """Something waits for an observer that does not wake it."""
    desk.server.begin()
    desk.serve(lambda: desk.world.row.closed_at is not None)
    assert (desk.phase(), desk.world.row.outcome) == ("retired", "promoted")
    assert desk.told.trouble == [] and desk.told.store == []


def test_what_waits_for_a_fact_has_no_jobs(desk: Observed) -> None:
    """Ten thousand that wait are ten thousand jobs every few seconds."""
    desk.world.behaves(starts=False)
    desk.server.begin()
    desk.serve(desk.waits_for_hosts)
    jobs = len(desk.told.jobs)
    for _ in range(2):
        desk.settle()
    assert len(desk.told.jobs) == jobs


def test_an_observer_that_fails_leaves_nobody_waiting(desk: Observed) -> None:
    """A mirror is up, and its rollout sleeps until a deadline in ten minutes."""
    desk.server.begin()
    desk.serve(desk.waits_for_hosts)

    def fails() -> None:
        raise StoreError("no")

    desk.observer._facts = fails  # type: ignore[method-assign, assignment]
    desk.serve(lambda: any(isinstance(error, ObserverSilent) for _, error in desk.told.trouble), AWAKE_S + 5)
    desk.serve(lambda: desk.world.row.closed_at is not None)
    assert desk.world.row.outcome == "promoted"


def test_a_successor_without_an_observer_looks_by_itself(desk: Observed) -> None:
    """Another server, or a command, takes over and finds everything due in ten minutes."""
    desk.server.begin()
    desk.serve(desk.waits_for_hosts)
    assert desk.world.row.due_at > desk.world.clock.now() + 60
    desk.server.leave()
    desk.server = desk.another(desk.server.holder, desk.told)
    desk.server.begin()
    desk.serve(lambda: desk.world.row.closed_at is not None)
    assert desk.world.row.outcome == "promoted"


def test_after_the_clock_was_set_nothing_that_was_read_is_believed(desk: Observed) -> None:
    """What was read an hour ago looks new by a clock that was set back, and a dead side passes its gate."""
    desk.server.begin()
    desk.settle()
    now = desk.world.clock.now()
    desk.observer._answers.put({"what": Answer("met", "then")}, now)
    desk.world.clock._now -= 3600.0
    desk.server._heed_clock()
    desk.world.clock._now += 3600.0
    assert desk.observer._answers.get("what", now - 1, now) is None

"""What the simulation found: a clock that is set back, and words that come in the wrong instant."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rollout.engine.local import Driver, Listener
from rollout.engine.serve import Server
from rollout.interventions import NotPossible, adopt
from rollout.wiring import Installation
from tests.core.scene import HOLDER, ROLLOUT, World, a_plan, phase_is

HOUR_S = 3600.0


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A rollout that has half of the traffic on the replacement."""
    world = World(tmp_path)
    world.drive(lambda world: "done swap:1:50" in world.kinds())
    return world


def set_back(world: World) -> None:
    """The clock, which is also the cloud's; in between nothing happens there."""
    world.clock._now -= HOUR_S


class Steady:
    """A clock that nobody sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        """Seconds since it began."""
        return self.seconds


def tick_until_idle(tick: Any, busy: Any) -> None:
    """Let the jobs that this begins come to their end, however long their threads take."""
    tick()
    while busy():
        tick()


def test_a_command_that_drives_looks_again_when_the_clock_was_set_back(world: World) -> None:
    """Half of the traffic is on the patch, and for an hour nobody looks at it."""
    ended = list[str]()
    driver = Driver(ROLLOUT, world.means, HOLDER, Listener(job=lambda job: ended.append(job.rollout)))
    tick_until_idle(driver.tick, lambda: driver.busy)
    driver.tick()
    before = len(ended)
    set_back(world)
    assert world.row.due_at > world.clock.now() + HOUR_S / 2
    tick_until_idle(driver.tick, lambda: driver.busy)
    assert len(ended) == before + 1
    assert world.row.due_at < world.clock.now() + 60.0
    driver.close()


def test_what_ran_while_the_clock_was_set_is_looked_at_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job that reckoned by the earlier time says when it is due: in an hour."""
    server = Server(world.store, lambda _: world.means, world.clock.now, Steady(), HOLDER)
    server.begin()
    server.tick()
    while server.running:
        server.tick()
    server._running["another"] = cast(Any, (world.row, SimpleNamespace(done=SimpleNamespace(is_set=lambda: False))))
    set_back(world)
    server.tick()
    while ROLLOUT in server._running:
        server.tick()
    del server._running["another"]
    with world.store.db.transaction() as db:
        db.execute("UPDATE rollouts SET due_at = ?", (world.clock.now() + HOUR_S,))
    began = list[str]()
    monkeypatch.setattr(Server, "_begin", lambda self, row, **more: began.append(row.id))
    server.tick()
    assert began == [ROLLOUT]


def test_a_rollback_is_complete_without_waiting_for_the_hour_that_comes_again(world: World) -> None:
    """Traffic is back, and for an hour the command does not return and the patch's hosts are paid for."""
    world.mark()
    world.drive(lambda world: "done back:swap" in world.kinds())
    at = world.clock.now()
    set_back(world)
    world.cloud.timeline.now = world.clock.now()
    world.store.wake_all(world.clock.now())
    world.drive(phase_is("rolled_back"))
    assert world.row.outcome == "rolled_back"
    assert world.clock.now() < at - HOUR_S + 120.0
    assert [entry.step for entry in world.entries("done") if ":again:" in entry.step] == ["back:hold:again:1"]
    assert len(world.mutations("traffic.set_weights")) == 2, "nothing was moved once more"


def test_what_is_over_cannot_be_taken_any_more(tmp_path: Path) -> None:
    """Killed between its last phase and its end, then adopted, a rollout is halted for ever and holds its service."""
    world = World(tmp_path, a_plan())
    installation = cast(
        Installation, SimpleNamespace(store=world.store, clock=world.clock, provider=lambda name: world.provider)
    )
    row = world.drive(phase_is("proving"))
    epoch = world.store.take_lease("shop", HOLDER, world.clock.now())
    world.store.append(ROLLOUT, epoch, "entered", "rolled_back", {}, world.clock.now())
    with pytest.raises(NotPossible, match="rollout resume"):
        adopt(installation, row, "me", "as it is")


def test_what_was_read_before_the_journal_went_on_is_read_again(tmp_path: Path) -> None:
    """A person takes a route that is moved in the same second, and the rollout halts over what they never saw."""
    world = World(tmp_path, a_plan())
    world.drive(phase_is("proving"))
    reads = list[Any]()

    def route(service: Any) -> Any:
        """While the first read is answered, the story goes on."""
        found = world.provider.traffic.route(service)
        reads.append(found)
        if len(reads) == 1:
            world.drive(phase_is("baking"))
        return found

    traffic = SimpleNamespace(route=route, observe=world.provider.traffic.observe)
    installation = cast(
        Installation,
        SimpleNamespace(store=world.store, clock=world.clock, provider=lambda name: SimpleNamespace(traffic=traffic)),
    )
    assert adopt(installation, world.row, "me", "as it is") == {"blue": 0, "green": 100}
    assert len(reads) == 2

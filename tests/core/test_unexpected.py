"""What nobody expected to go wrong (a disk, an adapter, a fault of ours) leaves no traffic half-way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.memory.clock import VirtualClock
from rollout import log
from rollout.card import CardFolder
from rollout.engine import job
from rollout.engine.local import Job
from rollout.run import UNEXPECTED
from rollout.store import NEVER, StoreError
from tests.core.scene import HOLDER, ROLLOUT, World, phase_is

FAULTS = [OSError(24, "Too many open files"), KeyError("Reservations"), ZeroDivisionError("a fault")]


class Broken:
    """One call of a contract raises this, until it is mended."""

    def __init__(self, contract: Any, call: str, error: Exception) -> None:
        self._contract, self._call, self.calls = contract, call, 0

        def raises(*arguments: Any, **more: Any) -> Any:
            self.calls += 1
            raise error

        object.__setattr__(contract, call, raises)

    def mend(self) -> None:
        """It works again."""
        object.__delattr__(self._contract, self._call)


def go_on(world: World, seconds: float) -> list[Exception | None]:
    """Jobs as they are due, until something is decided or a person is needed; what they met."""
    met, ends_at = list[Exception | None](), world.clock.now() + seconds
    while world.clock.now() < ends_at and world.row.due_at < NEVER and not world.journal.decision:
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        met.append(world.job().error)
    return met


def half(world: World) -> None:
    """Half of the traffic is on the replacement, under the live gate."""
    world.drive(lambda world: (wait := world.store.wait(ROLLOUT)) is not None and wait.step == "live:1:50")


@pytest.mark.parametrize("error", FAULTS[::2], ids=lambda error: type(error).__name__)
def test_half_the_traffic_is_put_back_when_nothing_can_be_looked_at(world: World, error: Exception) -> None:
    """Traffic stays 50/50 for ever on a host that has run out of open files, and nobody is told."""
    half(world)
    broken = Broken(world.provider.traffic, "observe", error)
    met = go_on(world, 10 * world.plan.deadlines["gate"])
    broken.mend()
    assert error in met, "the log wants its traceback"
    (troubled,) = world.entries("troubled")
    assert troubled.step == UNEXPECTED and troubled.data["reason"] == f"{type(error).__name__}: {error}"
    decision = world.journal.decision
    assert decision is not None and decision.data["deny"] is False
    assert str(error) in decision.data["reason"] and "it was healthy" in decision.data["readiness"]
    assert 0 < decision.at - troubled.at <= world.plan.deadlines["gate"] + 10
    assert world.drive().outcome == "rolled_back"


def test_where_it_cannot_be_decided_to_go_back_a_person_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fault in the way of the decision keeps traffic half-way in silence."""
    half(world)

    def breaks(*arguments: Any, **more: Any) -> Any:
        raise ZeroDivisionError("another fault")

    broken = Broken(world.provider.traffic, "observe", OSError(24, "Too many open files"))
    monkeypatch.setattr(job, "decide_roll_back", breaks)
    go_on(world, 10 * world.plan.deadlines["gate"])
    broken.mend()
    halt = world.journal.halt
    assert halt is not None and "Too many open files" in halt.data["reason"]
    assert "nor could it be decided to go back: ZeroDivisionError: another fault" in halt.data["reason"]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_an_act_that_breaks_turns_back_in_time(world: World, error: Exception) -> None:
    """A fault in the adapter's write is tried again for ever, while users are on both sides."""
    half(world)
    broken = Broken(world.provider.compute, "set_floor", error)
    writes = Broken(world.provider.traffic, "set_weights", error)
    met = go_on(world, 10 * world.plan.deadlines["gate"])
    assert error in met and broken.calls + writes.calls > 1
    decision = world.journal.decision
    assert decision is not None and f"{type(error).__name__}: {error}; given up after" in decision.data["reason"]
    assert decision.data["deny"] is False
    broken.mend()
    writes.mend()
    assert world.drive().outcome == "rolled_back" and world.store.denials("shop") == {}


def test_one_fault_of_a_moment_is_only_tried_again(world: World) -> None:
    """A good patch is put back for one file that could not be opened."""
    half(world)
    for _ in range(2):
        broken = Broken(world.provider.traffic, "observe", OSError(24, "Too many open files"))
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        advanced = world.job()
        assert advanced.due_at == world.clock.now() + 5
        broken.mend()
        world.passes(5)
        world.job()
        assert world.journal.trouble is None and world.journal.decision is None
    assert world.drive().outcome == "promoted"


def test_a_card_that_may_not_be_read_turns_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody ran a command as root, its card belongs to root, and traffic stays where it is for ever."""
    half(world)

    def forbidden(folder: CardFolder, service: str) -> Any:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(CardFolder, "read", forbidden)
        go_on(world, 10 * world.plan.deadlines["gate"])
    decision = world.journal.decision
    assert decision is not None and "PermissionError" in decision.data["reason"]
    assert world.drive().outcome == "rolled_back"


def test_a_promoted_rollout_that_meets_a_fault_asks_for_a_person(world: World) -> None:
    """An accepted patch is taken back for a fault of ours, or nobody is told."""
    world.drive(phase_is("warm"))
    broken = Broken(world.provider.traffic, "route", KeyError("Listeners"))
    go_on(world, 10 * world.plan.deadlines["gate"])
    broken.mend()
    assert world.journal.halt is not None and world.row.outcome == "halted"
    assert world.weights == {"blue": 0, "green": 100}


def test_a_way_back_that_meets_a_fault_asks_for_a_person(world: World) -> None:
    """A rollback that breaks is tried again for ever in silence."""
    half(world)
    world.mark()
    world.drive(phase_is("rolling_back"))
    broken = Broken(world.provider.traffic, "route", KeyError("Listeners"))
    for _ in range(200):
        if world.row.due_at >= NEVER:
            break
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()
    broken.mend()
    assert world.journal.halt is not None and "the rollback is not complete" in world.journal.halt.data["reason"]


def test_a_halted_rollout_stays_halted_without_a_word(world: World) -> None:
    """A halt that was told is told again at every look, as another trouble."""
    half(world)
    world.edit(33)
    world.drive()
    before = len(world.journal.entries)
    broken = Broken(world.provider.traffic, "route", KeyError("Listeners"))
    advanced = world.job()
    broken.mend()
    assert advanced.why == "halted" and isinstance(advanced.error, KeyError)
    assert len(world.journal.entries) == before


def test_the_stores_own_trouble_is_not_taken_for_the_rollouts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk turns every rollout back, as soon as it can be written that it was full."""
    half(world)
    before = len(world.journal.entries)

    def full(*arguments: Any, **more: Any) -> Any:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(world.store, "save_wait", full)
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        with pytest.raises(StoreError):
            world.job()
    assert not [entry for entry in world.journal.entries[before:] if entry.kind == "troubled"]


class Dies(BaseException):
    """The process is killed."""


def test_a_process_that_is_killed_journals_no_trouble(world: World) -> None:
    """A crash, or whoever fenced this one, is swallowed as trouble, and the job goes on."""
    half(world)
    error: Any = Dies()
    broken = Broken(world.provider.traffic, "observe", error)
    world.passes(max(0.0, world.row.due_at - world.clock.now()))
    with pytest.raises(Dies):
        world.job()
    broken.mend()
    assert world.entries("troubled") == []


def test_the_log_has_the_traceback(world: World, tmp_path: Path) -> None:
    """A fault is journalled in one line, and nobody can find where it is."""
    half(world)
    broken = Broken(world.provider.traffic, "observe", ZeroDivisionError("a fault"))
    world.passes(max(0.0, world.row.due_at - world.clock.now()))
    ended = Job(ROLLOUT, world.means, HOLDER, advanced=world.job())
    broken.mend()
    folder = tmp_path / "state"
    folder.mkdir()
    log.job_log(folder, VirtualClock(), "shop")(ended)
    written = "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    assert "job_failed" in written and "test_unexpected.py" in written

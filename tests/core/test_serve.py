"""One process drives everything that is open, leaves to others what is theirs, and survives what goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from providers.base import Service
from rollout.database import SqliteDatabase
from rollout.engine import local
from rollout.engine.job import Advanced, UnknownStory
from rollout.engine.local import Job
from rollout.engine.serve import AGAIN_S, MOST_S, TICK_S, Chore, ClockJumped, Server, Watchers
from rollout.journal import Entry, Journal, first_broken_link
from rollout.lease import LEASE_S, Holder, this_process
from rollout.means import Means
from rollout.plan import STORY, CheckSpec, Plan
from rollout.presence import AlreadyServed, leave_server, present_server
from rollout.rows import Row
from rollout.store import NEVER, LeaseHeld, Store, StoreError
from tests.core.scene import HOLDER, RIVAL, ROLLOUT, SHOP, World, a_plan

ME = this_process()
PATIENCE_S = 30.0
DECIDED = {"kind": "abort", "reason": "no", "actor": "me", "deny": False, "by_person": True, "route": None}


@dataclass
class Told:
    """What a server told its watchers."""

    entries: list[tuple[str, Entry]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    trouble: list[tuple[str, BaseException]] = field(default_factory=list)
    store: list[StoreError | None] = field(default_factory=list)

    @property
    def watchers(self) -> Watchers:
        """As the server wants them."""
        return Watchers(
            lambda row, entry: self.entries.append((row.service, entry)),
            lambda row, job: self.jobs.append(job),
            lambda what, error: self.trouble.append((what, error)),
            self.store.append,
        )


class Desk:
    """A server on a simulated world, with both clocks in hand. Jobs are threads; nothing is waited for by sleeping."""

    def __init__(self, folder: Path, plan: Plan | None = None, **more: Any) -> None:
        self.world = World(folder, plan)
        self.told = Told()
        self.steady = 1000.0
        self.jobs = list[Job]()
        self.server = self.another(ME, self.told, **more)

    def another(self, holder: Holder, told: Told | None = None, store: Store | None = None, **more: Any) -> Server:
        """A server of this world; by default on its store."""
        asked: dict[str, Any] = {"means_of": lambda provider: self.world.means, **more}
        return Server(
            store=store or self.world.store,
            now=self.world.clock.now,
            steady=lambda: self.steady,
            holder=holder,
            watchers=(told or Told()).watchers,
            **asked,
        )

    def passes(self, seconds: float) -> None:
        """Both clocks go on."""
        self.world.passes(seconds)
        self.steady += seconds

    def settle(self, server: Server | None = None) -> None:
        """Tick, wait for the jobs that began, and collect them."""
        server = server or self.server
        server.tick()
        for _, job in list(server._running.values()):
            assert job.done.wait(PATIENCE_S)
        server._collect()

    def serve(self, until: Callable[[], object], seconds: float = 2000.0, step_s: float = 0.5) -> None:
        """Go on like a server does, until something is so."""
        left = seconds
        while not until():
            assert left > 0, f"in vain; {[str(each) for each in self.told.trouble][-3:]} {self.world.kinds()[-5:]}"
            self.settle()
            self.passes(step_s)
            left -= step_s

    def phase(self) -> str:
        """How far the rollout has come."""
        return self.world.row.phase


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A server that has not begun, and one rollout that is open."""
    made = Desk(tmp_path)
    yield made
    made.world.store.close()


# Driving


def test_a_rollout_is_driven_to_its_very_end(desk: Desk) -> None:
    """What was promoted stays warm for ever, and the old side is paid for until somebody notices."""
    desk.server.begin()
    desk.serve(lambda: desk.world.row.closed_at is not None)
    assert (desk.phase(), desk.world.row.outcome) == ("retired", "promoted")
    assert desk.told.trouble == [] and desk.told.store == []
    assert first_broken_link(desk.world.journal.entries) == ""


def test_every_entry_is_told_once_and_in_order(desk: Desk) -> None:
    """The log of the server leaves out what happened, or repeats it."""
    desk.server.begin()
    desk.serve(lambda: desk.world.row.closed_at is not None)
    told = [entry.seq for _, entry in desk.told.entries]
    assert told == list(range(2, desk.world.journal.head + 1)), "what was there when it began is the past"


def test_a_job_is_told_with_its_step_and_before_its_entries(tmp_path: Path) -> None:
    """The log says that a job took a minute, and nobody can tell at what."""
    desk, order = Desk(tmp_path), list[tuple[str, str, int | None]]()
    desk.server.watchers = Watchers(
        entry=lambda row, entry: order.append(("entry", entry.step, entry.epoch)),
        job=lambda row, job: order.append(("job", job.step, job.epoch)),
    )
    desk.server.begin()
    desk.serve(lambda: desk.world.row.closed_at is not None)
    jobs = [at for at, (what, *_) in enumerate(order) if what == "job"]
    steps = list[str]()
    for begin, end in zip(jobs, [*jobs[1:], len(order)], strict=True):
        (_, step, epoch), entries = order[begin], order[begin + 1 : end]
        assert all(each[2] in (0, epoch) for each in entries), "what a job wrote is told after it"
        assert step == next((each[1] for each in reversed(entries) if each[1]), "")
        steps.append(step)
    assert steps[0] and {"live:1:50", "bake"} <= set(steps)
    assert "" in steps, "a look that changed nothing wrote nothing"
    desk.world.store.close()


def test_a_job_is_told_though_its_entries_cannot_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails for a moment, and the log has no line of what acted just then."""
    desk.server.begin()
    desk.server.tick()
    for _, job in list(desk.server._running.values()):
        assert job.done.wait(PATIENCE_S)

    def fails(rollout: str, after: int = 0) -> list[Entry]:
        raise StoreError("database is locked")

    with monkeypatch.context() as lost:
        lost.setattr(desk.world.store, "entries", fails)
        desk.server._collect()
    assert [job.step for job in desk.told.jobs] == [""] and desk.told.entries == []
    desk.passes(5.0)
    desk.settle()
    head = desk.world.journal.head
    assert [entry.seq for _, entry in desk.told.entries] == list(range(2, head + 1)), "told after the next one"
    own = [entry.step for _, entry in desk.told.entries if entry.epoch == desk.told.jobs[1].epoch]
    assert own == [] and desk.told.jobs[1].step == "", "what an earlier job wrote is not this one's"


def test_a_rollout_that_was_opened_meanwhile_is_told_from_its_beginning(tmp_path: Path) -> None:
    """`start --no-wait` is handed over, and the log of the server begins in the middle."""
    desk = Desk(tmp_path)
    desk.world.drive()
    desk.server.begin()
    plan = a_plan(original="green", original_image="base-2")
    desk.world.open(replace(plan, patch=replace(plan.patch, images={"memory": "base-3"})), "shop-2")
    desk.settle()
    assert [entry.seq for _, entry in desk.told.entries][:3] == [1, 2, 3]


def test_nothing_is_looked_at_before_its_time(desk: Desk) -> None:
    """A server with nothing to do asks the platform five times a second."""
    desk.server.begin()
    desk.settle()
    done = len(desk.told.jobs)
    for _ in range(20):
        desk.settle()
    assert len(desk.told.jobs) == done


def test_a_server_that_begins_looks_at_everything_that_is_open(desk: Desk) -> None:
    """After a crash a hold mark waits until the next look was due."""
    desk.world.drive(lambda world: world.row.phase == "warm")
    epoch = desk.world.store.take_lease("shop", RIVAL, desk.world.clock.now())
    desk.world.store.release_lease(ROLLOUT, epoch, desk.world.clock.now() + 3600)
    desk.server.begin()
    desk.settle()
    assert len(desk.told.jobs) == 1


def many(desk: Desk, count: int) -> list[str]:
    """Rollouts of so many more services, all due."""
    names = [f"web{number}" for number in range(count)]
    for name in names:
        fingerprint = a_plan().original_fingerprint
        desk.world.cloud.add_service(name, image="base-1", capacity=2, fingerprint=fingerprint)
        plan = replace(a_plan(), service=replace(SHOP, name=name))
        now = desk.world.clock.now()
        desk.world.store.open_rollout(f"{name}-1", name, plan.to_json(), plan.hash, at=now, actor="me")
    return names


def test_jobs_that_act_at_once_are_bounded(tmp_path: Path) -> None:
    """A hundred services that become due in one moment ask the platform for everything at once."""
    most, now, gate = [0], [0], threading.Event()
    lock = threading.Lock()

    def slow(spec: CheckSpec, subject: Subject) -> Verdict:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        gate.wait(PATIENCE_S)
        with lock:
            now[0] -= 1
        return Verdict.passed("good")

    desk = Desk(tmp_path, jobs=4)
    names = many(desk, 7)
    desk.world.asking(slow)
    desk.server.begin()
    desk.server.tick()
    assert desk.server.running == 3, "the fourth is kept for what cannot wait"
    desk.server.tick()
    assert desk.server.running == 3, "not one more, however often it ticks"
    gate.set()
    seen = set[str]()
    for _ in range(20):
        desk.settle()
        seen |= {job.rollout for job in desk.told.jobs}
    assert most[0] <= 4 and seen == {f"{name}-1" for name in names} | {ROLLOUT}


def in_phase(desk: Desk, rollout: str, phase: str) -> None:
    """One rollout is said to be in this phase."""
    desk.world.store.append(rollout, 0, "entered", phase, {}, desk.world.clock.now())


@pytest.mark.parametrize("most", [1, 2, 8])
def test_slow_work_keeps_no_way_back_and_no_gate_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Eight images are built for half an hour, and meanwhile a decided rollback and a live gate just wait."""
    built = threading.Event()

    def slow(rollout: str, *arguments: Any, **more: Any) -> Advanced:
        if rollout not in ("web0-1", "web1-1"):
            assert built.wait(PATIENCE_S)
        return Advanced("done", None)

    monkeypatch.setattr(local, "advance", slow)
    desk = Desk(tmp_path, jobs=most)
    for name in many(desk, 2 + most):
        in_phase(desk, f"{name}-1", "shifting" if name == "web1" else "patching")
    desk.server.begin()
    for waits in ("web0-1", "web1-1"):
        desk.world.store.note_driver(waits, RIVAL, desk.world.clock.now())
    desk.server.tick()
    desk.server.tick()
    assert desk.server.running == max(1, most - max(1, most // 4)), "all that slow work may have"
    assert not {"web0-1", "web1-1"} & set(desk.server._running)
    head, now = desk.world.store.rollout("web0-1").head_seq, desk.world.clock.now()
    desk.world.store.decide("web0-1", head, "roll_back_decided", DECIDED, now, outcome="running")
    for waits in ("web0-1", "web1-1"):
        desk.world.store.leave_driver(waits, RIVAL)
    desk.steady += 1.5
    order, begin = list[str](), desk.server._begin

    def noted(row: Row, *, urgent: bool) -> None:
        order.append(row.id)  # the threads of two jobs may overtake each other
        begin(row, urgent=urgent)

    desk.server._begin = noted  # type: ignore[method-assign]
    for waits in ("web0-1", "web1-1"):
        desk.steady += TICK_S
        desk.server.tick()
        assert waits in desk.server._running, "a way back first, then a live gate"
        assert desk.server._running[waits][1].done.wait(PATIENCE_S)
        assert desk.server.running <= max(most, 2)
        epoch = desk.world.store.take_lease(waits.removesuffix("-1"), RIVAL, now)
        desk.world.store.release_lease(waits, epoch)
    assert order.index("web0-1") < order.index("web1-1")
    built.set()
    for _, job in list(desk.server._running.values()):
        assert job.done.wait(PATIENCE_S)


def test_one_that_hangs_keeps_no_other_waiting(tmp_path: Path) -> None:
    """One platform that does not answer stops the rollouts of all the others."""
    hangs = threading.Event()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        if threading.current_thread().name == f"job {ROLLOUT}":
            hangs.wait(PATIENCE_S)
        return Verdict.passed("good")

    desk = Desk(tmp_path)
    many(desk, 1)
    desk.world.asking(ask)
    desk.server.begin()
    desk.server.tick()
    other = desk.server._running["web0-1"][1]
    assert other.done.wait(PATIENCE_S)
    desk.server.tick()
    assert [job.rollout for job in desk.told.jobs] == ["web0-1"] and desk.server.running == 1
    hangs.set()
    desk.settle()


# What others drive


def test_what_a_command_drives_is_left_to_it(desk: Desk) -> None:
    """A command and the server take the lease from each other at every step."""
    desk.server.begin()
    desk.world.store.note_driver(ROLLOUT, RIVAL, desk.world.clock.now())
    desk.settle()
    assert desk.told.jobs == [] and desk.world.kinds() == ["opened"]


def test_a_command_that_dies_or_falls_silent_is_taken_over_from(desk: Desk) -> None:
    """The laptop with the command is closed, and the rollout stands half-way until the morning."""
    desk.server.begin()
    desk.world.store.note_driver(ROLLOUT, RIVAL, desk.world.clock.now())
    for _ in range(int(LEASE_S)):
        desk.settle()
        assert desk.told.jobs == []
        desk.passes(1.0)
    desk.passes(2.0)
    desk.settle()
    assert len(desk.told.jobs) == 1
    dead = replace(ME, pid=2**22 - 3, started="1")
    desk.passes(30.0)
    desk.world.store.note_driver(ROLLOUT, dead, desk.world.clock.now())
    desk.settle()
    assert len(desk.told.jobs) == 2, "provably dead here: at once"


def test_a_held_lease_is_waited_for_without_a_word(desk: Desk) -> None:
    """The log is full of leases that are held as they should be."""
    desk.server.begin()
    desk.world.store.take_lease("shop", RIVAL, desk.world.clock.now())
    desk.settle()
    assert isinstance(desk.told.jobs[0].error, LeaseHeld) and desk.told.trouble == []
    for _ in range(8):
        desk.settle()
    assert len(desk.told.jobs) == 1, "not asked again at once"
    desk.serve(lambda: len(desk.world.journal.entries) > 1, seconds=2 * LEASE_S)


# Trouble


def test_a_broken_job_is_told_and_tried_again_ever_more_rarely(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rollout with a fault of ours in its way fills the log, or is never tried again."""

    def broken(*arguments: Any, **more: Any) -> Any:
        raise ZeroDivisionError("a fault")

    with monkeypatch.context() as patched:
        patched.setattr(local, "advance", broken)
        desk.server.begin()
        tries = list[float]()
        began = desk.steady
        for _ in range(2000):
            before = len(desk.told.trouble)
            desk.settle()
            tries += [desk.steady - began] * (len(desk.told.trouble) - before)
            desk.passes(0.5)
        gaps = [later - sooner for sooner, later in pairwise(tries)]
        assert gaps[0] == pytest.approx(AGAIN_S, abs=1.0) and gaps == sorted(gaps)
        assert gaps[-1] == pytest.approx(MOST_S, abs=1.0)
        assert {what for what, _ in desk.told.trouble} == {ROLLOUT}
    desk.serve(lambda: len(desk.world.journal.entries) > 1, seconds=MOST_S + 1)


def test_a_rollout_of_a_newer_release_is_told_and_left_alone(tmp_path: Path) -> None:
    """An older server drives what it does not understand, or stops for it."""
    desk = Desk(tmp_path, a_plan(story=STORY + 1))
    many(desk, 1)
    desk.server.begin()
    desk.serve(lambda: desk.world.store.rollout("web0-1").phase == "warm")
    assert desk.world.kinds() == ["opened"]
    assert {type(error) for _, error in desk.told.trouble} == {UnknownStory}
    assert len(desk.told.trouble) < 12


def test_a_provider_that_cannot_load_stops_only_its_own(tmp_path: Path) -> None:
    """A cloud library that is missing on this host stops every rollout of every other platform."""
    desk = Desk(tmp_path)
    plan = replace(a_plan(provider="moon"), service=replace(SHOP, name="crater"))
    desk.world.store.open_rollout("crater-1", "crater", plan.to_json(), plan.hash, at=0.0, actor="me")

    def means_of(provider: str) -> Means:
        if provider == "moon":
            raise ModuleNotFoundError("No module named 'moon'")
        return desk.world.means

    desk.server = desk.another(ME, desk.told, means_of=means_of)
    desk.server.begin()
    desk.serve(lambda: desk.phase() == "warm")
    assert {what for what, _ in desk.told.trouble} == {"crater-1"}
    assert desk.world.store.rollout("crater-1").head_seq == 1


def test_a_store_that_fails_is_told_and_gone_on_with_when_it_works(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk ends the server, and nobody drives when there is room again."""
    desk.server.begin()
    desk.serve(lambda: desk.phase() == "shifting")

    def full(database: SqliteDatabase, **how: Any) -> Any:
        raise StoreError("the store cannot be used: database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(SqliteDatabase, "transaction", full)
        desk.passes(5.0)
        for _ in range(5):
            desk.settle()
            desk.passes(1.0)
    assert desk.told.store and all(isinstance(error, StoreError) for error in desk.told.store)
    desk.settle()
    assert desk.told.store[-1] is None and desk.told.store.count(None) == 1
    desk.serve(lambda: desk.phase() == "warm")
    assert desk.told.store.count(None) == 1


def test_a_full_server_whose_store_fails_rests_between_two_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the night of the full disk the server takes a whole core from those who put traffic back."""
    desk = Desk(tmp_path, jobs=2)
    for number in range(8):
        name, plan = f"till-{number}", a_plan(service=Service(f"till-{number}"))
        desk.world.cloud.add_service(name, image="base-1", capacity=2)
        desk.world.store.open_rollout(name, name, plan.to_json(), plan.hash, at=desk.world.clock.now(), actor="me")
    desk.server.begin()
    desk.passes(1.0)
    desk.server.tick()

    def full(database: SqliteDatabase, **how: Any) -> Any:
        raise StoreError("full")

    monkeypatch.setattr(SqliteDatabase, "transaction", full)
    desk.passes(5.0)
    for _, job in list(desk.server._running.values()):
        assert job.done.wait(PATIENCE_S)
    desk.server.tick()
    slept = list[float]()
    desk.server.rest(slept.append)
    assert slept == [TICK_S]


def test_the_watchdog_is_fed_while_the_store_fails(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system kills a server that only waits for room on the disk, again and again, until it gives up."""
    fed, merged = list[float](), list[float]()
    desk.server.chores = [
        Chore("watchdog", 5.0, lambda: fed.append(desk.steady), needs_store=False),
        Chore("spool", 5.0, lambda: merged.append(desk.steady)),
    ]
    desk.server.begin()

    def full(database: SqliteDatabase, **how: Any) -> Any:
        raise StoreError("full")

    monkeypatch.setattr(SqliteDatabase, "transaction", full)
    desk.passes(5.0)
    for _ in range(60):
        desk.server.tick()
        desk.passes(1.0)
    assert len(fed) >= 12 and merged == []


def test_a_chore_that_fails_is_told_and_stops_nothing(desk: Desk) -> None:
    """A checkpoint folder that is full stops the rollouts, or the other chores."""
    done = list[float]()

    def fails() -> None:
        raise OSError("no space left")

    desk.server.chores = [Chore("checkpoint", 10.0, fails), Chore("spool", 4.0, lambda: done.append(desk.steady))]
    desk.server.begin()
    desk.serve(lambda: desk.phase() == "warm")
    assert {what for what, _ in desk.told.trouble} == {"checkpoint"}
    gaps = [later - sooner for sooner, later in pairwise(done)]
    assert gaps and min(gaps) >= 4.0 and max(gaps) < 5.0


# The clock


def journal_of(desk: Desk) -> list[str]:
    """What is recorded of gates and waits."""
    return sorted(desk.world.journal.recorded_steps())


@pytest.mark.parametrize("hours", [1, -1])
@pytest.mark.parametrize("step", ["live:1:50", "bake"])
def test_no_gate_passes_because_the_clock_was_set(tmp_path: Path, hours: int, step: str) -> None:
    """Daylight saving on a badly set host promotes a patch that was watched for a second."""
    soak = replace(a_plan().gates["live"].rule, soak_s=20.0)
    plan = a_plan(gates={name: replace(gate, rule=soak) for name, gate in a_plan().gates.items()})
    desk = Desk(tmp_path, plan)
    desk.server.begin()

    def waits() -> bool:
        wait = desk.world.store.wait(ROLLOUT)
        return wait is not None and wait.step == step and wait.state["judged"]["passes"] >= 2

    desk.serve(waits)
    desk.world.clock._now += hours * 3600.0
    desk.world.cloud.catch_up()
    set_at = desk.steady
    desk.settle()
    assert desk.world.journal.record(step) is None
    (jumped,) = [error for what, error in desk.told.trouble if what == "clock"]
    assert isinstance(jumped, ClockJumped) and jumped.seconds == pytest.approx(hours * 3600.0, abs=1.0)
    assert ("forward" if hours > 0 else "back") in str(jumped)
    desk.serve(lambda: desk.world.journal.record(step) is not None, seconds=60)
    assert desk.steady - set_at >= 20.0, "it soaked once more, in full"
    assert desk.world.journal.decision is None
    if hours > 0:  # the simulated platform's own events cannot go back in time
        desk.serve(lambda: desk.phase() == "warm")


@pytest.mark.parametrize("hours", [1, -1])
def test_everything_is_looked_at_anew_when_the_clock_was_set(desk: Desk, hours: int) -> None:
    """A clock that is set back by an hour puts every rollout to sleep for an hour."""
    desk.server.begin()
    desk.serve(lambda: desk.phase() == "warm")
    desk.settle()
    jobs = len(desk.told.jobs)
    desk.world.clock._now += hours * 3600.0
    desk.settle()
    assert len(desk.told.jobs) == jobs + 1


def test_a_clock_that_is_put_right_by_a_second_is_nothing(desk: Desk) -> None:
    """Each correction by the time server begins every soak again."""
    desk.server.begin()
    desk.settle()
    for _ in range(20):
        desk.world.clock._now += 1.0
        desk.settle()
        desk.passes(1.0)
    assert [what for what, _ in desk.told.trouble if what == "clock"] == []


@pytest.mark.parametrize("hours", [1, -1])
def test_a_server_stays_the_one_when_the_clock_was_set(desk: Desk, hours: int) -> None:
    """After the clock was set, a second server takes the first one's place while it lives."""
    desk.server.begin()
    desk.world.clock._now += hours * 3600.0
    desk.server.tick()
    with pytest.raises(AlreadyServed):
        desk.another(RIVAL).begin()


# Two servers


def test_a_second_server_is_refused_and_the_first_named(desk: Desk) -> None:
    """Two servers drive one fleet, and nobody knows of the other."""
    desk.server.begin()
    with pytest.raises(AlreadyServed, match=f"served by process {ME.pid} on ") as refused:
        desk.another(RIVAL).begin()
    assert refused.value.server.holder == ME
    desk.passes(LEASE_S - 1)
    with pytest.raises(AlreadyServed):
        desk.another(RIVAL).begin()


def test_a_server_that_left_or_died_makes_room_at_once(desk: Desk) -> None:
    """After a restart the new server is refused because of the old one."""
    desk.server.begin()
    desk.server.leave()
    second = desk.another(RIVAL)
    second.begin()
    leave_server(desk.world.store.db, RIVAL)
    desk.another(replace(ME, pid=2**22 - 5, started="1")).begin()
    desk.server.begin()
    present = present_server(desk.world.store.db, desk.world.clock.now())
    assert present is not None and present.holder == ME


def test_a_server_that_was_frozen_ends_and_its_late_write_counts_for_nothing(tmp_path: Path) -> None:
    """A host that hung for a minute comes back and goes on beside the server that took its place."""
    desk = Desk(tmp_path)
    at_swap, go_on = threading.Event(), threading.Event()
    real = desk.world.provider.traffic.set_weights
    calls = [0]

    def frozen(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            at_swap.set()
            assert go_on.wait(PATIENCE_S)
        return real(*arguments)

    object.__setattr__(desk.world.provider.traffic, "set_weights", frozen)
    desk.server.begin()
    while not at_swap.is_set():
        desk.server.tick()
        for _, job in list(desk.server._running.values()):
            while not (job.done.is_set() or at_swap.is_set()):
                job.done.wait(0.01)
        desk.passes(0.5)
    desk.passes(LEASE_S + 1)  # it does not tick meanwhile: the process stands still

    store = Store(tmp_path / "rollout.db")
    told = Told()
    second = desk.another(RIVAL, told, store, means_of=lambda provider: replace(desk.world.means, store=store))
    second.begin()
    for _ in range(20):
        desk.settle(second)
        desk.passes(1.0)
    assert Journal(store.entries(ROLLOUT)).record("swap:1:50") is not None
    go_on.set()
    ((_, late),) = desk.server._running.values()
    assert late.done.wait(PATIENCE_S)
    with pytest.raises(AlreadyServed):
        desk.server.tick()
    assert late.advanced is not None and "is stale" in late.advanced.why
    results = [entry.step for entry in store.entries(ROLLOUT) if entry.kind in ("done", "failed", "ended")]
    assert len(results) == len(set(results))
    desk.server.leave()
    present = present_server(store.db, desk.world.clock.now())
    assert present is not None and present.holder == RIVAL, "it takes nobody with it"
    for _ in range(400):
        if store.rollout(ROLLOUT).phase == "warm":
            break
        desk.settle(second)
        desk.passes(0.5)
    assert store.rollout(ROLLOUT).outcome == "promoted" and first_broken_link(store.entries(ROLLOUT)) == ""
    store.close()


# Stopping


def test_stopping_lets_what_acts_end_and_begins_nothing(tmp_path: Path) -> None:
    """The server is restarted in the middle of a swap, and nobody knows whether it took effect."""
    gate = threading.Event()

    def slow(spec: CheckSpec, subject: Subject) -> Verdict:
        gate.wait(PATIENCE_S)
        return Verdict.passed("good")

    desk = Desk(tmp_path)
    desk.world.asking(slow)
    desk.server.begin()
    desk.server.tick()
    assert desk.server.running == 1
    desk.server.stop()
    desk.server.tick()
    assert desk.server.running == 1, "what acts is waited for"
    gate.set()
    desk.settle()
    assert desk.server.running == 0 and desk.told.jobs[0].error is None
    desk.passes(60.0)
    desk.settle()
    assert len(desk.told.jobs) == 1
    assert desk.world.store.lease("shop") is None
    desk.server.leave()
    assert present_server(desk.world.store.db, desk.world.clock.now()) is None


def test_a_halted_rollout_is_left_alone_but_for_a_mark(desk: Desk) -> None:
    """The on-call engineer's rollback of a halted rollout is never finished, or a halted one is driven on."""
    wake = Chore("halted", 30.0, lambda: desk.world.store.wake_all(desk.world.clock.now(), halted=True))
    desk.server.chores = [wake]
    desk.server.begin()
    desk.serve(lambda: desk.phase() == "shifting")
    desk.world.edit(33)
    desk.serve(lambda: desk.world.row.outcome == "halted")
    head = desk.world.journal.head
    for _ in range(70):
        desk.settle()
        desk.passes(1.0)
    assert desk.world.journal.head == head and desk.world.row.due_at >= NEVER
    desk.world.edit(0)
    desk.world.mark()
    desk.serve(lambda: desk.world.row.closed_at is not None, seconds=120)
    assert desk.world.row.outcome == "rolled_back"


def test_waking_all_leaves_the_halted_asleep(desk: Desk) -> None:
    """Every restart of the server wakes what waits for a person."""
    row: Row = desk.world.row
    epoch = desk.world.store.take_lease("shop", RIVAL, 0.0)
    desk.world.store.release_lease(row.id, epoch, None)
    desk.world.store.wake_all(5.0)
    assert desk.world.row.due_at >= NEVER
    desk.world.store.wake_all(6.0, halted=True)
    assert desk.world.row.due_at == 6.0
    desk.world.store.wake_all(7.0, halted=True)
    assert desk.world.row.due_at == 6.0


def test_a_store_that_is_closed_below_a_job_is_an_error_not_a_crash(tmp_path: Path) -> None:
    """A server that ends while a job still reads takes the whole process down with a core dump."""
    for number in range(30):
        store, began, ended = Store(tmp_path / f"{number}.db"), threading.Event(), list[BaseException]()

        def work(store: Store = store, began: threading.Event = began, ended: list[BaseException] = ended) -> None:
            try:
                while True:
                    store.take_lease("shop", RIVAL, 1.0)
                    began.set()
            except StoreError as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert began.wait(PATIENCE_S)
        store.close()
        thread.join(PATIENCE_S)
        assert len(ended) == 1 and str(store.path) in str(ended[0])


# Thousands


def test_a_tick_costs_the_same_reads_however_many_are_due(tmp_path: Path) -> None:
    """Ten thousand gates are due, each tick takes seconds, and the eight jobs that it begins are all that is done."""
    desk = Desk(tmp_path, jobs=4)
    for number in range(1200):
        name = f"till-{number}"
        plan = a_plan(service=Service(name))
        desk.world.store.open_rollout(name, name, plan.to_json(), plan.hash, at=desk.world.clock.now(), actor="me")
    desk.server.begin()
    asked, read = list[str](), desk.world.store.db.all

    def reading(query: str, *more: Any) -> list[tuple[Any, ...]]:
        asked.append(query)
        return read(query, *more)

    desk.world.store.db.all = reading  # type: ignore[method-assign]
    desk.server._begin = lambda row, urgent: desk.server._urgent.setdefault(row.id, urgent)  # type: ignore[method-assign, assignment, misc]
    desk.server._begin_what_is_due()
    assert len(asked) <= 30
    assert sum("plan" in query for query in asked) <= 4, "only what begins is read as a whole"
    desk.world.store.close()


def test_what_is_woken_after_a_restart_keeps_nothing_waiting_that_is_due(tmp_path: Path) -> None:
    """After a kill -9 ten thousand looks come before the one that a live gate waits for."""
    store, now = Store(tmp_path / "rollout.db"), 1000.0
    for number in range(1000):
        name, plan = f"till-{number}", a_plan(service=Service(f"till-{number}"))
        store.open_rollout(name, name, plan.to_json(), plan.hash, at=0.0, actor="me")
        epoch = store.take_lease(name, HOLDER, 0.0)
        store.release_lease(name, epoch, None if number == 999 else now + (2.0 if number < 10 else 5000.0))
    store.wake_all(now)
    due = {row.id: row.due_at for row in store.rollouts(open_only=True)}
    assert sum(at <= now + 1 for at in due.values()) in range(40, 61), "a few at once"
    assert max(at for name, at in due.items() if name != "till-999") <= now + 20, "and the others soon"
    assert all(due[f"till-{number}"] <= now + 2 for number in range(10)), "none is put off"
    assert due["till-999"] == NEVER, "but what is halted"
    store.decide("till-500", store.rollout("till-500").head_seq, "roll_back_decided", {}, now + 3600.0)
    store.wake_all(now)
    assert store.rollout("till-500").due_at == now, "the clock was set back: what turns back does not wait its turn"
    store.wake_all(now, halted=True)
    assert store.rollout("till-999").due_at <= now + 20
    store.close()


def test_a_server_that_is_full_looks_again_soon(tmp_path: Path) -> None:
    """Jobs take milliseconds, and whoever comes after them waits for the next tick."""
    desk = Desk(tmp_path, jobs=2)
    for number in range(4):
        name = f"till-{number}"
        desk.world.cloud.add_service(name, image="base-1", capacity=2)
        plan = a_plan(service=Service(name))
        desk.world.store.open_rollout(name, name, plan.to_json(), plan.hash, at=desk.world.clock.now(), actor="me")
    desk.server.begin()
    slept = list[float]()
    desk.server.rest(slept.append)
    assert slept == [TICK_S]
    began = 0
    while began < 4:
        desk.server.tick()
        began += desk.server.running
        desk.server.rest(slept.append)
    assert slept[1:] in ([], [TICK_S]), "it waits for the end of a job, and no longer"
    desk.server.stop()
    desk.server.rest(slept.append)
    assert slept[-1] == TICK_S
    desk.settle()
    desk.world.store.close()

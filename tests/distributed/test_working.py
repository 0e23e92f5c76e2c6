"""One wake-up carried out: on SQLite and virtual time, for no queue is needed to try it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.base import Subject, Verdict
from rollout.database import StoreError
from rollout.engine.working import AGAIN_S, MOST_S, OF_PEOPLE, Broke, Ended, Worker, written
from rollout.journal import Entry
from rollout.means import Means
from rollout.plan import CheckSpec
from rollout.presence import (
    AlreadyServed,
    is_observed,
    leave_server,
    note_server,
    note_sharing,
    present_driver,
    present_workers,
)
from rollout.rows import Row
from tests.core.scene import HOLDER, RIVAL, ROLLOUT, World, always_pass


class Bench:
    """A worker on a simulated world."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder)
        self.told = list[Ended | Broke]()
        self.worker = Worker(
            self.world.store, lambda name: self.world.means, self.world.clock.now, HOLDER, self.told.append
        )

    def broke(self) -> list[BaseException]:
        """What was told as broken."""
        return [each.error for each in self.told if isinstance(each, Broke)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """One that has done nothing yet."""
    made = Bench(tmp_path)
    yield made
    made.world.store.close()


def test_it_goes_on_until_something_has_to_be_waited_for(bench: Bench) -> None:
    """Each step of a rollout costs a way through the queue."""
    bench.worker.carry_out(ROLLOUT)
    assert bench.world.row.due_at > bench.world.clock.now()
    assert len(bench.world.entries("entered")) >= 1
    assert all(isinstance(each, Ended) and each.job.error is None for each in bench.told)


def test_what_is_not_due_is_left(bench: Bench) -> None:
    """A wake-up that came late makes a gate look twice as often as it should."""
    bench.worker.carry_out(ROLLOUT)
    done, epoch = len(bench.told), bench.world.journal.entries[-1].epoch
    bench.worker.carry_out(ROLLOUT)
    assert len(bench.told) == done and bench.world.journal.entries[-1].epoch == epoch


@pytest.mark.parametrize("which", ["nonsense", ROLLOUT])
def test_what_is_gone_or_closed_is_left(bench: Bench, which: str) -> None:
    """A wake-up for a rollout that ended ends a worker."""
    if which == ROLLOUT:
        bench.world.drive()
        assert bench.world.row.closed_at is not None
    bench.worker.carry_out(which)
    assert bench.told == []


def test_who_is_asked_to_stop_begins_nothing(bench: Bench) -> None:
    """A worker that is to end begins the longest step of the day."""
    bench.worker.stopping.set()
    bench.worker.carry_out(ROLLOUT)
    assert bench.told == [] and bench.world.row.head_seq == 1


def test_a_lease_of_another_one_is_no_trouble(bench: Bench) -> None:
    """Two workers fill the log with each other."""
    bench.world.store.take_lease("shop", RIVAL, bench.world.clock.now())
    bench.worker.carry_out(ROLLOUT)
    assert bench.told == [] and bench.world.row.head_seq == 1


def test_one_process_drives_a_rollout_once_at_a_time(bench: Bench) -> None:
    """Two wake-ups of one rollout fence each other for ever, for both have the same lease."""
    asked, free = threading.Event(), threading.Event()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        asked.set()
        assert free.wait(30.0)
        return always_pass(spec, subject)

    bench.world.asking(ask)
    first = threading.Thread(target=bench.worker.carry_out, args=[ROLLOUT])
    first.start()
    assert asked.wait(30.0)
    epoch = bench.world.journal.entries[-1].epoch
    bench.worker.carry_out(ROLLOUT)
    assert bench.worker.acting == {ROLLOUT} and bench.world.journal.entries[-1].epoch == epoch
    free.set()
    first.join(30.0)
    assert bench.worker.acting == set() and bench.broke() == []


def test_what_breaks_is_tried_again_ever_more_rarely_but_never_given_up(bench: Bench) -> None:
    """A fault of one rollout takes a worker's whole time, or is never tried again."""
    error = RuntimeError("no library")

    def means(name: str) -> Means:
        raise error

    waits = list[float]()
    bench.worker = replace(bench.worker, means_of=means)
    for _ in range(8):
        bench.worker.carry_out(ROLLOUT)
        waits.append(bench.world.row.due_at - bench.world.clock.now())
        bench.world.passes(waits[-1])
    assert bench.broke() == [error] * 8
    assert waits[0] == pytest.approx(AGAIN_S) and waits == sorted(waits) and waits[-1] == pytest.approx(MOST_S)
    bench.worker.means_of = lambda name: bench.world.means
    bench.worker.carry_out(ROLLOUT)
    assert bench.world.row.head_seq > 1


def test_a_job_that_broke_gives_its_lease_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever could do better has to wait until the lease runs out."""

    def broken(*arguments: object, **options: object) -> None:
        options["on_lease"](bench.world.store.take_lease("shop", HOLDER, bench.world.clock.now()))  # type: ignore[operator]
        raise ZeroDivisionError

    monkeypatch.setattr("rollout.engine.local.advance", broken)
    bench.worker.carry_out(ROLLOUT)
    assert bench.world.store.lease("shop") is None
    assert [type(each) for each in bench.broke()] == [ZeroDivisionError]


def test_a_decision_that_came_meanwhile_is_not_put_off(bench: Bench) -> None:
    """A rollback waits for the next try of what broke."""

    def means(name: str) -> Means:
        head = bench.world.row.head_seq
        bench.world.store.decide(ROLLOUT, head, "paused", {"by": "me"}, bench.world.clock.now())
        raise RuntimeError("no library")

    bench.worker = replace(bench.worker, means_of=means)
    bench.worker.carry_out(ROLLOUT)
    assert bench.world.row.due_at <= bench.world.clock.now()


def test_a_store_that_fails_is_no_trouble_of_the_rollout(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is gone for a moment is told once for each rollout."""

    def gone(rollout: str) -> Row:
        raise StoreError("no answer")

    monkeypatch.setattr(bench.world.store, "rollout", gone)
    bench.worker.carry_out(ROLLOUT)
    assert bench.told == [] and bench.worker.acting == set()


def test_what_people_said_is_told_with_what_follows(bench: Bench) -> None:
    """Nobody learns from a worker's lines why it turned back."""
    bench.worker.carry_out(ROLLOUT)
    told = next(each for each in bench.told if isinstance(each, Ended))
    assert [entry.kind for entry in told.entries][:2] == ["opened", "entered"]
    assert told.job.step


ENTRIES = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from(["opened", "paused", "done", "waiting", "ended"])), max_size=12
)


@given(found=ENTRIES, epoch=st.integers(1, 4))
def test_each_entry_is_told_by_the_job_that_wrote_it(found: list[tuple[int, str]], epoch: int) -> None:
    """The lines of two workers have gaps, or say everything twice."""
    entries = [Entry("r", seq, 0.0, e, kind, "", {}, "", "") for seq, (e, kind) in enumerate(sorted(found), 1)]
    told = written(entries, epoch)
    own = [entry for entry in entries if entry.epoch == epoch and entry.kind not in OF_PEOPLE]
    assert [entry for entry in told if entry.kind not in OF_PEOPLE] == own
    if own:
        words = [entry for entry in told if entry.kind in OF_PEOPLE]
        assert [entry.seq for entry in words] == list(range(own[0].seq - len(words), own[0].seq))
    else:
        assert told == ()


# Who is there


def test_workers_are_on_the_list_until_they_leave_or_fall_silent(bench: Bench) -> None:
    """`start --no-wait` hands a rollout to nobody, or is refused although workers run."""
    db, now = bench.world.store.db, bench.world.clock.now()
    assert present_driver(db, now) is None and present_workers(db, now) == []
    note_sharing(db, RIVAL, now, now, works=True)
    note_sharing(db, HOLDER, now + 1, now + 1, works=True, observes=True)
    assert [each.holder for each in present_workers(db, now + 1)] == [RIVAL, HOLDER]
    assert bench.world.store.driver(ROLLOUT, now + 1) == RIVAL
    assert is_observed(db, now + 1)
    note_server(db, HOLDER, now + 1)
    assert bench.world.store.driver(ROLLOUT, now + 1) == HOLDER
    with pytest.raises(AlreadyServed):
        note_server(db, RIVAL, now + 1)
    leave_server(db, HOLDER)
    assert not is_observed(db, now + 1)
    assert present_driver(db, now + 60) is None
    note_sharing(db, HOLDER, now + 100, now + 100, works=False)
    assert db.all("SELECT count(*) FROM servers")[0][0] == 0

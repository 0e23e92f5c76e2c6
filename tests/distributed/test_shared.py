"""Several engines on one PostgreSQL: they share the work, take over from each other, and do nothing twice."""

from __future__ import annotations

import threading
import time

import pytest

from healthchecks.base import Subject, Verdict
from providers.base import Denied
from rollout.database import StoreError
from rollout.engine.shared import NobodyWorks
from rollout.lease import LEASE_S
from rollout.means import Means
from rollout.plan import CheckSpec
from rollout.store import NEVER
from tests.core.scene import RIVAL, always_pass
from tests.distributed.hall import Desk, Hall, quick_plan, wait_until

TAKEN_S = 15.0


def once(desk: Desk) -> int:
    """How often it did what is done once for a fleet."""
    return desk.told.chores.count("once")


# Work


def test_a_rollout_is_driven(hall: Hall) -> None:
    """Nothing moves on PostgreSQL."""
    desk = hall.works()
    hall.open()
    hall.wait_phase("warm")
    hall.assert_once_each()
    assert desk.told.trouble == [] and desk.told.store == []
    desk.leave()
    assert [entry.seq for entry in desk.told.entries] == list(range(1, hall.row().head_seq + 1))
    assert hall.queue() == [] and hall.place.sql("SELECT count(*) FROM procrastinate_workers") == [(0,)]


def test_two_share_the_work(hall: Hall) -> None:
    """A second host is paid for, and does nothing; or both do the same."""
    first, second = hall.works(), hall.works()
    rollouts = [hall.open(f"s{number}") for number in range(6)]
    for rollout in rollouts:
        hall.wait_phase("warm", rollout=rollout)
        hall.assert_once_each(rollout)
    assert first.told.entries and second.told.entries
    assert first.told.trouble == second.told.trouble == []
    for desk in (first, second):
        desk.leave()
    told = [(entry.rollout, entry.seq) for desk in (first, second) for entry in desk.told.entries]
    assert len(told) == len(set(told)), "each entry is told once, by who wrote it"
    assert len(told) == sum(hall.row(rollout).head_seq for rollout in rollouts)


def test_what_another_one_drives_is_left_quietly(hall: Hall) -> None:
    """Two processes at one rollout fill the log with each other."""
    hall.open()
    hall.store.take_lease("shop", RIVAL, hall.clock.now(), 4.0)
    desk = hall.works()
    hall.place.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES"
        """ ('later-1', 'advance', '{"rollout": "shop-1"}')"""
    )
    wait_until(lambda: hall.queue() == [], "the wake-up is carried out, in vain")
    assert (desk.told.trouble, desk.told.entries) == ([], [])
    hall.wait_phase("warm")
    assert desk.told.trouble == []


def test_one_without_jobs_only_queues(hall: Hall) -> None:
    """A small host that should only serve builds images."""
    hall.serves(jobs=0)
    hall.open()
    wait_until(hall.queue, "it is queued")
    assert [each["status"] for each in hall.queue()] == ["todo"]
    told = hall.desks[0].told.trouble
    wait_until(lambda: told, "it is said that nobody works")
    assert [(what, type(error)) for what, error in told] == [("workers", NobodyWorks)]
    hall.works()
    hall.wait_phase("warm")
    assert len(told) == 1, "once"


def test_slow_jobs_leave_room_for_what_cannot_wait(hall: Hall) -> None:
    """Four images are built, and a rollback waits until one of them is ready."""
    free = threading.Event()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        if spec.label == "slow":
            free.wait(30.0)
        return always_pass(spec, subject)

    hall.asking(ask)
    desk = hall.works(jobs=4)
    for number in range(5):
        hall.open(f"slow{number}", quick_plan(f"slow{number}", check="slow"))
    wait_until(lambda: desk.server.running == 3, "three of four slots are taken")
    hall.open("quick")
    hall.place.sql("UPDATE rollouts SET phase = 'baking' WHERE service = 'quick'")
    wait_until(lambda: len(hall.store.entries("quick-1")) > 1, "it is driven at once")
    assert desk.server.running >= 3 and not free.is_set()
    free.set()


# Who is gone


@pytest.mark.slow
def test_what_hangs_is_taken_over_and_its_late_write_is_refused(hall: Hall) -> None:
    """A process that hung for half a minute writes over what another one did meanwhile."""
    hung, asked = threading.Event(), threading.Event()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        if not asked.is_set():
            asked.set()
            hung.wait(40.0)
        return always_pass(spec, subject)

    hall.asking(ask)
    hall.open()
    first = hall.works()
    wait_until(asked.is_set, "a check is asked")
    first.gone.set()
    first.server._queue.stop(5.0)  # type: ignore[union-attr]
    for thread in threading.enumerate():
        if thread.name == "heartbeat shop-1":
            (job,) = [each for each in [getattr(thread, "_target", None)] if each]
            job.__self__.epoch = None  # it beats no more
    at, count = time.monotonic(), len(hall.store.entries("shop-1"))
    second = hall.works()
    wait_until(lambda: len(hall.store.entries("shop-1")) > count, "it is taken over")
    assert time.monotonic() - at <= TAKEN_S
    hall.wait_phase("warm")
    hung.set()
    wait_until(lambda: not first.server.running, "the late one ends")
    hall.assert_once_each()
    assert second.told.trouble == [] and first.told.trouble == []


def test_what_a_dead_worker_had_taken_is_cleared_away(hall: Hall) -> None:
    """The queue keeps what killed workers had in hand for ever."""
    hall.place.sql("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    hall.place.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, worker_id)"
        " SELECT 'later-1', 'advance', 'doing', id FROM procrastinate_workers"
    )
    hall.works()
    wait_until(lambda: hall.queue() == [], "it is cleared away")
    wait_until(lambda: hall.place.sql("SELECT count(*) FROM procrastinate_workers") == [(2,)], "and the worker is")


def test_a_worker_that_was_taken_for_dead_goes_on(hall: Hall) -> None:
    """A host that hung for a minute has to be restarted by hand."""
    desk = hall.works()
    wait_until(lambda: hall.place.sql("SELECT count(*) FROM procrastinate_workers") == [(2,)], "it works")
    hall.place.sql("DELETE FROM procrastinate_workers")
    hall.open()
    hall.wait_phase("warm")
    assert desk.told.trouble == []
    hall.assert_once_each()


def test_connections_that_are_cut(hall: Hall) -> None:
    """The database fails over, and every worker has to be started again."""
    desk = hall.works()
    hall.open()
    hall.wait_phase("shifting", "baking", "warm")
    hall.place.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rollout'"
        " AND pid <> pg_backend_pid() AND datname = current_database()"
    )
    hall.wait_phase("warm")
    hall.assert_once_each()
    assert [what for what, _ in desk.told.trouble if what == "queue"] == []


# What breaks


def test_a_provider_that_cannot_be_loaded_is_told_and_tried_again_ever_more_rarely(hall: Hall) -> None:
    """A host without a cloud's library makes its rollouts spin, or drops them."""
    broken = [True]

    def means(name: str) -> Means:
        if broken[0]:
            raise Denied("no library here")
        return hall.means

    desk = hall.works(means=means)
    hall.open()
    wait_until(lambda: len(desk.told.trouble) == 2, "it is told, and tried again")
    assert [what for what, _ in desk.told.trouble] == ["shop-1"] * 2
    row = hall.row()
    assert 0 < row.due_at - hall.clock.now() <= 10.0
    broken[0] = False
    hall.wait_phase("warm")


def test_a_plan_that_cannot_be_read_stops_only_its_own_rollout(hall: Hall) -> None:
    """One broken row stops a fleet."""
    hall.open("good")
    hall.open()
    hall.place.sql("UPDATE rollouts SET plan = (plan::jsonb - 'gates')::text WHERE service = 'shop'")
    desk = hall.works()
    hall.wait_phase("warm", rollout="good-1")
    wait_until(lambda: desk.told.trouble, "it is told")
    assert {what for what, _ in desk.told.trouble} == {"shop-1"}
    assert hall.store.lease("shop") is None and hall.row().due_at < NEVER
    count, at = len(desk.told.trouble), time.monotonic()
    wait_until(lambda: len(desk.told.trouble) > count or time.monotonic() - at > 3, "it is not hot")
    assert len(desk.told.trouble) - count <= 2


def test_the_store_fails_for_a_while(hall: Hall) -> None:
    """One refused statement ends a worker, or is told five times a second."""
    desk = hall.works()
    desk.frozen.set()
    real = desk.store.db.all

    def refused(query: str, *arguments: object) -> list[object]:
        raise StoreError("no answer")

    desk.store.db.all = refused  # type: ignore[method-assign]
    desk.frozen.clear()
    wait_until(lambda: desk.told.store, "it is told")
    desk.store.db.all = real  # type: ignore[method-assign]
    wait_until(lambda: desk.told.store[-1] is None, "and that it is over")
    hall.open()
    hall.wait_phase("warm")


# Who leads


def test_one_leads_and_each_looks_after_its_own_host(hall: Hall) -> None:
    """Two campaign runners begin one wave; or nobody merges what a host spooled."""
    first = hall.serves()
    wait_until(lambda: once(first) > 1, "it leads")
    second = hall.serves()
    wait_until(lambda: second.told.chores.count("each") > 2, "it looks after its own host")
    assert once(second) == 0 and first.told.led == [None]
    (by,) = second.told.led
    assert by is not None and by.server.holder == first.holder
    first.leave()
    wait_until(lambda: once(second) > 0, "it leads as soon as the other one has left", 5.0)
    assert second.told.led[-1] is None
    hall.open()
    hall.wait_phase("warm")


@pytest.mark.slow
def test_a_leader_that_hangs_is_followed_and_leads_no_more_when_it_comes_back(hall: Hall) -> None:
    """Nobody runs the campaigns for as long as a host hangs, or two do afterwards."""
    first, second = hall.serves(), hall.serves()
    wait_until(lambda: once(first), "it leads")
    first.frozen.set()
    at = time.monotonic()
    wait_until(lambda: once(second), "the second one leads")
    assert LEASE_S - 4 <= time.monotonic() - at <= LEASE_S + 4
    time.sleep(0.3)
    before = once(first)
    first.frozen.clear()
    wait_until(lambda: first.told.led[-1] is not None, "it is led by the second one")
    assert once(first) == before and first.server.leads is False
    assert first.told.trouble == []


def test_what_one_observes_for_all_is_looked_at_by_jobs_when_it_has_gone(hall: Hall) -> None:
    """Rollouts wait ten minutes for news from a process that died."""
    leader = hall.serves(jobs=0)
    worker = hall.works()
    wait_until(lambda: worker.server._observing is not None, "it leaves looking to the one that leads")
    hall.open()
    hall.wait_phase("warm")
    hall.place.sql("UPDATE rollouts SET due_at = due_at + 3600")
    leader.leave()
    wait_until(lambda: worker.server._observing is None, "it looks for itself")
    wait_until(lambda: hall.row().due_at < hall.clock.now() + 1800, "what waited for the observer is looked at")

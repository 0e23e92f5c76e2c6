"""What is queued, for whom, and how urgent it is: asked of a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Sequence

import psycopg
import psycopg.rows
import pytest

from rollout.engine.dispatch import DUE, NEXT, WakeUp, queues, wake_ups
from rollout.engine.distributed import LOOKED_AT
from rollout.engine.serve import BACK, LATER, WATCHED
from rollout.lease import LEASE_S, Holder, this_process
from rollout.plan import STORY
from tests.core.scene import RIVAL
from tests.distributed.hall import Hall, quick_plan


def due(hall: Hall, named: list[str] | None = None) -> Sequence[WakeUp]:
    """What a dispatcher would queue now."""
    assert hall.place.url
    with psycopg.connect(hall.place.url, row_factory=psycopg.rows.dict_row) as db:
        return wake_ups(db.execute(DUE, {"named": named, "most": LOOKED_AT}).fetchall())


def queued(hall: Hall, lock: str, status: str = "todo") -> None:
    """A wake-up is in the queue."""
    job = f"'x', 'advance', '{lock}', '{status}'"
    hall.place.sql(f"INSERT INTO procrastinate_jobs (queue_name, task_name, queueing_lock, status) VALUES ({job})")  # noqa: S608


def test_what_is_due_is_queued(hall: Hall) -> None:
    """A rollout is due, and nobody is told."""
    hall.open()
    hall.open("other")
    assert due(hall) == [WakeUp("shop-1", LATER, STORY), WakeUp("other-1", LATER, STORY)]
    assert due(hall, ["other-1"]) == [WakeUp("other-1", LATER, STORY)]
    assert due(hall, []) == []


def test_what_is_not_due_or_closed_is_not_queued(hall: Hall) -> None:
    """Rollouts that rest for days cost a job every half second."""
    hall.open()
    hall.place.sql("UPDATE rollouts SET due_at = due_at + 60")
    assert due(hall) == []
    hall.place.sql("UPDATE rollouts SET due_at = due_at - 120, closed_at = 1")
    assert due(hall) == []


def test_the_next_due_time_is_known(hall: Hall) -> None:
    """Each soak lasts half a second longer than it has to."""
    hall.open()
    assert hall.place.sql(NEXT) == [(None,)]
    hall.place.sql("UPDATE rollouts SET due_at = due_at + 60")
    ((seconds,),) = hall.place.sql(NEXT)
    assert 50 < seconds < 60


def test_a_wake_up_that_waits_is_not_queued_again(hall: Hall) -> None:
    """The queue grows by every due rollout twice a second while all workers are busy."""
    hall.open()
    queued(hall, "shop-1")
    assert due(hall) == []


def test_a_wake_up_that_a_dead_worker_had_taken_is_queued_again(hall: Hall) -> None:
    """A worker died with the wake-up in its hands, and the rollout stands still until somebody cleans up."""
    hall.open()
    queued(hall, "shop-1", "doing")
    assert due(hall) == [WakeUp("shop-1", LATER, STORY)]


def test_what_became_urgent_does_not_wait_behind_its_own_earlier_wake_up(hall: Hall) -> None:
    """An abort waits until everything that was queued before is done."""
    hall.open()
    queued(hall, "shop-1")
    row = hall.row()
    hall.store.decide("shop-1", row.head_seq, "roll_back_decided", {"reason": "no"}, hall.clock.now())
    (found,) = due(hall)
    assert (found.urgency, found.lock, found.queue) == (BACK, "urgent:shop-1", f"urgent-{STORY}")
    queued(hall, found.lock)
    assert due(hall) == []


def test_the_most_urgent_comes_first(hall: Hall) -> None:
    """Users wait on a bad side while images are built."""
    for name, phase in (("later", "patching"), ("watched", "baking"), ("back", "rolling_back")):
        hall.open(name)
        hall.place.sql(f"UPDATE rollouts SET phase = '{phase}' WHERE service = '{name}'")  # noqa: S608
    found = due(hall)
    assert [each.rollout for each in found] == ["back-1", "watched-1", "later-1"]
    assert [each.urgency for each in found] == [BACK, WATCHED, LATER]
    assert [each.priority for each in found] == sorted((each.priority for each in found), reverse=True)


def test_what_a_job_acts_on_is_left_alone_until_its_lease_runs_out(hall: Hall) -> None:
    """Each long step is interrupted by a second worker; or what a dead host drove is never driven again."""
    hall.open()
    hall.store.take_lease("shop", RIVAL, hall.clock.now())
    assert due(hall) == []
    hall.place.sql(f"UPDATE services SET lease_expires_at = lease_expires_at - {LEASE_S + 1}")  # noqa: S608
    assert len(due(hall)) == 1


def test_a_lease_of_a_process_that_is_dead_on_this_host_is_no_lease(hall: Hall) -> None:
    """A worker that crashed is waited for ten seconds by the one beside it."""
    hall.open()
    me = this_process()
    hall.store.take_lease("shop", Holder(me.host, me.boot, 2**22 + 1, "1"), hall.clock.now())
    assert len(due(hall)) == 1


def test_what_a_living_command_drives_is_left_to_it(hall: Hall) -> None:
    """A person at a terminal watches, and a worker drives the rollout away under his hands."""
    hall.open()
    hall.store.note_driver("shop-1", RIVAL, hall.clock.now())
    assert due(hall) == []
    hall.store.note_driver("shop-1", RIVAL, hall.clock.now() - LEASE_S - 1)
    assert len(due(hall)) == 1


def test_a_story_that_a_newer_release_began_goes_to_its_workers(hall: Hall) -> None:
    """During an update an older worker takes what it cannot tell, again and again."""
    hall.open(plan=quick_plan(story=STORY + 1))
    (found,) = due(hall)
    assert found.queue not in queues(urgent_only=False)


@pytest.mark.parametrize("urgent_only", [True, False])
def test_every_story_of_this_release_is_listened_to(urgent_only: bool) -> None:
    """A rollout that was begun before an update is driven by nobody after it."""
    listened = queues(urgent_only=urgent_only)
    for story in range(1, STORY + 1):
        for urgency in (BACK, WATCHED) if urgent_only else (BACK, WATCHED, LATER):
            assert WakeUp("x", urgency, story).queue in listened
    assert (WakeUp("x", LATER, STORY).queue in listened) is not urgent_only


def test_holders_are_stored_as_they_are_read(hall: Hall) -> None:
    """Who has a lease cannot be read in SQL's answer."""
    hall.open()
    hall.store.take_lease("shop", RIVAL, hall.clock.now())
    ((holder,),) = hall.place.sql("SELECT holder FROM services")
    assert Holder.from_json(json.loads(holder)) == RIVAL

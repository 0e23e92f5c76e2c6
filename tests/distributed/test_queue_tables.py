"""The queue's tables: made once, brought up to date, and never taken from somebody else."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rollout.database import StoreError
from rollout.engine import queue_tables
from rollout.engine.queue_tables import prepare_queue
from tests.stores.kit import Place


@pytest.fixture
def place(server: str, tmp_path: Path) -> Place:
    """A store whose queue is not made yet."""
    return Place(tmp_path, server)


def noted(place: Place) -> str:
    """The last migration that is on record."""
    ((migration,),) = place.sql("SELECT migration FROM rollout_queue")
    return str(migration)


def test_several_processes_begin_at_once(place: Place) -> None:
    """The first start on many hosts fails on all but one of them."""
    stores, failed = [place.open() for _ in range(4)], list[BaseException]()

    def prepare(number: int) -> None:
        try:
            prepare_queue(stores[number].db)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=prepare, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert place.sql("SELECT count(*) FROM rollout_queue") == [(1,)]
    assert place.sql("SELECT count(*) FROM procrastinate_jobs") == [(0,)]
    place.close()


def test_a_queue_of_something_else_is_left_alone(place: Place) -> None:
    """The jobs of an application are taken by workers that know nothing of them."""
    place.sql("CREATE TABLE procrastinate_jobs (id bigint)")
    store = place.open()
    with pytest.raises(StoreError, match="a schema of its own"):
        prepare_queue(store.db)
    assert place.sql("SELECT to_regclass('rollout_queue')") == [(None,)]
    place.close()


def test_a_queue_of_a_newer_release(place: Place) -> None:
    """An older release calls functions that are gone."""
    store = place.open()
    prepare_queue(store.db)
    place.sql("UPDATE rollout_queue SET migration = '99.00.00_01_later.sql'")
    with pytest.raises(StoreError, match="newer release"):
        prepare_queue(store.db)
    place.close()


def test_an_update_of_procrastinate(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an update the workers call functions that are not there yet."""
    store = place.open()
    prepare_queue(store.db)
    before = queue_tables._migrations()
    later = [tmp_path / "98.00.00_01_pre_x.sql", tmp_path / "98.00.00_50_post_x.sql"]
    later[0].write_text("-- it's 100 % new?\nCREATE TABLE procrastinate_x (id bigint);\nSELECT 'a;b';")
    later[1].write_text("ALTER TABLE procrastinate_x ADD COLUMN name text;")
    monkeypatch.setattr(queue_tables, "_migrations", lambda: [*before, *later])
    for _ in range(2):
        prepare_queue(store.db)
    assert noted(place) == later[1].name
    assert place.sql("SELECT count(name) FROM procrastinate_x") == [(0,)]
    place.close()


def test_an_update_that_fails_leaves_everything_as_it_was(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of an update is on record as done."""
    store = place.open()
    prepare_queue(store.db)
    before, noted_before = queue_tables._migrations(), noted(place)
    broken = tmp_path / "98.00.00_01_pre_x.sql"
    broken.write_text("CREATE TABLE procrastinate_x (id bigint); SELECT nonsense;")
    monkeypatch.setattr(queue_tables, "_migrations", lambda: [*before, broken])
    with pytest.raises(StoreError):
        prepare_queue(store.db)
    assert noted(place) == noted_before
    assert place.sql("SELECT to_regclass('procrastinate_x')") == [(None,)]
    place.close()

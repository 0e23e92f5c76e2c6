"""What PostgreSQL and the way to it can do to a store: nothing is half kept, nobody waits for ever, all is said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import psycopg
import pytest

from rollout.database import CommitUnknown
from rollout.journal import first_broken_link
from rollout.lease import Holder
from rollout.schema import MIGRATIONS
from rollout.store import HeadMoved, Store, StoreError
from rollout.stores import postgres
from rollout.stores.address import address_of
from rollout.stores.postgres import PostgresDatabase
from rollout.stores.waking import CHANNEL
from tests.stores.kit import Place, Wire

ME = Holder("elsewhere", "b", 1, "1")
FULL = """
    CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file: No space left on device'; END $$
"""


def opened(store: Store) -> int:
    """`shop-1` with its lease taken; the epoch."""
    store.open_rollout("shop-1", "shop", {}, "h", at=1.0, actor="me")
    return store.take_lease("shop", ME, 1.0)


def append(store: Store, epoch: int, step: str = "x") -> None:
    """One entry."""
    store.append("shop-1", epoch, "done", step, {}, 2.0)


def steps(store: Store) -> list[str]:
    """Those of the journal, which has to be whole."""
    entries = store.entries("shop-1")
    assert first_broken_link(entries) == ""
    assert store.rollout("shop-1").head_hash == entries[-1].hash
    return [entry.step for entry in entries[1:]]


def pid_of(store: Store) -> int:
    """The server's process of a store's connection."""
    return int(store.db.all("SELECT pg_backend_pid()")[0][0])


# The way to the server


def test_a_server_that_was_away_is_used_again(wire: Wire, shared: Place) -> None:
    """After the database was restarted, every worker has to be restarted, too."""
    store = shared.open(busy_s=1.0)
    epoch = opened(store)
    wire.cut()
    for _ in range(2):
        with pytest.raises(StoreError, match="cannot be used"):
            append(store, epoch)
        with pytest.raises(StoreError, match="cannot be used"):
            store.rollouts()
    wire.mend()
    append(store, epoch)
    assert steps(store) == ["x"]


def test_a_connection_that_was_lost_while_nobody_used_it_is_nobodys_trouble(shared: Place) -> None:
    """A command fails because a firewall forgot a connection at lunchtime."""
    store = shared.open()
    epoch = opened(store)
    shared.sql(f"SELECT pg_terminate_backend({pid_of(store)})")
    append(store, epoch)
    shared.sql(f"SELECT pg_terminate_backend({pid_of(store)})")
    assert steps(store) == ["x"]


def test_a_connection_that_is_killed_in_a_transaction_leaves_nothing(shared: Place) -> None:
    """Half of a change is kept, or the other half is written by a transaction of its own."""
    store = shared.open()
    epoch = opened(store)
    with pytest.raises(StoreError), store.db.transaction() as db:
        db.execute("UPDATE rollouts SET reason = 'half'")
        shared.sql(f"SELECT pg_terminate_backend({pid_of(store)})")
        db.execute("UPDATE rollouts SET actor = 'other half'")
    row = store.rollout("shop-1")
    assert (row.reason, row.actor) == ("", "me")
    append(store, epoch)
    assert steps(store) == ["x"]


@pytest.mark.parametrize(("when", "kept"), [("before", []), ("after", ["lost"])])
def test_a_commit_that_nobody_heard_of_is_said_and_harmless(
    wire: Wire, shared: Place, when: str, kept: list[str]
) -> None:
    """The journal forks, or an entry is there twice, because the answer to a commit was lost."""
    store = shared.open()
    epoch = opened(store)
    wire.cut_at_commit = when
    with pytest.raises(CommitUnknown, match="not known whether the change was kept"):
        append(store, epoch, "lost")
    assert steps(store) == kept, "the next job reads what is"
    append(store, epoch, "next")
    assert steps(store) == [*kept, "next"]


def test_a_server_that_hangs_is_given_up(wire: Wire, shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command hangs for ever, because the database's disk does."""
    monkeypatch.setattr(postgres, "SLOW_S", 0.1)
    store = shared.open(busy_s=0.5)
    opened(store)
    wire.is_silent = True
    begun = time.monotonic()
    with pytest.raises(StoreError, match="has not answered for"):
        store.rollouts()
    with pytest.raises(StoreError, match=r"no answer within 0\.5 s"):
        store.rollouts()
    assert time.monotonic() - begun < 5
    wire.cut()
    wire.mend()
    assert [row.id for row in store.rollouts()] == ["shop-1"]


@pytest.mark.parametrize("how", ["cut", "silent"])
def test_who_cannot_wait_is_told_within_a_second(wire: Wire, shared: Place, how: str) -> None:
    """A rollback at night waits for the database before it moves traffic."""
    shared.open()
    wire.cut()
    wire.mend()
    wire.is_cut, wire.is_silent = how == "cut", how == "silent"
    begun = time.monotonic()
    with pytest.raises(StoreError):
        shared.open(busy_s=1.0, create=False)
    assert time.monotonic() - begun < 2.0


# Others who write


def test_a_writer_that_is_frozen_stops_nobody_for_long(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker that was stopped in the middle of a change stops the whole fleet."""
    monkeypatch.setattr(postgres, "IDLE_S", 0.5)
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom rollout.stores import postgres\n"
        "from rollout.stores.opening import open_store\nfrom rollout.database import StoreError\n"
        "postgres.IDLE_S = 0.5\nstore = open_store(Path(sys.argv[1]))\n"
        "try:\n    with store.db.transaction() as db:\n        db.execute(\"UPDATE rollouts SET reason = 'frozen'\")\n"
        "        print('ready', flush=True)\n        os.kill(os.getpid(), signal.SIGSTOP)\n    print('kept')\n"
        "except StoreError as error:\n    print('refused')\n"
    )
    store = shared.open()
    epoch = opened(store)
    frozen = subprocess.Popen(
        [sys.executable, "-c", program, str(shared.fleet_file)], stdout=subprocess.PIPE, text=True
    )
    assert frozen.stdout and frozen.stdout.readline() == "ready\n"
    begun = time.monotonic()
    append(store, epoch)
    assert time.monotonic() - begun < 3
    os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.communicate(timeout=20)[0] == "refused\n"
    assert store.rollout("shop-1").reason == ""


def test_a_writer_that_takes_long_is_named_as_that(shared: Place) -> None:
    """A person reads `canceling statement due to lock timeout`, and does not know whose lock."""
    store, other = shared.open(), shared.open(busy_s=0.2)
    epoch = opened(store)
    with store.db.transaction(), pytest.raises(StoreError, match=r"another process has been writing .* 0\.2 s"):
        append(other, epoch)
    append(other, epoch)


def test_of_many_who_decide_on_one_journal_one_does(shared: Place) -> None:
    """Two machines turn a rollout back and retire its other side at the same moment."""
    opened(shared.open())
    found, ready = list[str](), threading.Barrier(6)

    def decide() -> None:
        own = shared.open()
        head = own.rollout("shop-1").head_seq
        ready.wait()
        try:
            own.decide("shop-1", head, "roll_back_decided", {}, 3.0)
            found.append("decided")
        except HeadMoved:
            found.append("moved")

    threads = [threading.Thread(target=decide) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["decided", *["moved"] * 5]


def test_two_processes_that_append_leave_one_whole_chain(shared: Place) -> None:
    """Two workers that both believe to have the lease leave a journal that looks tampered with."""
    store = shared.open()
    epoch = opened(store)
    program = (
        "import sys\nfrom pathlib import Path\nfrom rollout.stores.opening import open_store\n"
        "store = open_store(Path(sys.argv[1]))\nsys.stdin.readline()\nfor turn in range(20):\n"
        "    store.append('shop-1', int(sys.argv[2]), 'done', f'{sys.argv[3]}:{turn}', {}, 3.0)\n"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(shared.fleet_file), str(epoch), name], stdin=subprocess.PIPE, text=True
        )
        for name in "ab"
    ]
    for each in both:
        each.communicate("go\n", timeout=60)
    assert sorted(steps(store)) == sorted(f"{name}:{turn}" for name in "ab" for turn in range(20))


# What the server refuses


def test_a_full_disk_loses_one_write_and_not_the_store(shared: Place) -> None:
    """After the server's disk was full for a minute, nothing can be journalled until a restart."""
    store = shared.open()
    epoch = opened(store)
    shared.sql(FULL)
    shared.sql("CREATE TRIGGER full_disk BEFORE INSERT ON journal FOR EACH ROW EXECUTE FUNCTION disk_is_full()")
    with pytest.raises(StoreError, match="No space left on device"):
        append(store, epoch, "lost")
    shared.sql("DROP TRIGGER full_disk ON journal")
    append(store, epoch)
    assert steps(store) == ["x"]


def test_a_commit_that_the_server_refuses_is_refused(shared: Place) -> None:
    """What the server said it did not keep is told as if it may have been, and a person has to find out."""
    store = shared.open()
    epoch = opened(store)
    shared.sql(FULL)
    shared.sql(
        "CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON journal DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION disk_is_full()"
    )
    with pytest.raises(StoreError, match="No space left on device") as refused:
        append(store, epoch, "lost")
    assert not isinstance(refused.value, CommitUnknown)
    shared.sql("DROP TRIGGER full_disk ON journal")
    append(store, epoch)
    assert steps(store) == ["x"]


def test_a_change_with_a_failed_statement_is_never_called_kept(shared: Place) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK, and the program goes on as if it had been kept."""
    store = shared.open()
    opened(store)
    with pytest.raises(StoreError, match="kept nothing"), store.db.transaction() as db:
        db.execute("UPDATE rollouts SET reason = 'x'")
        with pytest.raises(psycopg.Error):
            db.execute("SELECT 1 FROM nowhere")
    assert store.rollout("shop-1").reason == ""


def test_a_transaction_within_a_transaction_is_refused(shared: Place) -> None:
    """The inner one commits the outer one's half."""
    store = shared.open()
    epoch = opened(store)
    with pytest.raises(StoreError, match="open in this process already"), store.db.transaction() as db:
        db.execute("UPDATE rollouts SET reason = 'x'")
        append(store, epoch)
    assert store.rollout("shop-1").reason == "" and steps(store) == []


def test_what_is_kept_is_flushed_to_disk(shared: Place) -> None:
    """A power cut takes the last entries along, because somebody made the server faster."""
    url = f"{shared.url}%20-csynchronous_commit%3Doff"
    database = PostgresDatabase(address_of(url))
    assert database.all("SHOW synchronous_commit") == [("off",)]
    with database.transaction() as db:
        assert db.execute("SHOW synchronous_commit").fetchone() == ("on",)
    database.close()


def test_limits_end_with_the_transaction(shared: Place) -> None:
    """Behind a pooler, our limits end the statements of somebody else's program."""
    store = shared.open()
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    with store.db.transaction() as db:
        inside = [db.execute(f"SHOW {name}").fetchone() for name in names]
    assert inside == [("5s",), ("7s",), ("4s",)]
    assert [store.db.all(f"SHOW {name}") for name in names] == [[("0",)]] * 3


# Opening


def test_an_empty_schema_becomes_one_store_whoever_is_first(shared: Place) -> None:
    """Ten workers that are started at once against a new database fall over one another."""
    found, ready = list[Any](), threading.Barrier(5)

    def begin() -> None:
        ready.wait()
        found.append(shared.open().db.all("SELECT version FROM rollout_schema"))

    threads = [threading.Thread(target=begin) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[(len(MIGRATIONS),)]] * 5


def test_a_missing_store_is_not_made_where_none_should_be(shared: Place) -> None:
    """A rollback with a wrong --config makes tables in somebody's database."""
    with pytest.raises(StoreError, match="there is no store at postgresql://"):
        shared.open(create=False)
    assert shared.sql("SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()") == [(0,)]


def test_a_store_of_a_newer_release_is_refused(shared: Place) -> None:
    """An older worker writes over what it does not understand."""
    shared.open()
    shared.sql("UPDATE rollout_schema SET version = 99")
    with pytest.raises(StoreError, match=r"newer release \(schema 99.*use that release"):
        shared.open()


def test_a_later_migration_is_applied_to_an_older_store(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade loses the history, or is done by each worker once more."""
    opened(shared.open())
    later = "ALTER TABLE denials ADD COLUMN note TEXT; CREATE TABLE later (at REAL);"
    monkeypatch.setattr(postgres, "MIGRATIONS", (*MIGRATIONS, later))
    assert shared.open().rollout("shop-1").id == "shop-1"
    assert shared.open().db.all("SELECT * FROM later") == []


def test_a_migration_that_fails_leaves_the_store_as_it_was(shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken upgrade leaves a store that neither release can read."""
    opened(shared.open())
    monkeypatch.setattr(postgres, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE later (at REAL); NONSENSE;"))
    with pytest.raises(StoreError, match="NONSENSE"):
        shared.open()
    monkeypatch.undo()
    assert shared.open().rollout("shop-1").id == "shop-1"
    assert shared.sql("SELECT to_regclass('later')") == [(None,)]


def test_a_schema_that_is_not_there_is_said(shared: Place) -> None:
    """A typing error in the address makes a second, empty store."""
    assert shared.url
    with pytest.raises(StoreError, match="the schema that it names is not there"):
        PostgresDatabase(address_of(shared.url.replace(shared.schema, "nowhere")))


def test_a_server_that_only_reads_is_not_written_to(shared: Place) -> None:
    """A replica is taken for the store, and every command fails in its own way."""
    with pytest.raises(StoreError, match="session is read-only"):
        PostgresDatabase(address_of(f"{shared.url}%20-cdefault_transaction_read_only%3Don"))


def test_an_address_that_leads_nowhere_is_named_without_its_password() -> None:
    """The password of the database stands in a terminal, a log, and the ticket that quotes them."""
    for url in ("postgresql://me:hunter2@127.0.0.1:1/db", "postgresql://me:hunter2@127.0.0.1:x/db"):
        with pytest.raises(StoreError) as refused:
            PostgresDatabase(address_of(url), busy_s=1.0)
        assert "hunter2" not in f"{refused.value!r} {refused.value.__cause__} {refused.value.__context__}"
        assert "127.0.0.1" in str(refused.value)


# Waking


def test_workers_are_woken_by_what_is_due_and_by_nothing_else(shared: Place) -> None:
    """A rollback that somebody decided waits for a worker's next look."""
    store = shared.open()
    assert shared.url
    with psycopg.connect(shared.url, autocommit=True) as listening:
        listening.execute(f"LISTEN {CHANNEL}")
        epoch = opened(store)
        append(store, epoch)
        store.release_lease("shop-1", epoch)
        store.decide("shop-1", store.rollout("shop-1").head_seq, "roll_back_decided", {}, 5.0)
        with pytest.raises(HeadMoved):
            store.decide("shop-1", 1, "roll_back_decided", {}, 6.0)
        listening.execute(f"NOTIFY {CHANNEL}, 'the end'")
        told = [each.payload for each in listening.notifies(timeout=30, stop_after=3)]
    assert told == ["shop-1", "shop-1", "the end"], "opened, and decided"

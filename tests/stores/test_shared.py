"""What works on one machine works on many: the rest of the program on PostgreSQL, and what only that one can say."""

from __future__ import annotations

import ast
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tests.core.test_holds
import tests.notify.test_outbox
from providers.memory.clock import VirtualClock
from rollout.care.backup import BadBackup, back_up, restore
from rollout.care.checkpoint import FILE, write_checkpoint
from rollout.care.doctor import examine
from rollout.care.retention import prune
from rollout.care.verify import verify
from rollout.cli import main
from rollout.database import StoreError
from rollout.emergency import main as emergency
from rollout.exits import PERSON_NEEDED
from rollout.presence import note_server, present_server
from rollout.store import Store
from rollout.stores import opening
from rollout.wiring import Installation, SystemClock
from tests.care.scene import DAY_S, closed, route, warm
from tests.core.scene import FLEET, HOLDER
from tests.notify.kit import Desk
from tests.stores.kit import Place

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def store(shared: Place) -> Store:
    """For the tests of others that are run again here."""
    return shared.open()


@pytest.fixture
def desk(shared: Place) -> Desk:
    """The same for those of deliveries."""
    return Desk(shared.open().db)  # type: ignore[arg-type]  # it only opens a store with it


def _again(module: Any, *fixtures: str) -> dict[str, Any]:
    """The tests of a module that need no more than these fixtures."""
    return {
        name: test
        for name, test in vars(module).items()
        if name.startswith("test_")
        and not hasattr(test, "hypothesis")
        and set(test.__code__.co_varnames[: test.__code__.co_argcount]) & {"store", "desk"}
        and set(test.__code__.co_varnames[: test.__code__.co_argcount]) <= set(fixtures)
    }


globals().update(_again(tests.core.test_holds, "store", "phase", "seq", "told"))
globals().update(_again(tests.notify.test_outbox, "desk"))


def test_tests_of_others_are_run_again() -> None:
    """Holds and deliveries are tried on one database only, because their tests were renamed."""
    assert len(_again(tests.core.test_holds, "store", "phase", "seq", "told")) > 10
    assert len(_again(tests.notify.test_outbox, "desk")) > 10


@pytest.fixture
def installation(shared: Place) -> Iterator[Installation]:
    """A fleet on PostgreSQL, on virtual time."""
    shared.fleet_file.write_text(f"store: {{file: address}}\n{FLEET}")
    made = Installation(shared.fleet_file, VirtualClock())
    yield made
    made.store.close()


def test_a_fleet_is_kept_for_years(installation: Installation, tmp_path: Path) -> None:
    """Journals cannot be verified, checkpointed or archived where many machines share them."""
    first = closed(installation)
    warm(installation, "base-1")
    kept = write_checkpoint(installation, tmp_path / "kept")
    installation.clock.sleep(500 * DAY_S)
    done = prune(installation, 400 * DAY_S, tmp_path / "archive")
    assert [each.rollout for each in done.pruned] == [first.id]
    write_checkpoint(installation, tmp_path / "kept")
    seen = verify(installation, None, kept)
    assert kept == tmp_path / "kept" / FILE
    assert (seen["broken"], seen["pruned"]) == ([], [first.id])


def test_tampering_shows(installation: Installation, shared: Place) -> None:
    """Whoever can reach the database rewrites what was done."""
    closed(installation)
    shared.sql("UPDATE journal SET data = '{}' WHERE seq = 3")
    assert "entry 3" in verify(installation, None)["broken"][0]


def test_a_snapshot_is_of_one_instant(shared: Place) -> None:
    """A journal that somebody appends to looks as if its head had been forged."""
    store = shared.open()
    store.open_rollout("shop-1", "shop", {}, "h", at=1.0, actor="me")
    with store.db.snapshot() as taken:
        assert taken.all("SELECT head_seq FROM rollouts") == [(1,)]
        store.append("shop-1", 0, "done", "x", {}, 2.0)
        assert taken.all("SELECT count(*) FROM journal") == [(1,)]


def test_one_machine_writes_checkpoints_at_a_time(shared: Place) -> None:
    """Two lines follow the same one, and the file looks edited for ever."""
    store, other = shared.open(), shared.open()
    with store.db.alone("checkpoint") as mine, other.db.alone("checkpoint") as theirs, other.db.alone("x") as another:
        assert (mine, theirs, another) == (True, False, True)
    with other.db.alone("checkpoint") as free:
        assert free


def test_backups_are_left_to_those_who_can(installation: Installation, tmp_path: Path) -> None:
    """A person believes to have a backup, and finds out otherwise on the worst day."""
    for act in (back_up, restore):
        with pytest.raises(BadBackup, match=r"pg_dump --format=custom .*pg_restore .*rollout repair --restored"):
            act(installation, tmp_path / "backup", by="me")
    assert main(["store", "backup", str(tmp_path / "b"), "--config", str(installation.fleet_file)]) == PERSON_NEEDED
    assert not (tmp_path / "b").exists()


def test_a_dump_that_was_put_back_may_only_go_back(installation: Installation, shared: Place) -> None:
    """After a restore the program goes on from what is long over."""
    from rollout.care.restored import looks_restored

    warm(installation)
    assert looks_restored(installation, "shop") is None
    shared.sql("UPDATE services SET epoch = 1")
    assert "the store looks restored" in str(looks_restored(installation, "shop"))


def findings(installation: Installation, check: str) -> list[tuple[str, str]]:
    """What doctor says of one thing."""
    return [(each.level, each.text) for each in examine(installation) if each.check == check]


def test_doctor_knows_the_server(installation: Installation, shared: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that loses what it has kept, or another time than the machine's, shows when it is too late."""
    ((level, text),) = findings(installation, "store")
    assert level == "ok" and "PostgreSQL 1" in text and "hunter2" not in text
    assert findings(installation, "server") == [("ok", "it flushes to disk, and its clock is this machine's")]
    real = SystemClock.now
    monkeypatch.setattr(SystemClock, "now", lambda self: real(self) + 3600)
    ((level, text),) = findings(installation, "server")
    assert level == "warning" and "3600 s apart" in text
    (shared.folder / "address").write_text("postgresql://me:hunter2@127.0.0.1:1/x")
    gone = Installation(shared.fleet_file)
    ((level, text),) = findings(gone, "store")
    assert level == "problem" and "127.0.0.1" in text and "hunter2" not in text
    (shared.folder / "address").write_text(str(shared.url))


def test_a_server_that_serves_is_known_to_all_machines(shared: Place) -> None:
    """Two machines serve one fleet, and each believes to be alone."""
    store, other = shared.open(), shared.open()
    note_server(store.db, HOLDER, 100.0)
    found = present_server(other.db, 101.0)
    assert found is not None and found.holder == HOLDER


def test_one_connection_serves_many_threads(shared: Place) -> None:
    """Jobs of one worker read each other's answers."""
    store, wrong = shared.open(), list[str]()
    for number in range(8):
        store.open_rollout(f"s{number}-1", f"s{number}", {}, "h", at=1.0, actor="me")

    def work(number: int) -> None:
        for turn in range(10):
            store.append(f"s{number}-1", 0, "done", f"{turn}", {}, 2.0)
            if store.rollout(f"s{number}-1").service != f"s{number}":
                wrong.append(f"{number}:{turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and store.db.all("SELECT count(*) FROM journal") == [(88,)]


def test_status_says_that_the_store_is_gone_and_what_works_without(
    shared: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person at night reads a traceback of a database library."""
    shared.fleet_file.write_text(f"store: {{file: address}}\n{FLEET}")
    (shared.folder / "address").write_text("postgresql://me:hunter2@127.0.0.1:1/x")
    assert main(["status", "--config", str(shared.fleet_file)]) == 1
    said = capsys.readouterr()
    assert "postgresql://me@127.0.0.1:1/x" in said.err and "rollout rollback works without the store" in said.err
    assert "hunter2" not in said.err + said.out
    (shared.folder / "address").write_text(str(shared.url))


def test_status_names_the_store_without_its_password(installation: Installation) -> None:
    """`status --json` gives the password of the database to every script."""
    assert installation.store_name.startswith("postgresql://") and installation.has_store


def test_the_library_is_loaded_only_where_it_is_used() -> None:
    """Every command on one machine waits for a database library that it does not use."""
    importing = set()
    for path in sorted((CHECKOUT / "rollout").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else []
            if "psycopg" in [*names, getattr(node, "module", None)]:
                importing.add(path.relative_to(CHECKOUT).as_posix())
    assert importing == {"rollout/stores/connecting.py", "rollout/stores/postgres.py"}


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`No module named psycopg`, and nobody knows what that has to do with a patch."""
    (tmp_path / "fleet.yaml").write_text("store: postgresql://db/x\n")
    for name in ("psycopg", "rollout.stores.postgres", "rollout.stores.connecting"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreError, match=r"rollout-manager\[postgres\]"):
        opening.open_store(tmp_path / "fleet.yaml")


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
def test_a_rollback_moves_traffic_whether_or_not_the_store_is_there(
    shared: Place, gone: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The way back waits for the database, or fails with it."""
    shared.fleet_file.write_text(f"store: {{file: address}}\n{FLEET}")
    made = Installation(shared.fleet_file, VirtualClock(time.time()))
    row = warm(made)
    assert route(made).active == "green"
    if gone:
        (shared.folder / "address").write_text("postgresql://me:hunter2@127.0.0.1:1/x")
    code, _ = emergency(["rollback", "shop", "--json", "--no-wait", "--config", str(shared.fleet_file)])
    said = capsys.readouterr()
    assert code == 0, said
    assert route(made).active == "blue" and "hunter2" not in said.out + said.err
    decided = [entry.kind for entry in made.store.entries(row.id)].count("roll_back_decided")
    spooled = len(list((made.state_dir / "spool").glob("*.json"))) if (made.state_dir / "spool").is_dir() else 0
    assert (decided, spooled) == ((0, 1) if gone else (1, 0))
    (shared.folder / "address").write_text(str(shared.url))
    made.store.close()

"""A store is moved to another database: all of it, or not at all; and nobody goes on with the old one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from providers.memory.clock import VirtualClock
from rollout.care.backup import StillDriven
from rollout.care.checkpoint import FILE, read_checkpoints, write_checkpoint
from rollout.care.verify import verify, verify_store
from rollout.cli import app, main
from rollout.database import StoreMoved
from rollout.holds import Holds
from rollout.lease import Holder
from rollout.notify.outbox import Outbox
from rollout.notify.target import Target
from rollout.presence import note_server
from rollout.rows import Hold
from rollout.store import Store, StoreError
from rollout.stores import moving
from rollout.stores.address import address_of, store_of
from rollout.stores.moving import CannotMove, move, tables
from rollout.stores.opening import open_database, open_store
from rollout.wiring import Installation
from tests.care.scene import closed, cloud_of, drive, warm
from tests.core.scene import FLEET
from tests.stores.kit import Place

ELSEWHERE = Holder("elsewhere", "b", 1, "1")


@pytest.fixture
def fleet(tmp_path: Path) -> Installation:
    """A fleet with a past, on SQLite: a rollout that ended, one with its way back open, a hold, a denial, news."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "fleet.yaml").write_text(FLEET)
    made = Installation(folder / "fleet.yaml", VirtualClock())
    closed(made)
    cloud_of(made).add_image("base-3")
    warm(made, "base-3")
    now = made.clock.now()
    Holds(made.store.db).put(Hold("cart", "me", "why", "T-1", now, None))
    made.store.deny("shop", "base-9", "it broke", "", now, {"by": "me"})
    row = made.store.rollouts()[0]
    epoch = made.store.take_lease("shop", ELSEWHERE, now)
    made.store.append(row.id, epoch, "warned", "", {"about": "way_back"}, now)
    made.store.release_lease(row.id, epoch, now)
    Outbox(made.store.db).tidy([Target("pager", ("way_back_weak",), apprise={"env": "A"})], now)
    return made


def moved_to(fleet: Installation, place: Place, now: float | None = None) -> Installation:
    """The fleet after its store was moved, seen by another process."""
    assert place.url
    move(store_of(fleet.fleet_file), address_of(place.url), by="me", now=now or fleet.clock.now())
    fleet.fleet_file.with_name("address").write_text(place.url)
    fleet.fleet_file.write_text(f"store: {{file: address}}\n{FLEET}")
    other = Installation(fleet.fleet_file, fleet.clock)
    other._providers = fleet._providers
    return other


def rows(store: Store) -> dict[str, set[Any]]:
    """All that is kept, but for what a move itself says."""
    found = {table: set(store.db.all(f"SELECT * FROM {table}")) for table in tables()}  # noqa: S608 - names of the schema
    said = ("moved", "arriving")
    found["facts"] = {row for row in found["facts"] if row[0] not in said}
    found["fleet_journal"] = {row for row in found["fleet_journal"] if row[2] != "store_moved"}
    return found


def test_all_of_it_is_there_afterwards_and_goes_on(fleet: Installation, shared: Place) -> None:
    """A fleet that grew loses its history, its holds, or the way back that is open."""
    before, listed = rows(fleet.store), fleet.store.rollouts()
    folder = fleet.state_dir / "elsewhere"
    write_checkpoint(fleet, folder)
    after = moved_to(fleet, shared)
    assert before["news"] and before["deliveries"] and before["holds"] and before["denials"]
    assert rows(after.store) == before
    assert after.store.rollouts() == listed
    checked = verify(after, None, folder / FILE)
    assert checked["broken"] == [] and checked["verified"] == 2
    assert [entry[0] for entry in after.store.db.all("SELECT kind FROM fleet_journal ORDER BY seq")][
        -1
    ] == "store_moved"
    write_checkpoint(after, folder)
    assert read_checkpoints(folder / FILE).problems == []
    epoch = after.store.take_lease("shop", ELSEWHERE, after.clock.now())
    after.store.append(listed[0].id, epoch, "halted", "", {"reason": "x"}, after.clock.now(), outcome="halted")
    numbers = [number for (number,) in after.store.db.all("SELECT id FROM news ORDER BY id")]
    assert len(numbers) == len(before["news"]) + 1 and numbers == sorted(set(numbers))
    after.store.close()


def test_a_rollout_is_driven_to_its_end_on_the_other_database(fleet: Installation, shared: Place) -> None:
    """What waited at the time of the move waits for ever."""
    after = moved_to(fleet, shared)
    row = drive(after, after.store.rollouts(open_only=True)[0].id)
    assert row.outcome == "promoted" and row.closed_at is not None
    with after.store.db.snapshot() as taken:
        assert verify_store(taken)["broken"] == []
    after.store.close()


def test_nobody_goes_on_with_the_old_one(fleet: Installation, shared: Place) -> None:
    """Two stores of one fleet: each rollout is on record in one of them."""
    path = fleet.store_path
    with closing(sqlite3.connect(path, isolation_level=None)) as tool:
        moved_to(fleet, shared).store.close()
        with pytest.raises(StoreError, match="this store was moved to postgresql://"):
            fleet.store.deny("shop", "base-8", "x", "", 1.0)  # it was open all the time
        with pytest.raises(sqlite3.Error, match="this store was moved"):
            tool.execute("UPDATE rollouts SET reason = 'x'")
    with pytest.raises(StoreMoved, match=r"was moved to postgresql://.* name that in the fleet file, under `store:`"):
        Store(path)
    with pytest.raises(StoreMoved):
        Store(path, busy_s=1.0, create=False)


def test_it_can_be_moved_back(fleet: Installation, shared: Place) -> None:
    """A trial of many machines cannot be ended."""
    before = rows(fleet.store)
    after = moved_to(fleet, shared)
    assert len(after.store.rollouts()) == 2
    path = fleet.store_path
    with pytest.raises(CannotMove, match="was moved to postgresql://"):
        move(path, address_of(str(shared.url)), by="me", now=1.0)
    path.rename(path.with_name("before.db"))
    done = move(store_of(after.fleet_file), path, by="me", now=after.clock.now())
    assert done.rows["rollouts"] == 2
    assert rows(Store(path)) == before
    with pytest.raises(StoreError, match="this store was moved to /"):
        after.store.deny("shop", "base-8", "x", "", 1.0)
    with pytest.raises(StoreMoved):
        open_store(after.fleet_file)
    with pytest.raises(CannotMove, match=r"was moved to .*rollout\.db already"):
        move(store_of(after.fleet_file), path, by="me", now=1.0)
    after.store.close()


def hold_lease(made: Installation) -> None:
    """Somebody drives."""
    made.store.take_lease("shop", ELSEWHERE, made.clock.now())


def serve(made: Installation) -> None:
    """Somebody serves."""
    note_server(made.store.db, ELSEWHERE, made.clock.now())


@pytest.mark.parametrize(
    ("busy", "told"), [(hold_lease, "shop is driven by process 1 on elsewhere"), (serve, "rollout serve is process 1")]
)
def test_a_store_that_somebody_works_with_is_not_moved(
    fleet: Installation, shared: Place, busy: Callable[[Installation], None], told: str
) -> None:
    """A worker writes the last entries of a rollout into the store that nobody looks at any more."""
    busy(fleet)
    with pytest.raises(StillDriven, match=f"{told}.*nothing was moved"):
        moved_to(fleet, shared)
    assert shared.sql("SELECT count(*) FROM rollouts") == [(0,)]
    fleet.store.deny("shop", "base-8", "x", "", 1.0)


def test_a_place_that_is_taken_is_left_alone(fleet: Installation, shared: Place) -> None:
    """One fleet's history is mixed with another's."""
    other = shared.open()
    other.open_rollout("other-1", "other", {}, "h", at=1.0, actor="me")
    with pytest.raises(CannotMove, match="is a store already, with 1 rollouts in it"):
        moved_to(fleet, shared)
    assert [row.id for row in other.rollouts()] == ["other-1"]
    fleet.store.deny("shop", "base-8", "x", "", 1.0)


def test_what_is_broken_is_not_moved(fleet: Installation, shared: Place) -> None:
    """Tampering is copied, and the evidence is put aside with the old file."""
    with closing(sqlite3.connect(fleet.store_path, isolation_level=None)) as tool:
        tool.execute("UPDATE journal SET data = '{}' WHERE seq = 3")
    with pytest.raises(CannotMove, match=r"its journals are broken.*rollout journal verify"):
        moved_to(fleet, shared)


def test_where_nothing_is_nothing_has_to_be_moved(tmp_path: Path, shared: Place) -> None:
    """A new fleet is told to do something that cannot be done."""
    with pytest.raises(CannotMove, match="nothing has to be moved"):
        move(tmp_path / "rollout.db", address_of(str(shared.url)), by="me", now=1.0)
    with pytest.raises(CannotMove, match="already"):
        move(address_of(str(shared.url)), address_of(str(shared.url)), by="me", now=1.0)


class Killed(BaseException):
    """What `kill -9` is to a program."""


@pytest.mark.parametrize("at", ["_copy_table", "verify_store", "set_fact", "_refusing", "_count", "append_to_fleet"])
@pytest.mark.parametrize("nth", [1, 2])
def test_killed_at_any_instant_it_is_done_by_doing_it_again(
    fleet: Installation, shared: Place, monkeypatch: pytest.MonkeyPatch, at: str, nth: int
) -> None:
    """A move that was killed leaves two stores, or none."""
    before, calls, real = rows(fleet.store), [0], getattr(moving, at)

    def dies(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] >= nth:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(moving, at, dies)
    try:
        moved_to(fleet, shared)
    except Killed:
        pass
    else:
        assert calls[0] < nth, "it was never killed"
        return
    monkeypatch.undo()
    usable = [can_be_opened(store_of(fleet.fleet_file)), can_be_opened(address_of(str(shared.url)))]
    if usable == [True, True]:  # nothing is there but empty tables
        assert shared.sql("SELECT count(*) FROM rollouts") == [(0,)]
    else:
        assert usable[1] is False, "the new one is refused until the old one is closed"
    after = moved_to(fleet, shared)
    assert rows(after.store) == before
    assert can_be_opened(fleet.store_path) is False
    after.store.close()


def can_be_opened(where: Any) -> bool:
    """Whether somebody could go on with it."""
    database = open_database(where)
    try:
        Store(database)
    except StoreMoved as error:
        assert "rollout store move" in str(error) or "was moved to" in str(error)
        return False
    finally:
        database.close()
    return True


def test_between_the_marks_nobody_goes_on_with_either(
    fleet: Installation, shared: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash in the middle of a move, two commands drive on two stores."""

    def dies(*arguments: Any) -> Any:
        raise Killed

    monkeypatch.setattr(moving, "append_to_fleet", dies)
    with pytest.raises(Killed):
        moved_to(fleet, shared)
    monkeypatch.undo()
    assert not can_be_opened(fleet.store_path) and not can_be_opened(address_of(str(shared.url)))
    done = move(fleet.store_path, address_of(str(shared.url)), by="me", now=fleet.clock.now())
    assert done.again and done.rows["rollouts"] == 2
    assert can_be_opened(address_of(str(shared.url)))


def test_the_command_says_what_to_write(tmp_path: Path, shared: Place) -> None:
    """A person moved the store, and every command goes on refusing to work."""
    fleet_file = tmp_path / "fleet.yaml"
    fleet_file.write_text(FLEET)
    made = Installation(fleet_file)
    made.store.deny("shop", "base-9", "it broke", "", made.clock.now(), {"by": "me"})
    (tmp_path / "url").write_text(str(shared.url))
    asked = ["store", "move", "--to", "file:url", "--config", str(fleet_file), "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["next"] == "store: {file: url}" and said["rows"]["denials"] == 1
    fleet_file.write_text(f"{said['next']}\n{FLEET}")
    assert dict(Installation(fleet_file).store.denials("shop")) == {"base-9": "it broke"}


def test_the_command_refuses_with_the_exit_code_of_a_wrong_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script goes on after a move that was none."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    asked = ["store", "move", "--to", "postgresql://me:hunter2@127.0.0.1:1/x", "--config", str(tmp_path / "fleet.yaml")]
    assert main(asked) == 2
    assert "nothing has to be moved" in capsys.readouterr().err
    Installation(tmp_path / "fleet.yaml").store.close()
    assert main(asked) == 1
    assert "hunter2" not in "".join(capsys.readouterr())

"""A file of checkpoints protects the journals, itself, and survives crashes."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.care.checkpoint import append_checkpoint, read_checkpoints, write_checkpoint
from rollout.care.verify import verify, verify_text
from rollout.fleet_journal import FleetJournal
from rollout.journal import GENESIS
from rollout.wiring import Installation
from tests.care.scene import again, begin, closed, sql


def test_a_checkpoint_names_all_that_has_a_chain(installation: Installation, tmp_path: Path) -> None:
    """Something is left out, and can be changed."""
    row = begin(installation)
    FleetJournal(installation.store.db).append("held", "shop", {}, 1.0)
    path = write_checkpoint(installation, tmp_path / "far" / "away")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (line,) = read_checkpoints(path).checkpoints
    now = installation.store.rollout(row.id)
    assert dict(line.heads) == {row.id: (now.head_seq, now.head_hash, False)}
    assert line.fleet == FleetJournal(installation.store.db).head()
    assert line.epochs == {"shop": 0} and line.prev == GENESIS and line.at == installation.clock.now()


def test_closed_rollouts_are_written_once(installation: Installation, tmp_path: Path) -> None:
    """The file of a fleet with ten thousand rollouts grows by a megabyte an hour."""
    row = closed(installation)
    for _ in range(3):
        path = write_checkpoint(installation, tmp_path)
    held = read_checkpoints(path)
    assert [sorted(line.heads) for line in held.checkpoints] == [[row.id], [], []]
    assert [line.settled for line in held.checkpoints] == [0, 1, 1]
    assert held.problems == [] and verify(installation, None, path)["broken"] == []


def test_a_closed_rollout_that_goes_on_is_written_again(installation: Installation, tmp_path: Path) -> None:
    """Entries that were added to a closed journal are never protected."""
    row = closed(installation)
    write_checkpoint(installation, tmp_path)
    installation.store.append(
        row.id,
        installation.store.db.all("SELECT epoch FROM services")[0][0],
        "warned",
        "",
        {"about": "x", "reason": "y"},
        1.0,
    )
    path = write_checkpoint(installation, tmp_path)
    assert set(read_checkpoints(path).checkpoints[1].heads) == {row.id}


@given(cut=st.integers(1, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_torn_last_line_is_skipped_and_healed(installation: Installation, tmp_path: Path, cut: int) -> None:
    """After a power cut the whole file is worthless, or the next line with it."""
    if not installation.store.rollouts():
        begin(installation)
    path = tmp_path / "torn.jsonl"
    path.unlink(missing_ok=True)
    append_checkpoint(installation.store.db, path, 1.0)
    whole = path.read_bytes()
    append_checkpoint(installation.store.db, path, 2.0)
    torn = path.read_bytes()
    path.write_bytes(torn[: max(len(whole) + 1, len(torn) - cut)])
    complete = path.read_bytes() == torn[:-1]
    held = read_checkpoints(path)
    assert held.problems == [] and held.torn == (0 if complete else 1)
    append_checkpoint(installation.store.db, path, 3.0)
    healed = read_checkpoints(path)
    assert healed.problems == [] and [line.at for line in healed.checkpoints][-1] == 3.0
    if not complete:
        assert "1 line was cut off by a crash" in verify_text(verify(installation, None, path))


@pytest.mark.parametrize("how", ["edit", "edit the last", "remove", "swap", "behead", "blank the last"])
def test_an_edited_file_is_found(installation: Installation, tmp_path: Path, how: str) -> None:
    """Who changes the journal also changes the checkpoint, and nobody notices."""
    begin(installation)
    for _ in range(4):
        installation.clock.sleep(60)
        path = write_checkpoint(installation, tmp_path)
    lines = path.read_text().splitlines()
    if how.startswith("edit"):
        at = -1 if how == "edit the last" else 1
        lines[at] = json.dumps({**json.loads(lines[at]), "epochs": {"shop": 77}})
    elif how == "remove":
        del lines[1]
    elif how == "swap":
        lines[1], lines[2] = lines[2], lines[1]
    elif how == "behead":
        del lines[0]
    else:
        lines[-1] = "gone"
    path.write_text("\n".join(lines) + "\n")
    assert read_checkpoints(path).problems
    assert verify(installation, None, path)["broken"]


def test_after_a_restore_a_new_file_is_begun(installation: Installation, tmp_path: Path) -> None:
    """A restore makes every later verification fail, so that nobody looks at it any more."""
    begin(installation)
    path = write_checkpoint(installation, tmp_path)
    before = path.read_bytes()
    installation.clock.sleep(60)
    FleetJournal(installation.store.db).append("restored", "", {"from": "x"}, installation.clock.now())
    installation.clock.sleep(60)
    assert write_checkpoint(installation, tmp_path) == path
    (aside,) = tmp_path.glob("checkpoints.until-*.jsonl")
    assert aside.read_bytes() == before
    held = read_checkpoints(path)
    assert len(held.checkpoints) == 1 and held.problems == []
    assert held.checkpoints[0].prev == read_checkpoints(aside).checkpoints[-1].hash
    assert "the store was restored" in verify_text(verify(installation, None, path))
    write_checkpoint(installation, tmp_path)
    assert len(read_checkpoints(path).checkpoints) == 2


def test_two_writers_do_not_make_a_file_that_looks_edited(installation: Installation, tmp_path: Path) -> None:
    """`rollout serve` and a person write at one moment, and every verification fails from then on."""
    begin(installation)
    path, done = tmp_path / "checkpoints.jsonl", []

    def write() -> None:
        made = again(installation)
        for _ in range(10):
            try:
                append_checkpoint(made.store.db, path, 1.0)
                done.append(True)
            except OSError as error:
                assert "another process" in str(error)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    held = read_checkpoints(path)
    assert held.problems == [] and len(held.checkpoints) == len(done) > 0


def test_a_full_file_is_followed_by_another(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some years every checkpoint takes minutes, or what was closed long ago is no longer protected."""
    row = closed(installation)
    monkeypatch.setattr("rollout.care.checkpoint.FULL_BYTES", 1000)
    for _ in range(7):
        path = write_checkpoint(installation, tmp_path)  # all at one second: no name is used twice
    files = sorted(tmp_path.glob("*.jsonl"))
    assert len(files) > 2
    for each in files:
        assert read_checkpoints(each).problems == []
        assert row.id in read_checkpoints(each).checkpoints[0].heads
    assert "the file was full" in verify_text(verify(installation, None, path))
    sql(installation, "DELETE FROM journal")
    sql(installation, "DELETE FROM waits")
    sql(installation, "DELETE FROM rollouts")
    assert all("it is missing" in verify(again(installation), None, each)["broken"][0] for each in files)


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(content: bytes) -> None:
    """A damaged file on the other disk stops every verification."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.jsonl")
        path.write_bytes(content)
        held = read_checkpoints(path)
    assert held.checkpoints == []


TAMPERINGS = ("edit", "delete", "swap", "truncate", "drop")


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_one_change_is_found_against_a_checkpoint(
    installation: Installation, tmp_path: Path, data: st.DataObject
) -> None:
    """Somebody finds the one way to change the record that no checkpoint reveals."""
    import sqlite3
    from contextlib import closing

    from tests.care.scene import rechain

    if not installation.store.rollouts():
        closed(installation)
        begin(installation, "base-1")
        write_checkpoint(installation, tmp_path)
    before = tmp_path / "before.db"
    if not before.exists():
        with closing(sqlite3.connect(installation.store_path)) as db, closing(sqlite3.connect(before)) as copy:
            db.backup(copy)
    row = data.draw(st.sampled_from(installation.store.rollouts()))
    how = data.draw(st.sampled_from(TAMPERINGS))
    seq = data.draw(st.integers(1, row.head_seq))
    try:
        if how == "edit":
            column = data.draw(st.sampled_from(["at", "epoch", "kind", "step", "data", "prev", "hash"]))
            value = {"at": "at + 1", "epoch": "epoch + 1", "data": """'{"x":1}'"""}.get(column, f"{column} || 'x'")
            change = f"UPDATE journal SET {column} = {value} WHERE rollout = ? AND seq = ?"  # noqa: S608 - fixed names
            sql(installation, change, row.id, seq)
        elif how == "delete":
            sql(installation, "DELETE FROM journal WHERE rollout = ? AND seq = ?", row.id, seq)
        elif how == "swap" and row.head_seq > 1:
            other = data.draw(st.integers(1, row.head_seq).filter(lambda each: each != seq))
            for old, new in ((seq, -1), (other, seq), (-1, other)):
                sql(installation, "UPDATE journal SET seq = ? WHERE rollout = ? AND seq = ?", new, row.id, old)
        elif how == "drop":
            sql(installation, "DELETE FROM journal WHERE rollout = ?", row.id)
            sql(installation, "DELETE FROM rollouts WHERE id = ?", row.id)
        else:
            sql(installation, "DELETE FROM journal WHERE rollout = ? AND seq >= ?", row.id, seq)
        forges = how != "drop" and not (how == "edit" and column in ("prev", "hash")) and data.draw(st.booleans())
        if forges:
            rechain(installation, row.id)
        found = verify(again(installation), None, tmp_path / "checkpoints.jsonl")["broken"]
        assert any(row.id in text for text in found), (how, seq, forges, found)
    finally:
        with closing(sqlite3.connect(before)) as copy, closing(sqlite3.connect(installation.store_path)) as db:
            copy.backup(db)


def test_the_lock_is_the_groups_in_a_folder_of_a_group(installation: Installation, tmp_path: Path) -> None:
    """After one person's checkpoint nobody else of the group can write one."""
    begin(installation)
    installation.state_dir.chmod(0o2770)
    write_checkpoint(installation, tmp_path / "out")
    lock = Path(f"{installation.store_path}.checkpoint-lock")
    assert lock.stat().st_mode & 0o777 == 0o660

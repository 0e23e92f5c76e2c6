"""Old journals leave the store for an archive, and nothing of what they prove is lost."""

from __future__ import annotations

import gzip
import json
import stat
from pathlib import Path

import pytest

from rollout import bootstrap
from rollout.care.checkpoint import write_checkpoint
from rollout.care.retention import BadArchive, prune, pruned_note, read_archive, verify_archive
from rollout.care.verify import verify, verify_text
from rollout.fleet_journal import FleetJournal
from rollout.rows import Row
from rollout.wiring import Installation
from tests.care.scene import DAY_S, again, closed, sql, warm

MONTH_S = 30 * DAY_S


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Where old journals go."""
    return tmp_path / "archive"


@pytest.fixture
def old(installation: Installation) -> Row:
    """A rollout of two months ago, and one of a month ago that is the latest."""
    first = closed(installation)
    installation.clock.sleep(MONTH_S)
    closed(installation, "base-1")
    installation.clock.sleep(MONTH_S)
    return first


def test_an_old_journal_is_archived_whole(installation: Installation, old: Row, archive: Path) -> None:
    """What was done is gone, or cannot be proven any more."""
    entries = installation.store.entries(old.id)
    kept = write_checkpoint(installation, archive.parent)
    done = prune(installation, MONTH_S, archive)
    assert [each.rollout for each in done.pruned] == [old.id] and not done.left
    assert read_archive(archive / done.pruned[0].file) == entries
    assert stat.S_IMODE((archive / done.pruned[0].file).stat().st_mode) == 0o600
    assert installation.store.entries(old.id) == []
    row = installation.store.rollout(old.id)
    assert (row.head_seq, row.head_hash) == (old.head_seq, old.head_hash)
    assert row.pruned_at == installation.clock.now()
    entry = FleetJournal(installation.store.db).entries()[-1]
    assert entry.kind == "pruned" and entry.data["head_hash"] == old.head_hash
    assert f"{old.id}.jsonl.gz" in pruned_note(installation, row)
    seen = verify(installation, None, kept)
    assert seen["broken"] == [] and seen["pruned"] == [old.id]
    assert "1 of them are archived" in verify_text(seen)
    assert verify_archive(installation, archive / f"{old.id}.jsonl.gz")["problem"] == ""


def test_pruning_again_finds_nothing(installation: Installation, old: Row, archive: Path) -> None:
    """The daily run breaks on what it did yesterday."""
    prune(installation, MONTH_S, archive)
    assert prune(installation, MONTH_S, archive).pruned == [] and pruned_note(installation, old) == ""


def test_a_few_at_a_time(installation: Installation, archive: Path) -> None:
    """A serving process stands still for an hour while ten thousand journals are archived."""
    for image in ("base-2", "base-1", "base-2", "base-1"):
        closed(installation, image)
        installation.clock.sleep(1)
    installation.clock.sleep(MONTH_S)
    counts = [len(prune(installation, 1.0, archive, at_most=2).pruned) for _ in range(3)]
    assert counts == [2, 1, 0]


def test_a_rehearsal_changes_nothing(installation: Installation, old: Row, archive: Path) -> None:
    """Who wants to see what would go has lost it."""
    done = prune(installation, MONTH_S, archive, dry_run=True)
    assert [each.rollout for each in done.pruned] == [old.id]
    assert not archive.exists() and installation.store.entries(old.id)


def test_the_latest_and_the_young_stay(installation: Installation, old: Row, archive: Path) -> None:
    """`rollout status` has nothing to show of a service that is patched once a year."""
    installation.clock.sleep(400 * DAY_S)
    assert [each.rollout for each in prune(installation, 400 * DAY_S, archive).pruned] == [old.id]
    assert prune(installation, 0.0, archive).pruned == [], "the latest stays, however old"


def test_an_open_rollout_stays(installation: Installation, archive: Path) -> None:
    """A warm rollout loses its journal, and with it its way back."""
    warm(installation)
    installation.clock.sleep(MONTH_S)
    assert prune(installation, 1.0, archive).pruned == []


def test_what_a_denial_rests_on_stays(installation: Installation, old: Row, archive: Path) -> None:
    """Nobody knows any more why an image is denied."""
    bootstrap.deny(installation, "shop", "base-2", reason="broke checkout", lift=False, actor="me")
    done = prune(installation, MONTH_S, archive)
    assert done.pruned == [] and "base-2 is denied" in done.left[0]
    bootstrap.deny(installation, "shop", "base-2", reason="", lift=True, actor="me")
    assert len(prune(installation, MONTH_S, archive).pruned) == 1
    kinds = [(entry.kind, entry.data.get("by")) for entry in FleetJournal(installation.store.db).entries()]
    assert kinds[:2] == [("denied", "me"), ("denial_lifted", "me")]


@pytest.mark.parametrize("card", ["open", "unreadable"])
def test_what_a_card_stands_for_stays(installation: Installation, old: Row, archive: Path, card: str) -> None:
    """A rollback at night finds a card without a journal."""
    path = installation.cards.path("shop")
    data = {**json.loads(path.read_text()), "rollout": old.id, "closed": ""}
    path.write_text("{" if card == "unreadable" else json.dumps(data))
    done = prune(installation, MONTH_S, archive)
    assert done.pruned == [] and "card" in done.left[0]


def test_a_broken_journal_is_not_tidied_away(installation: Installation, old: Row, archive: Path) -> None:
    """The evidence of tampering is removed by the daily run."""
    sql(installation, "UPDATE journal SET kind = 'x' WHERE rollout = ? AND seq = 4", old.id)
    done = prune(installation, MONTH_S, archive)
    assert done.pruned == [] and "entry 4" in done.left[0]
    assert not list(archive.glob("*")) and installation.store.entries(old.id)


def test_another_archive_of_that_name_is_never_overwritten(installation: Installation, old: Row, archive: Path) -> None:
    """After a restore, one history overwrites the other."""
    archive.mkdir()
    others = installation.store.rollouts()[0]
    from rollout.care.retention import write_archive

    path = archive / f"{old.id}.jsonl.gz"
    write_archive(path, installation.store.entries(others.id))
    before = path.read_bytes()
    done = prune(installation, MONTH_S, archive)
    assert done.pruned == [] and "holds another journal" in done.left[0] and path.read_bytes() == before
    path.write_bytes(before[:-20])  # cut off by a crash: that is none
    assert len(prune(installation, MONTH_S, archive).pruned) == 1


def test_an_archive_that_cannot_be_written_loses_nothing(installation: Installation, old: Row, archive: Path) -> None:
    """A full disk costs the journals that were to be kept."""
    archive.write_text("a file, where a folder should be")
    with pytest.raises(OSError, match="archive"):
        prune(installation, MONTH_S, archive)
    assert installation.store.entries(old.id) and installation.store.rollout(old.id).pruned_at is None


@pytest.mark.parametrize("how", ["edited", "cut", "reordered", "not gzip", "empty", "another end"])
def test_a_tampered_archive_is_found(installation: Installation, old: Row, archive: Path, how: str) -> None:
    """What was archived can be changed at leisure."""
    prune(installation, MONTH_S, archive)
    path = archive / f"{old.id}.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    if how == "edited":
        lines[4] = lines[4].replace('"at":1', '"at":2')
    elif how == "reordered":
        lines[2], lines[3] = lines[3], lines[2]
    elif how == "empty":
        lines = []
    elif how == "another end":
        lines = lines[:-1]
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif how == "not gzip":
        path.write_text("hello")
    if how == "another end":
        assert "not as the store has it on record" in verify_archive(installation, path)["problem"]
        return
    with pytest.raises(BadArchive, match=str(path)):
        verify_archive(installation, path)


@pytest.mark.parametrize("how", ["head", "record", "entries"])
def test_a_pruned_rollout_is_no_place_to_hide(installation: Installation, old: Row, archive: Path, how: str) -> None:
    """Who wants an entry gone has the rollout archived first."""
    prune(installation, MONTH_S, archive)
    if how == "head":
        sql(installation, "UPDATE rollouts SET head_seq = 3 WHERE id = ?", old.id)
    elif how == "record":
        sql(installation, "DELETE FROM fleet_journal WHERE kind = 'pruned'")
    else:
        values = "(?, 1, 1.0, 1, 'opened', '', '{}', '', '')"
        sql(installation, f"INSERT INTO journal VALUES {values}", old.id)  # noqa: S608 - fixed text
    assert any(old.id in text for text in verify(again(installation), None)["broken"])

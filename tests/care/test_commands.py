"""The commands: what they print, what they exit with, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rollout.cli import main
from rollout.lease import this_process
from rollout.presence import note_server
from rollout.wiring import Installation, SystemClock
from tests.care.scene import again, begin, closed, sql


class Shell:
    """Commands on one fleet, in this process."""

    def __init__(self, made: Installation, capsys: pytest.CaptureFixture[str]) -> None:
        self._made, self._capsys = made, capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._capsys.readouterr()
        code = main([*words, "--config", str(self._made.fleet_file)])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def json(self, *words: str) -> tuple[int, Any]:
        """Exit code, and the one document on stdout."""
        code, out, _ = self(*words, "--json")
        (line,) = out.splitlines()
        return code, json.loads(line)


@pytest.fixture
def shell(installation: Installation, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A terminal."""
    return Shell(installation, capsys)


def test_checkpoint_and_verify(installation: Installation, shell: Shell, tmp_path: Path) -> None:
    """The two commands that an auditor is told to run do not fit together."""
    row = closed(installation)
    file = tmp_path / "elsewhere" / "shop.jsonl"
    code, document = shell.json("journal", "checkpoint", "--out", str(file))
    assert code == 0 and document["file"] == str(file) and document["line"] == 1
    assert "1 rollouts" in shell("journal", "checkpoint", "--out", str(file))[1]
    code, out, _ = shell("journal", "verify", "--against", str(file))
    assert code == 0 and "all is protected" in out and "1 journals are whole" in out
    assert shell("journal", "verify", "shop")[0] == 0
    for table in ("journal", "waits", "rollouts"):
        sql(installation, f"DELETE FROM {table}")  # noqa: S608 - three fixed names
    code, out, _ = shell("journal", "verify", "--against", str(file))
    assert code == 5 and f"{row.id}: it is missing" in out
    code, document = shell.json("journal", "verify", "--against", str(file))
    assert code == 5 and len(document["broken"]) == 1


def test_a_checkpoint_needs_a_place(installation: Installation, shell: Shell, tmp_path: Path) -> None:
    """Checkpoints lie beside the store, where they protect nothing."""
    begin(installation)
    code, _, err = shell("journal", "checkpoint")
    assert code == 2 and "--out FILE" in err and "keep.checkpoints" in err
    code, _, err = shell("journal", "verify", "--against", str(tmp_path / "none"))
    assert code == 2 and "no file of checkpoints" in err
    installation.fleet_file.write_text(
        installation.fleet_file.read_text() + f"keep: {{checkpoints: {tmp_path / 'kept'}}}\n"
    )
    assert shell("journal", "checkpoint")[0] == 0
    assert (tmp_path / "kept" / "checkpoints.jsonl").is_file()
    assert shell("journal", "checkpoint", "--out", str(tmp_path / "kept"))[0] == 0, "a folder will do"


def test_backup_and_restore(installation: Installation, shell: Shell, tmp_path: Path) -> None:
    """The two commands that matter on the worst day have never been tried together."""
    row = closed(installation)
    file = tmp_path / "kept.db"
    code, document = shell.json("store", "backup", str(file))
    assert code == 0 and document["rollouts"] == 1
    code, _, err = shell("store", "backup", str(file))
    assert code == 2 and "--force" in err
    assert shell("store", "backup", str(file), "--force")[0] == 0
    code, _, err = shell("store", "restore", str(file))
    assert code == 2 and "add --yes" in err and str(installation.store_path) in err
    server = Installation(installation.fleet_file, SystemClock())
    note_server(server.store.db, this_process(), server.clock.now())
    code, _, err = shell("store", "restore", str(file), "--yes")
    assert code == 6 and "rollout serve is process" in err
    server.store.db.all("DELETE FROM servers")
    (tmp_path / "bad.db").write_text("nothing")
    code, _, err = shell("store", "restore", str(tmp_path / "bad.db"), "--yes")
    assert code == 5 and "Nothing was changed" in err
    code, document = shell.json("store", "restore", str(file), "--yes")
    assert code == 0 and document["next"] == "rollout repair --restored"
    assert Path(document["aside"]).is_file()
    assert again(installation).store.rollout(row.id).head_seq == row.head_seq
    code, out, _ = shell("doctor")
    assert code == 5 and "rollout repair --restored" in out
    code, out, _ = shell("repair", "--restored", "--dry-run")
    assert code == 0 and "card" in out
    code, document = shell.json("repair", "--restored")
    assert code == 0 and document["over"]
    assert shell("repair")[1].splitlines()[-1] == "nothing is left to do"
    assert shell("repair", "shop", "--restored")[0] == 2
    assert shell("journal", "verify")[0] == 0


def test_prune(installation: Installation, shell: Shell, tmp_path: Path) -> None:
    """What was archived cannot be found again."""
    row = closed(installation)
    installation.clock.sleep(60)
    closed(installation, "base-1")
    archive = tmp_path / "archive"
    assert shell("store", "prune", "--archive", str(archive), "--older-than", "soon")[0] == 2
    code, document = shell.json("store", "prune", "--archive", str(archive))
    assert code == 0 and document["pruned"] == []
    words = ("store", "prune", "--archive", str(archive), "--older-than", "1s")
    code, out, _ = shell(*words, "--dry-run")
    assert code == 0 and "would be archived" in out and not archive.exists()
    code, document = shell.json(*words)
    assert code == 0 and [each["id"] for each in document["pruned"]] == [row.id]
    file = archive / document["pruned"][0]["file"]
    code, out, _ = shell("journal", "verify", "--archive", str(file))
    assert code == 0 and f"{row.id} is whole" in out
    code, out, err = shell("journal", "show", row.id)
    assert code == 0 and out.strip() == "" and f"were archived: {file.name}" in err, "archived is not empty"
    code, out, err = shell("journal", "export", row.id)
    assert code == 0 and out == "" and "were archived" in err
    code, _, err = shell("ledger", row.id)
    assert code == 2 and "was archived" in err
    assert shell("journal", "verify")[0] == 0
    file.write_bytes(file.read_bytes()[:-9])
    assert shell("journal", "verify", "--archive", str(file))[0] == 5
    assert shell("journal", "verify", "--archive", str(tmp_path / "none"))[0] == 2


def test_prune_by_the_fleet_file(installation: Installation, shell: Shell) -> None:
    """What the fleet file says is kept for a year is archived today, or never."""
    row = closed(installation)
    installation.clock.sleep(60)
    closed(installation, "base-1")
    code, _, err = shell("store", "prune")
    assert code == 2 and "--archive DIR" in err and "keep.archive" in err
    written = installation.fleet_file.read_text()
    installation.fleet_file.write_text(f"{written}keep: {{journals: 3650d, archive: old}}\n")
    assert shell.json("store", "prune")[1]["pruned"] == []
    installation.fleet_file.write_text(f"{written}keep: {{journals: 1d, archive: old}}\n")
    assert [each["id"] for each in shell.json("store", "prune")[1]["pruned"]] == [row.id]
    assert (installation.fleet_file.parent / "old" / f"{row.id}.jsonl.gz").is_file()


def test_an_archive_that_cannot_be_written(installation: Installation, shell: Shell, tmp_path: Path) -> None:
    """A full disk ends in a trace of calls, and nobody knows what was lost."""
    closed(installation)
    installation.clock.sleep(60)
    closed(installation, "base-1")
    (tmp_path / "file").write_text("")
    code, _, err = shell("store", "prune", "--archive", str(tmp_path / "file"), "--older-than", "1s")
    assert code == 2 and "is in the store still" in err


def test_doctor_and_repair_say_so_when_all_is_well(installation: Installation, shell: Shell) -> None:
    """A cron job cannot tell a healthy fleet from a sick one."""
    code, document = shell.json("doctor")
    assert code == 0 and document["problems"] == 0 and document["findings"]
    assert shell.json("repair") == (0, {"done": [], "left": [], "dry_run": False})
    code, _, err = shell("repair", "shpo")
    assert code == 2 and "did you mean shop?" in err

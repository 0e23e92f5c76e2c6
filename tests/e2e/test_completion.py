"""Completion in a real shell, with the script that the program itself hands out."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pexpect
import pytest

from rollout.store import Store
from tests.e2e.kit import SCRIPT, environment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not SCRIPT.exists(), reason="shells complete a command by its name, and `rollout` is not installed"
    ),
]
ROLLOUT = "shop-20260102-abcdef"
BASH = shutil.which("bash") or ""
needs_bash = pytest.mark.skipif(not BASH, reason="there is no bash here")


def fleet(folder: Path, *services: str) -> Path:
    """A fleet file with these services in a folder of its own."""
    folder.mkdir(exist_ok=True)
    lines = "".join(f"  {name}: {{provider: memory, coexist: safe}}\n" for name in services)
    (folder / "fleet.yaml").write_text(f"version: 1\nservices:\n{lines}")
    return folder / "fleet.yaml"


def with_rollout(config: Path) -> Path:
    """The fleet's store has one rollout of shop."""
    (config.parent / ".rollout").mkdir()
    store = Store(config.parent / ".rollout" / "rollout.db")
    store.open_rollout(ROLLOUT, "shop", {}, "hash", at=1.0, actor="me@here")
    store.close()
    return config


def shell(folder: Path) -> dict[str, str]:
    """A user's environment in which `rollout` is found."""
    return {**environment(folder), "PATH": f"{SCRIPT.parent}:{os.environ['PATH']}", "HOME": str(folder)}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """What `rollout --show-completion` prints in a bash; asked for by name, for there may be no shell above a test."""
    asked = {**shell(tmp_path), "_ROLLOUT_COMPLETE": "source_bash"}
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True, env=asked, timeout=60, check=True)
    (tmp_path / "completion.sh").write_text(done.stdout)
    return tmp_path / "completion.sh"


def completed(script: Path, folder: Path, *words: str, **variables: str) -> tuple[list[str], str]:
    """What bash is given for the last of these words, and whatever was printed beside it."""
    program = (
        f"source {shlex.quote(str(script))}\n"
        f"COMP_WORDS=({shlex.join(words)})\nCOMP_CWORD={len(words) - 1}\n"
        '_rollout_completion rollout\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        [BASH, "--norc", "-c", program],
        cwd=folder,
        env={**shell(folder), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split(), done.stderr


@needs_bash
def test_services(script: Path, tmp_path: Path) -> None:
    """Service names have to be typed in full, at night."""
    config = fleet(tmp_path / "a", "shop", "shipping", "web")
    for command in ("plan", "start", "up", "down", "deny", "rollback"):
        assert completed(script, config.parent, "rollout", command, "sh") == (["shop", "shipping"], ""), command
    assert completed(script, config.parent, "rollout", "start", "x") == ([], "")


@needs_bash
def test_ids(script: Path, tmp_path: Path) -> None:
    """A rollout's id, with its random end, has to be copied by hand."""
    config = with_rollout(fleet(tmp_path / "a", "shop", "web"))
    for command in ("status", "resume", "approve", "abort", "ledger"):
        assert completed(script, config.parent, "rollout", command, "shop-") == ([ROLLOUT], ""), command
    assert completed(script, config.parent, "rollout", "journal", "show", "") == ([ROLLOUT, "shop"], "")


@needs_bash
def test_the_fleet_that_is_named_on_the_line(script: Path, tmp_path: Path) -> None:
    """Services of another fleet are proposed, and one of them is acted upon."""
    here, there = fleet(tmp_path / "here", "shop"), with_rollout(fleet(tmp_path / "there", "warehouse"))
    named = ["--config", str(there)]
    assert completed(script, here.parent, "rollout", "plan", *named, "")[0] == ["warehouse"]
    assert completed(script, here.parent, "rollout", *named, "plan", "")[0] == ["warehouse"]
    assert completed(script, here.parent, "rollout", "rollback", *named, "")[0] == ["warehouse"]
    assert completed(script, here.parent, "rollout", "status", *named, "shop-")[0] == [ROLLOUT]
    assert completed(script, here.parent, "rollout", "plan", "--image", "v2", *named, "w")[0] == ["warehouse"]
    assert completed(script, here.parent, "rollout", "plan", "", ROLLOUT_CONFIG=str(there))[0] == ["warehouse"]
    assert completed(script, tmp_path, "rollout", "plan", "--config", "~/fleet.yaml", "", HOME=str(there.parent))[
        0
    ] == ["warehouse"]


@needs_bash
@pytest.mark.parametrize("text", ["version: 1\nservices: [broken\n", "version: 1\nservicse: {}\n", "\0", None])
def test_a_broken_fleet_completes_nothing_and_says_nothing(script: Path, tmp_path: Path, text: str | None) -> None:
    """A press of TAB fills the terminal with an error."""
    folder = tmp_path / "broken"
    folder.mkdir()
    if text is not None:
        (folder / "fleet.yaml").write_text(text)
    before = sorted(folder.iterdir())
    for command in ("plan", "status", "rollback", "resume"):
        assert completed(script, folder, "rollout", command, "") == ([], ""), command
        assert completed(script, folder, "rollout", command, "--config", "none.yaml", "") == ([], "")
    assert sorted(folder.iterdir()) == before


@needs_bash
def test_a_look_makes_no_store(script: Path, tmp_path: Path) -> None:
    """A press of TAB writes files where nothing was ever rolled out."""
    config = fleet(tmp_path / "a", "shop")
    assert completed(script, config.parent, "rollout", "status", "") == ([], "")
    assert sorted(config.parent.iterdir()) == [config]


@needs_bash
def test_a_store_that_is_none_completes_nothing(script: Path, tmp_path: Path) -> None:
    """A damaged store shows itself at a press of TAB."""
    config = fleet(tmp_path / "a", "shop")
    (config.parent / ".rollout").mkdir()
    (config.parent / ".rollout" / "rollout.db").write_text("this is no database, and has never been one" * 100)
    assert completed(script, config.parent, "rollout", "status", "") == ([], "")


@needs_bash
def test_in_an_interactive_shell(script: Path, tmp_path: Path) -> None:
    """The pieces work, and a press of TAB does nothing."""
    config = fleet(tmp_path / "a", "shop")
    child = pexpect.spawn(
        BASH,
        ["--norc", "-i"],
        cwd=str(config.parent),
        env={**shell(tmp_path), "PS1": "> "},
        encoding="utf-8",
        timeout=30,
    )
    try:
        child.sendline(f"source {script}; bind 'set enable-bracketed-paste off'; echo 're'ady")
        child.expect("ready\r\n")
        child.send("echo rollout; rollout plan sh\t")
        child.expect("rollout plan shop ")
    finally:
        child.close(force=True)


@pytest.mark.parametrize(
    ("kind", "variables"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "rollout plan --config {config} sh"}),
        (
            "fish",
            {"_TYPER_COMPLETE_ARGS": "rollout plan --config {config} sh", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        ),
    ],
)
def test_what_other_shells_are_told(tmp_path: Path, kind: str, variables: dict[str, str]) -> None:
    """Users of another common shell get nothing, or an error."""
    config = fleet(tmp_path / "a", "shop", "web")
    asked = {name: value.format(config=config) for name, value in variables.items()}
    for text, wanted in (("", "shop"), ("broken: [", "")):
        config.write_text(config.read_text() + text)
        done = subprocess.run(
            [str(SCRIPT)],
            cwd=tmp_path,
            env={**shell(tmp_path), "_ROLLOUT_COMPLETE": f"complete_{kind}", **asked},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ("shop" in done.stdout) is bool(wanted), done
        assert ("web" in done.stdout, done.stderr) == (False, "")

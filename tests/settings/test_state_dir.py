"""The fast finder: the right file, the same folder as the full reader, and nothing imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.settings import SettingsErrors, load
from rollout.state_dir import GLANCED_BYTES, StateUnreadable, find_fleet_file, state_dir_of, written_state
from tests.settings.conftest import ToyCatalogue, service


def test_fleet_file_is_found_in_order(tmp_path: Path) -> None:
    """A command acts on another fleet than the one that was named."""
    cwd, home, user = tmp_path / "here", tmp_path / "home", tmp_path / "xdg"
    for folder in (cwd, home / ".config/rollout", user / "rollout"):
        folder.mkdir(parents=True)
    env = {"HOME": str(home)}
    assert find_fleet_file(None, env, cwd) is None
    (home / ".config/rollout/fleet.yaml").touch()
    assert find_fleet_file(None, env, cwd) == home / ".config/rollout/fleet.yaml"
    (user / "rollout/fleet.yaml").touch()
    env["XDG_CONFIG_HOME"] = str(user)
    assert find_fleet_file(None, env, cwd) == user / "rollout/fleet.yaml"
    (cwd / "fleet.yaml").touch()
    assert find_fleet_file(None, env, cwd) == cwd / "fleet.yaml"
    env["ROLLOUT_CONFIG"] = "named.yaml"
    assert find_fleet_file(None, env, cwd) == cwd / "named.yaml"
    assert find_fleet_file("/x/explicit.yaml", env, cwd) == Path("/x/explicit.yaml")


def test_relative_or_missing_home_is_not_searched(tmp_path: Path) -> None:
    """A fleet file from a folder that merely happens to be there is used."""
    (tmp_path / "rollout").mkdir()
    (tmp_path / "rollout/fleet.yaml").touch()
    assert find_fleet_file(None, {}, tmp_path) is None
    assert find_fleet_file(None, {"XDG_CONFIG_HOME": "."}, tmp_path) is None


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("state: s", "s"),
        ("state:   a b  # why", "a b"),
        ("state: 'it''s'", "it's"),
        ('state: "x # y" # z', "x # y"),
        ("state: a#b", "a#b"),
        ("'state': /abs/x", "/abs/x"),
        ("state : s", "s"),
        ("state: ../up", "../up"),
        ("state: http:x", "http:x"),
        ("state: 'no'", "no"),
        ("state: no", "no"),
    ],
)
def test_both_readers_agree_on_usual_forms(tmp_path: Path, line: str, state: str) -> None:
    """The rollback at night does not find its card."""
    file = tmp_path / "fleet.yaml"
    for text in (service() + line + "\n", line + "\r\n" + service(), "﻿" + line + "\n" + service()):
        file.write_bytes(text.encode())
        assert load(file, ToyCatalogue()).state == state
        assert state_dir_of(file) == tmp_path / state


WRITTEN = st.sampled_from(
    ["state: ", "state:", "'state': ", '"state": ', "state : ", "? state\n: ", " state: ", "\tstate: "]
)
VALUES = (
    st.from_regex(r"[a-c./][a-c ./#':-]{0,8}", fullmatch=True)
    | st.text(st.sampled_from("ab /.'\"\\#:&*!|>-?[]{},%@`~\n\t\r  é$0"), max_size=12)
    | st.sampled_from(
        ["|\n  a", ">\n  a", "&a b", "!!str a", "'a\n  b'", '"a\\tb"', "a\n  b", "a # b", "{a: b}", "5", "null", "true"]
    )
)
AROUND = st.sampled_from(
    [
        "",
        "state: other\n",
        "#state: x\n",
        "policy: {deny_after_services: 3}\n",
        "policy: 'sqlite:a\nstate: b'\n",
        "defaults:\n  patch: {image: |\n   state: x\n   }\n",
        'defaults: {patch: {image: "x\nstate: b"}}\n',
        "defaults: {patch: {\nstate: b}}\n",
        "defaults:\n  patch:\n    image: |\n      x\n\n      state: y\n",
    ]
)


@settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(WRITTEN, VALUES, AROUND, st.booleans())
def test_both_readers_agree_on_whatever_is_accepted(
    tmp_path: Path, key: str, value: str, around: str, first: bool
) -> None:
    """One odd way to write `state:` sends the emergency path to another folder."""
    file = tmp_path / "fleet.yaml"
    line = f"{key}{value}\n{around}"
    file.write_bytes((line + service() if first else service() + line).encode())
    try:
        state = load(file, ToyCatalogue()).state
    except SettingsErrors:
        return
    assert state_dir_of(file) == tmp_path / state


@given(st.text())
def test_any_text_has_a_state_or_is_unreadable(text: str) -> None:
    """The emergency path falls over a file that is broken."""
    try:
        assert written_state(text) != ""
    except StateUnreadable as error:
        assert "`state:`" in str(error)


def test_file_that_is_broken_elsewhere_still_has_its_state(tmp_path: Path) -> None:
    """A half-finished edit takes away the way back."""
    file = tmp_path / "fleet.yaml"
    file.write_bytes(b"services: [\xff\nstate: s\n  nonsense: {")
    assert state_dir_of(file) == tmp_path / "s"
    with pytest.raises(SettingsErrors):
        load(file, ToyCatalogue())


def test_finder_needs_the_standard_library_only() -> None:
    """A rollback waits for libraries, or fails because one is broken."""
    code = "import sys, rollout.state_dir; print([n for n in sys.modules if n in ('yaml', 'pydantic', 'typing')])"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"


def test_state_that_stands_too_far_down_is_refused(tmp_path: Path) -> None:
    """In a file of thousands of services the emergency path looks for the store in another folder than all others."""
    file = tmp_path / "fleet.yaml"
    filler = "# " + "x" * 97 + "\n"
    file.write_text(service() + filler * (GLANCED_BYTES // len(filler) + 1) + "state: elsewhere\n")
    with pytest.raises(SettingsErrors, match=r"state: cannot be read at a glance.*within the first MiB"):
        load(file, ToyCatalogue())
    file.write_text("state: elsewhere\n" + file.read_text().replace("state: elsewhere\n", ""))
    assert state_dir_of(file) == tmp_path / "elsewhere"
    assert load(file, ToyCatalogue()).state == "elsewhere"

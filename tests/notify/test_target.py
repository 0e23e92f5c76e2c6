from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rollout.fleetfile.fleetwide import Notify
from rollout.news import NEWS_KINDS
from rollout.notify.target import SECRET_BYTES, SecretMissing, Target, read_secret, targets_of


def test_targets_come_out_of_the_settings_as_they_are_written() -> None:
    """Somebody is told of what he did not ask for, or not told of what he did."""
    one = SimpleNamespace(name="ops", on=["halted"], apprise={"env": "CHAT"}, webhook=None, secret=None, private=False)
    two = SimpleNamespace(
        name="ci", on=["rolled_back"], apprise=None, webhook="https://x/", secret={"file": "s"}, private=True
    )
    assert targets_of(SimpleNamespace(to=[one, two])) == (
        Target("ops", ("halted",), apprise={"env": "CHAT"}),
        Target("ci", ("rolled_back",), webhook="https://x/", secret={"file": "s"}, private=True),
    )


def test_the_models_of_the_fleet_file_have_what_is_read_here() -> None:
    """A fleet file is accepted, and every command fails at the end over it."""
    written = (
        {"name": "ops", "apprise": {"env": "CHAT"}},
        {"name": "ci", "on": ("halted",), "webhook": "https://hooks.example/x?k=1", "secret": {"file": "/s"}},
    )
    assert targets_of(Notify.model_validate({"to": written})) == (
        Target("ops", NEWS_KINDS, apprise={"env": "CHAT"}),
        Target("ci", ("halted",), webhook="https://hooks.example/x?k=1", secret={"file": "/s"}),
    )
    assert targets_of(Notify()) == ()


@pytest.mark.parametrize("ways", [{}, {"apprise": {"env": "A"}, "webhook": "https://x/"}])
def test_a_target_has_one_way(ways: dict[str, object]) -> None:
    """A delivery that succeeded on one way and failed on the other is neither sent nor failed."""
    with pytest.raises(ValueError, match="either apprise or webhook"):
        Target("ops", ("halted",), **ways)  # type: ignore[arg-type]


def test_secrets_are_read_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rotated secret needs a restart."""
    file = tmp_path / "secret"
    for value in ("one", "two"):
        file.write_text(f"  {value}\n")
        monkeypatch.setenv("CHAT", f"{value}\n")
        assert read_secret({"file": str(file)}) == read_secret({"env": "CHAT"}) == value


def test_a_secret_that_is_not_there_is_named_by_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows which variable to set."""
    monkeypatch.delenv("NOWHERE", raising=False)
    with pytest.raises(SecretMissing, match="the variable NOWHERE is not set"):
        read_secret({"env": "NOWHERE"})
    with pytest.raises(SecretMissing, match=r"the file .*/none cannot be read: No such file"):
        read_secret({"file": str(tmp_path / "none")})
    monkeypatch.setenv("NOWHERE", "  ")
    with pytest.raises(SecretMissing, match="is empty"):
        read_secret({"env": "NOWHERE"})


@pytest.mark.parametrize("content", [b"\xff\xfehunter2", b"hunter2" * SECRET_BYTES])
def test_what_is_no_secret_is_not_repeated(tmp_path: Path, content: bytes) -> None:
    """A key in a wrong encoding is printed with the exception that complains about it."""
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SecretMissing) as refused:
        read_secret({"file": str(file)})
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__context__ is None


def test_a_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """~/.secret is looked for in a folder that is called ~."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").write_text("value")
    assert read_secret({"file": f"~{os.sep}mine"}) == "value"

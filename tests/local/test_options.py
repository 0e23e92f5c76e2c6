"""Options: what is wrong is said before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from providers.base import Invalid
from providers.local.options import Options, Value, resolve_environment


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"listen": "0.0.0.0:8080"}, "allow_public_listen"),
        ({"listen": "localhost:80"}, "127.0.0.1:8080"),
        ({"test_listen": "0.0.0.0:8081", "allow_public_listen": True}, "loopback"),
        ({"test_listen": "127.0.0.1:8080"}, "taken by listen"),
        ({"ports": "80-90"}, "18100-18199"),
        ({"ports": "18199-18100"}, "18100-18199"),
        ({"instances": 0}, "1..100"),
        ({"health": "health"}, "starts with /"),
        ({"stop_timeout_s": 0}, "seconds"),
        ({"environment": {"ROLLOUT_X": "1"}}, "ROLLOUT_"),
        ({"environment": {"A": {"vault": "x"}}}, "{env: NAME}"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_value_says_what_is_allowed(wrong: dict[str, Any], said: str) -> None:
    """Otherwise the first start finds it, with half of the service up."""
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Options).validate_python(wrong)
    assert said in str(error.value)


def test_the_defaults_are_good() -> None:
    """Otherwise nothing runs out of the box."""
    assert TypeAdapter(Options).validate_python({}) == Options()


def test_references_are_resolved_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise instances start without their secrets, or the secrets stand in the configuration."""
    monkeypatch.setenv("SHOP_KEY", "from-env")
    (tmp_path / "key").write_text("from-file\n")
    values: dict[str, Value] = {"A": "plain", "B": {"env": "SHOP_KEY"}, "C": {"file": "key"}}
    assert resolve_environment(values, tmp_path) == {"A": "plain", "B": "from-env", "C": "from-file"}


@pytest.mark.parametrize("value", [{"env": "NOT_SET_ANYWHERE"}, {"file": "absent"}])
def test_a_missing_secret_is_named(tmp_path: Path, value: dict[str, str]) -> None:
    """Otherwise an instance fails at its first request instead of at its start."""
    with pytest.raises(Invalid, match=r"environment\.KEY"):
        resolve_environment({"KEY": value}, tmp_path)

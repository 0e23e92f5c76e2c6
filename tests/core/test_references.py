"""Secrets in the options of checks: read when the check is asked, and in nothing that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Readings, Subject, Verdict
from rollout.notify.target import SecretMissing
from rollout.plan import CheckSpec
from rollout.references import Resolved, resolved
from rollout.wiring import Installation
from tests.core.scene import SHOP
from tests.healthchecks.servers import Servers

SECRET = "correct-horse-battery"


def test_references_are_read_wherever_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check sends the name of a secret instead of the secret."""
    (tmp_path / "token").write_text(f"{SECRET}\n")
    monkeypatch.setenv("WORD", "hunter22")
    options = {
        "a": {"b": [{"file": str(tmp_path / "token")}, 1, None]},
        "c": {"env": "WORD"},
        "d": {"env": "WORD", "x": 1},
    }
    found = resolved(options)
    assert found.options == {"a": {"b": [SECRET, 1, None]}, "c": "hunter22", "d": {"env": "WORD", "x": 1}}
    assert set(found.hidden) == {SECRET, "hunter22"}
    assert SECRET not in repr(found)


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check is asked with an empty password, and nobody learns which secret is missing."""
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(SecretMissing, match="variable NO_SUCH is not set"):
        resolved({"a": {"env": "NO_SUCH"}})
    with pytest.raises(SecretMissing, match="no-such-file"):
        resolved({"a": {"file": str(tmp_path / "no-such-file")}})


@pytest.mark.parametrize(
    "said",
    [f"wrong password {SECRET}!", f"wrong password {SECRET[:9]}…", f"{SECRET}{SECRET}", f"a {SECRET[:4]}… b {SECRET}"],
)
def test_no_verdict_repeats_a_secret(said: str) -> None:
    """A server that echoes what it was sent puts our password into the journal for ever."""
    verdict = Verdict.failed(said, severity=0.5, told={"deep": [said, {said: said}]}, count=1)
    cleaned = Resolved({}, (SECRET,)).without(verdict)
    assert SECRET[:4] not in cleaned.summary + json.dumps(dict(cleaned.evidence))
    assert (cleaned.answer, cleaned.severity, cleaned.evidence["count"]) == ("fail", 0.5, 1)


def ask(installation: Installation, **options: Any) -> Verdict:
    """The check http, about blue, as a plan has it."""
    readings = Readings(installation.provider("memory"), SHOP)
    subject = Subject("original", "blue", "green", readings, None, 1, installation.clock.now())
    return installation.ask(CheckSpec("http", "http", options), subject)


def test_a_check_is_asked_with_the_secret_of_now(installation: Installation, tmp_path: Path, servers: Servers) -> None:
    """A token that was changed is sent as it was, until somebody restarts the program."""
    server, token = servers.answering(200), tmp_path / "token"
    options = {"url": server.url, "allow_private": True, "headers": {"x-key": {"file": str(token)}}}
    for secret in ("first-secret", "second-secret"):
        token.write_text(secret)
        assert ask(installation, **options).answer == "pass"
        assert f"x-key: {secret}" in server.requests[-1]
    token.unlink()
    verdict = ask(installation, **options)
    assert verdict.answer == "unknown" and f"{token} cannot be read" in verdict.summary


def test_options_that_a_secret_makes_wrong_are_not_quoted(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pydantic says of a value has the value in it."""
    monkeypatch.setenv("WORD", f"{SECRET}\n{SECRET}")
    verdict = ask(installation, headers={"x-key": {"env": "WORD"}})
    assert verdict.answer == "unknown" and "cannot be asked" in verdict.summary
    assert "horse" not in verdict.summary


@pytest.fixture
def servers() -> Iterator[Servers]:
    """Real ones; all end with the test."""
    with Servers() as servers:
        yield servers

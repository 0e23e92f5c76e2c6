"""Secrets are referred to, never written, and never repeated by a message."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.fleetfile.secrets import is_reference, looks_like_secret
from tests.settings.conftest import Read, Refused, service


@pytest.mark.parametrize(
    ("lines", "line", "key"),
    [
        (("options: {password: hunter2}",), 6, "options.password"),
        (("options:", "  environment:", "    DB_PASSWORD: hunter2"), 8, "options.environment.DB_PASSWORD"),
        (("options:", "  environment:", "    apiToken: hunter2"), 8, "options.environment.apiToken"),
        (("options: {environment: {URL: 'pg://me:hunter2@db/x'}}",), 6, "options.environment.URL"),
        (
            ("checks: {live: [http: {headers: {Authorization: hunter2}}]}",),
            6,
            "checks.live[0].http.headers.Authorization",
        ),
        (("options: {tokens: [hunter2]}",), 6, "options.tokens[0]"),
    ],
)
def test_literal_secret_is_refused_and_not_shown(refused: Refused, lines: tuple[str, ...], line: int, key: str) -> None:
    """Passwords end in the repository, and then in the log of whoever is told about it."""
    (error,) = refused(service(*lines))
    assert (error.line, error.key) == (line, f"services.shop.{key}")
    assert error.problem == "a secret written out"
    assert error.allowed == "{env: NAME} or {file: PATH}"
    assert "hunter2" not in repr(error) + str(error)


def test_secret_of_the_wrong_kind_is_not_shown(refused: Refused) -> None:
    """A password that looks like a number is repeated by the message about it."""
    for text in (service("options: {password: 4711}"), service("options: {password: [4711]}")):
        assert all("4711" not in str(error) for error in refused(text))


def test_provider_from_outside_is_held_to_it_as_well(refused: Refused) -> None:
    """A secret gets through because nobody knows the options."""
    (error,) = refused(service("options: {token: abc}").replace("toy", "a.b:c"))
    assert error.key == "services.shop.options.token"


def test_references_are_kept_as_references(fleet: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret's value gets into plans and journals."""
    monkeypatch.setenv("SHOP_PW", "hunter2")
    text = service("options: {password: {env: SHOP_PW}, environment: {TOKEN: {file: secrets/t}, PLAIN: x}}")
    options = fleet(text).services["shop"].options
    assert options["password"] == {"env": "SHOP_PW"}
    assert options["environment"] == {"TOKEN": {"file": str(tmp_path / "secrets/t")}, "PLAIN": "x"}


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ({"env": "A_1"}, True),
        ({"file": "x"}, True),
        ({"env": "lower"}, False),
        ({"env": "A", "file": "b"}, False),
        ({}, False),
        ("env", False),
        ({"env": ""}, False),
        ({"env": 5}, False),
        ({"file": ["x"]}, False),
    ],
)
def test_what_is_a_reference(value: object, is_one: bool) -> None:
    """An ordinary mapping is taken for a secret, or a secret for a mapping."""
    assert is_reference(value) is is_one


@pytest.mark.parametrize("key", ["password", "DB_PASSWORD", "apiKey", "X-Api-Key", "client.secret", "access_key"])
def test_keys_that_name_secrets(key: str) -> None:
    """A secret under a slightly different name is let through."""
    assert looks_like_secret(key, "x")


@pytest.mark.parametrize("key", ["token_url", "max_retries", "monkey", "key", "secretary", "password_file"])
def test_keys_that_do_not(key: str) -> None:
    """An ordinary setting is refused, and people learn to work around the rule."""
    assert not looks_like_secret(key, "x")
    assert not looks_like_secret("password", None)
    assert not looks_like_secret("use_token", True)
    assert not looks_like_secret("url", "http://host:80/a@b")

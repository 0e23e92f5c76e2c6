"""Whatever a file holds, reading it ends in a fleet or in SettingsErrors that point into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollout.fleetfile.document import parse
from rollout.settings import SettingsErrors, parse_fleet
from tests.settings.conftest import ToyCatalogue, service

FILE = Path("fleet.yaml")
SOUP = st.text(st.sampled_from("ab1:-?[]{}&*!|>'\"%@`#,~<=.\\ \t\n\r\0é \U0001f600"), max_size=60)
KEYS = st.sampled_from(
    [
        "version",
        "services",
        "shop",
        "provider",
        "coexist",
        "options",
        "patch",
        "image",
        "traffic",
        "steps",
        "soak",
        "checks",
        "live",
        "http",
        "gates",
        "deadlines",
        "defaults",
        "policy",
        "state",
        "password",
        "env",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | KEYS
DATA = st.recursive(LEAVES, lambda each: st.lists(each, max_size=4) | st.dictionaries(KEYS, each, max_size=5))


def tried(raw: bytes) -> None:
    """Read it; anything but a fleet or SettingsErrors is an error."""
    try:
        assert parse_fleet(raw, FILE, ToyCatalogue()).services
    except SettingsErrors as error:
        lines = raw.count(b"\n") + raw.count(b"\r") + 2 * raw.count(b"\xe2\x80") + raw.count(b"\xc2\x85") + 2
        assert error.errors
        assert all(0 <= each.line <= lines and str(each).startswith("fleet.yaml") for each in error.errors)


@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    """A damaged file ends in a stack trace."""
    tried(raw)


@settings(max_examples=150)
@given(SOUP | st.text(max_size=60))
def test_any_text(text: str) -> None:
    """A slip of the finger ends in a stack trace."""
    tried(text.encode("utf-8", "surrogatepass"))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(DATA)
def test_any_data_with_known_keys(data: Any) -> None:
    """A value of an unexpected kind ends in a stack trace."""
    tried(yaml.safe_dump(data, allow_unicode=True).encode())


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, DATA, max_size=4), st.dictionaries(KEYS, DATA, max_size=4))
def test_any_service_over_any_defaults(own: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Merging falls over what does not fit together."""
    good = yaml.safe_load(service())["services"]["shop"]
    tried(yaml.safe_dump({"version": 1, "defaults": defaults, "services": {"shop": good | own}}).encode())


@pytest.mark.skipif(not hasattr(yaml, "CSafeLoader"), reason="only one parser is here")
@settings(max_examples=150)
@given(DATA)
def test_both_parsers_read_alike(data: Any) -> None:
    """A file means one thing where libyaml is installed and another where it is not."""
    raw = yaml.safe_dump(data).encode()
    outcomes: list[Any] = []
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        try:
            document = parse(raw, FILE, loader)
            outcomes.append((repr(document.data), document.positions))
        except SettingsErrors:
            outcomes.append("refused")
    assert outcomes[0] == outcomes[1]

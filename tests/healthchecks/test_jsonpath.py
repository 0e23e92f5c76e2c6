from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import jsonpath
from healthchecks.jsonpath import NotJson, NotThere

DOCUMENT = {"status": "ok", "checks": [{"ok": True, "0": "zero"}, {"ok": False}], "n": 1, "none": None}
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("path", "value"),
    [("status", "ok"), ("checks.0.ok", True), ("checks.1.ok", False), ("checks.0.0", "zero"), ("none", None)],
)
def test_keys_and_indexes_lead_to_values(path: str, value: Any) -> None:
    """What a health page says cannot be looked at, or another part of it is."""
    assert jsonpath.at(DOCUMENT, path) == value


@pytest.mark.parametrize(
    "path", ["nothing", "checks.2.ok", "checks.-1.ok", "checks.00", "status.0", "checks.ok", "n.n"]
)
def test_what_is_not_there_is_never_a_value(path: str) -> None:
    """A page that lost the value passes for one that has it."""
    with pytest.raises(NotThere):
        jsonpath.at(DOCUMENT, path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "$",
        "$.a",
        "checks[0]",
        "checks.*.ok",
        "a b",
        "@.x",
        "?(@.a)",
        "a'b",
        "\n",
        "a." * 20,
    ],
)
def test_nothing_but_plain_keys_is_a_path(path: str) -> None:
    """A path that was meant as an expression is taken for a key that is never there, or is evaluated."""
    with pytest.raises(ValueError, match="plain keys"):
        jsonpath.split(path)


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        (True, True, True),
        (1, True, False),
        (True, 1, False),
        (0, False, False),
        (1, 1.0, True),
        ("1", 1, False),
        (None, None, True),
        (None, False, False),
        ("", None, False),
        ([], "", False),
        ({}, None, False),
    ],
)
def test_values_of_another_kind_are_others(found: Any, wanted: Any, same: bool) -> None:
    """A page that says ok: 1 or ok: "true" passes for one that says ok: true."""
    assert jsonpath.same(found, wanted) is same


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"{",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"ok": true, "ok": false}',
        b"[" * 100_000,
        b"9" * 10_000,
        b'{"a": 1} {"a": 2}',
    ],
)
def test_rubbish_is_not_json(body: bytes) -> None:
    """A page that two readers would read differently is judged by one of them, or a deep one ends the program."""
    with pytest.raises(NotJson):
        jsonpath.read(body)


@given(documents, st.text(max_size=30))
def test_any_path_into_any_document_is_a_value_or_a_reason(document: Any, path: str) -> None:
    """A strange page crashes a gate instead of failing it."""
    read = jsonpath.read(json.dumps(document).encode())
    try:
        jsonpath.at(read, path)
    except (NotThere, ValueError) as error:
        assert str(error)


@given(st.dictionaries(st.from_regex(r"[a-z0-9_-]{1,5}", fullmatch=True), documents, min_size=1))
def test_every_plain_key_is_found(document: dict[str, Any]) -> None:
    """Some keys cannot be asked for, and nobody is told."""
    for key, value in document.items():
        assert jsonpath.at(document, key) == value

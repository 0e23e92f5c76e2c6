"""YAML without surprises: what is refused, what stays text, and bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rollout.fleetfile import document
from rollout.fleetfile.document import MAX_BYTES, MAX_DEPTH, MAX_ERRORS, MAX_NODES, Document, parse, read
from rollout.fleetfile.problems import Position, SettingsError, SettingsErrors

FILE = Path("fleet.yaml")
LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest) -> Any:
    """Each of the parsers that are here."""
    return request.param


def of(text: str | bytes, loader: Any) -> Document:
    """A document from text."""
    return parse(text if isinstance(text, bytes) else text.encode(), FILE, loader)


def wrong(text: str | bytes, loader: Any) -> tuple[SettingsError, ...]:
    """What is wrong with a text."""
    with pytest.raises(SettingsErrors) as caught:
        of(text, loader)
    return caught.value.errors


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("True", "True"),
        ("1:30", "1:30"),
        ("007", "007"),
        ("2026-01-02", "2026-01-02"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("+1", "+1"),
        ("'5'", "5"),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("5", 5),
        ("-5", -5),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("${HOME}", "${HOME}"),
        ("'{{ x }}'", "{{ x }}"),
    ],
)
def test_scalars_mean_what_they_seem_to_mean(loader: Any, written: str, meant: object) -> None:
    """A country code becomes false, a version number a date."""
    found = of(f"a: {written}\n", loader).data["a"]
    assert (found, type(found)) == (meant, type(meant))


def test_keys_are_text_and_positions_are_theirs(loader: Any) -> None:
    """Errors point to a wrong line, and `on:` is another key than written."""
    document = of("on: 1\n8080:\n  - x\n  - {no: y}\n", loader)
    assert document.data == {"on": 1, "8080": ["x", {"no": "y"}]}
    assert document.positions["8080",] == Position(2, 1)
    assert document.positions["8080", 1, "no"] == Position(4, 6)
    assert document.where(("8080", 0, "deeper", 7)) == Position(3, 5)
    assert document.where(("nowhere",)) == Position(1, 1)


def test_duplicate_keys_are_told_with_both_lines(loader: Any) -> None:
    """The last one wins silently, and the service is patched with an image that nobody sees."""
    errors = wrong("a:\n  image: x\n  b: 1\n  image: y\n  'b': 2\n", loader)
    assert [(each.line, each.key) for each in errors] == [(4, "a.image"), (5, "a.b")]
    assert [each.problem for each in errors] == [
        "duplicate key 'image': first on line 2",
        "duplicate key 'b': first on line 3",
    ]


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: &x 1\n", 1, "anchors (&) and aliases (*) are not used here"),
        ("a: 1\nb: *x\n", 2, "anchors (&) and aliases (*) are not used here"),
        ("*x : 1\n", 1, "anchors (&) and aliases (*) are not used here"),
        ("a: 1\n<<: {b: 2}\n", 2, "merge keys (<<) are not used here"),
        ("a: !!python/object:os.system x\n", 1, "tags (!) are not used here"),
        ("a: !!binary aGk=\n", 1, "tags (!) are not used here"),
        ("%YAML 1.1\n---\na: 1\n", 1, "directives (%) are not used here"),
        ("a:\n\tb: 1\n", 2, "a tab in the indentation"),
        ("a: 1\n---\nb: 2\n", 2, "a second document begins"),
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("a: 1\n[x]: 2\n", 2, "a mapping or list as a key"),
        ('a: "\\x1b[2J"\n', 1, "a control character"),
        ("a: 1e999\n", 1, "too large a number"),
        ("a: " + "9" * 5000 + "\n", 1, "too large a number"),
    ],
)
def test_what_is_not_used_is_refused_at_its_line(loader: Any, text: str, line: int, says: str) -> None:
    """A file means more than it says: bombs, code, another document."""
    error = wrong(text, loader)[0]
    assert (error.line, error.problem) == (line, says)


def test_broken_yaml_is_told_without_repeating_the_line(loader: Any) -> None:
    """A secret beside a forgotten quote ends in the log of a pipeline."""
    for text in ('a: 1\npassword: "hunter2\n', "a: 1\npassword: [hunter2\n", "a: 1\npassword: hunter2: x\n"):
        (error,) = wrong(text, loader)
        assert error.line >= 2
        assert error.problem.startswith("not YAML: ")
        assert "hunter2" not in str(error)


def test_other_encodings_are_refused(loader: Any) -> None:
    """Names turn into other names."""
    (error,) = wrong(b"a: 1\nb: \xe4\n", loader)
    assert (error.line, error.found, error.allowed) == (2, "byte 0xe4", "text in UTF-8")
    assert wrong("a: 1".encode("utf-16"), loader)
    assert of("﻿a: ä\r\n", loader).data == {"a": "ä"}


def test_depth_is_bounded(loader: Any) -> None:
    """A file of brackets takes the program down."""
    assert of("[" * MAX_DEPTH + "]" * MAX_DEPTH, loader).data
    for text in ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "[" * 500_000, "{a: " * 100_000, "- " * 100_000):
        assert wrong(text, loader)[0].problem == "nested too deeply"


def test_number_of_values_is_bounded(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated file keeps a rollback waiting."""
    assert MAX_NODES >= 10_000 * 25, "a fleet of ten thousand is read"
    if loader is yaml.SafeLoader:  # minutes, for as many as libyaml reads in two seconds
        monkeypatch.setattr(document, "MAX_NODES", 10_000)
    most = document.MAX_NODES
    error = wrong("[" + "a," * most + "]", loader)[0]
    assert (error.problem, error.allowed) == ("too much in one file", f"at most {most} values")


def test_number_of_problems_is_bounded(loader: Any) -> None:
    """A file that somebody else made fills the terminal, and the memory of a server that reads it again."""
    assert len(wrong("x:\n" + "  a: &b c\n" * 3000, loader)) <= MAX_ERRORS


def test_size_is_bounded_while_reading(tmp_path: Path) -> None:
    """`--config /dev/zero` eats the memory."""
    file = tmp_path / "big.yaml"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    for path in (file, Path("/dev/zero")):
        with pytest.raises(SettingsErrors, match=f"at most {MAX_BYTES} bytes"):
            read(path)

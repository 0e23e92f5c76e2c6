"""Read a YAML file into plain data that remembers where each key was written.

A small, safe part of YAML, so that a file means what it seems to mean:
- Keys are always text. Plain scalars are null, true, false, JSON numbers, or text: `no`, `on`, `1:30`, `007` and
  dates stay text. Quoted scalars are text.
- Refused: anchors and aliases altogether (nothing can be multiplied), merge keys, tags, directives, duplicate
  keys, tabs in indentation, control characters, more than one document, and whatever is not UTF-8.
- Bounded: 8 MiB, 32 levels, 400,000 nodes: ten thousand services of forty values. libyaml parses where PyYAML has
  it, else PyYAML itself; both only deliver events here, so nothing recurses and no object is ever constructed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from rollout.fleetfile.problems import KeyPath, Position, SettingsError, SettingsErrors, clipped, key_text

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 400_000
MAX_ERRORS = 1000
"""After so many a file is not read on: nobody corrects them by hand."""
_LARGEST = 2**63 - 1
_INT = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_TAB = re.compile(r"^ *\t[ \t]*[^\s#]", re.MULTILINE)
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `positions` has each mapping's key and each list's item by its path; `text` is the source."""

    path: Path
    text: str
    data: Any
    positions: Mapping[KeyPath, Position]

    def where(self, key: KeyPath) -> Position:
        """Where a key was written, or else the nearest key around it."""
        while key and key not in self.positions:
            key = key[:-1]
        return self.positions.get(key, Position(1, 1))


def read(path: Path) -> Document:
    """The file's document; raises SettingsErrors."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SettingsErrors([SettingsError(path, 0, 0, "", problem=f"cannot be read: {why}")]) from error
    return parse(raw, path)


def parse(raw: bytes, path: Path, loader: Any = _LOADER) -> Document:
    """The document in `raw`; `path` is what messages call it."""
    text = _decode(raw, path)
    builder = _Builder(path)
    if tab := _TAB.search(text):
        line = text.count("\n", 0, tab.start()) + 1
        builder.at = Position(line, tab.group().index("\t") + 1)
        builder.fail("a tab in the indentation", allowed="spaces")
    try:
        builder.read(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        # Never str(error): it may quote the line, and the line may hold a secret.
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        builder.at = Position(mark.line + 1, mark.column + 1) if mark else builder.at
        builder.fail(f"not YAML: {_reason(error)}")
    except (ValueError, OverflowError):  # what PyYAML itself does with an escape beyond Unicode
        builder.fail("not YAML: a number or an escape that no character has")
    return Document(path, text, builder.root, builder.positions)


def _decode(raw: bytes, path: Path) -> str:
    if len(raw) > MAX_BYTES:
        raise SettingsErrors([SettingsError(path, 0, 0, "", "a larger file", f"at most {MAX_BYTES} bytes")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        wrong = SettingsError(path, line, 1, "", f"byte 0x{raw[error.start]:02x}", "text in UTF-8", "not UTF-8")
        raise SettingsErrors([wrong]) from error


def _reason(error: yaml.YAMLError) -> str:
    said = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    return clipped(", ".join(str(each) for each in said if each)) or "it cannot be read"


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not been read yet."""

    value: Any
    path: KeyPath
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)

    @property
    def wants_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None


class _Builder:
    """Builds data from YAML events. What can be read past is collected; the rest fails at once."""

    def __init__(self, path: Path) -> None:
        self.path, self.root, self.at = path, None, Position(1, 1)
        self.positions: dict[KeyPath, Position] = {}
        self.errors: list[SettingsError] = []
        self.open: list[_Open] = []
        self.documents = self.nodes = 0

    def read(self, events: Iterable[Any]) -> None:
        for event in events:
            self.at = Position(event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.NodeEvent):
                self.node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.open.pop()
            elif isinstance(event, yaml.DocumentStartEvent):
                self.document(event)
        if not self.documents:
            self.at = Position(1, 1)
            self.fail("the file is empty", allowed="a mapping with version and services")
        if self.errors:
            raise SettingsErrors(self.errors)

    def document(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.fail("a second document begins", allowed="one document")
        if event.version or event.tags:
            self.note("directives (%) are not used here")

    def node(self, event: Any) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.fail("too much in one file", allowed=f"at most {MAX_NODES} values")
        if event.anchor is not None:
            refused, instead = "anchors (&) and aliases (*) are not used here", "the value itself, or `defaults`"
            self.note(refused, instead)
            if isinstance(event, yaml.AliasEvent):
                raise SettingsErrors(self.errors)
        if getattr(event, "tag", None) is not None:
            self.note("tags (!) are not used here", allowed="plain values")
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
        else:
            self.container({} if isinstance(event, yaml.MappingStartEvent) else [])

    def scalar(self, event: Any) -> None:
        if _UNSAFE.search(event.value):
            self.note("a control character", allowed="text with line breaks and tabs at most")
        plain = not event.style
        if self.open and self.open[-1].wants_key:
            self.key(event.value, plain)
        else:
            self.place(self.resolve(event.value) if plain else event.value)

    def key(self, name: str, plain: bool) -> None:
        into = self.open[-1]
        if plain and name == "<<":
            self.note("merge keys (<<) are not used here", allowed="`defaults`")
        if first := into.lines.get(name):
            self.note(f"duplicate key {clipped(repr(name))}: first on line {first}", inside=(name,))
        into.key = name
        into.lines.setdefault(name, self.at.line)
        self.positions.setdefault((*into.path, name), self.at)

    def resolve(self, text: str) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if not _FLOAT.fullmatch(text):
            return text
        number = float(text)
        if not math.isfinite(number) or (_INT.fullmatch(text) and abs(number) > _LARGEST):
            self.note("too large a number", allowed="a smaller one, or text in quotes", found=clipped(text))
            return None
        return int(text) if _INT.fullmatch(text) else number

    def container(self, value: Any) -> None:
        if self.open and self.open[-1].wants_key:
            self.fail("a mapping or list as a key", allowed="text")
        if len(self.open) >= MAX_DEPTH:
            self.fail("nested too deeply", allowed=f"at most {MAX_DEPTH} levels")
        self.open.append(_Open(value, self.place(value)))

    def place(self, value: Any) -> KeyPath:
        if not self.open:
            self.root = value
            return ()
        into = self.open[-1]
        if isinstance(into.value, list):
            path: KeyPath = (*into.path, len(into.value))
            into.value.append(value)
            self.positions[path] = self.at
        else:
            key, into.key = str(into.key), None
            path = (*into.path, key)
            into.value[key] = value
        return path

    def note(self, problem: str, allowed: str = "", found: str = "", inside: KeyPath = ()) -> None:
        path: KeyPath = ()
        if self.open:
            within = self.open[-1]
            path = (*within.path, *(inside or (() if within.key is None else (within.key,))))
        line, column = self.at
        self.errors.append(SettingsError(self.path, line, column, key_text(path), found, allowed, problem))
        if len(self.errors) >= MAX_ERRORS:
            raise SettingsErrors(self.errors)

    def fail(self, problem: str, allowed: str = "") -> NoReturn:
        self.note(problem, allowed)
        raise SettingsErrors(self.errors)

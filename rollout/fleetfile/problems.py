"""What is wrong with a fleet file, said so that it can be put right: file, line, key, found, allowed.

    fleet.yaml:12: services.shop.traffic.steps[1]: found 150; allowed: whole numbers 1–100, rising, ending in 100

All problems of a file are reported together, by line. Values that may be secrets are never shown.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

KeyPath = tuple[str | int, ...]
SHOWN = 60  # characters of a value that a message repeats
SHOWN_NAMES = 30
SERVICE_NAME = "[a-z][a-z0-9-]{0,39}"
SERVICE_NAME_ALLOWED = "a-z, 0-9 and -, beginning with a letter, at most 40"


class Position(NamedTuple):
    """Where something was written; both count from 1."""

    line: int
    column: int


@dataclass(eq=False)
class SettingsError(Exception):
    """One problem. `line` is 0 where no line is to blame; `found` and `allowed` are empty where they say nothing."""

    path: Path
    line: int
    column: int
    key: str
    found: str = ""
    allowed: str = ""
    problem: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else str(self.path)
        said = [
            self.problem,
            f"found {self.found}" if self.found else "",
            f"allowed: {self.allowed}" if self.allowed else "",
        ]
        return ": ".join(part for part in (place, self.key, "; ".join(filter(None, said))) if part)


class SettingsErrors(Exception):
    """A fleet file that cannot be used: every problem that was found, sorted by line."""

    def __init__(self, errors: Iterable[SettingsError]) -> None:
        unique = {str(error): error for error in errors}
        self.errors = tuple(sorted(unique.values(), key=lambda error: (error.line, error.column, error.key)))
        super().__init__("\n".join(map(str, self.errors)))


def key_text(path: KeyPath) -> str:
    """A key path as people write it: services.shop.traffic.steps[1]."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(r"[A-Za-z_][\w-]*", part, re.ASCII)
            text += f"{'.' if text else ''}{part if plain else clipped(json.dumps(part))}"
    return text


def shown(value: Any) -> str:
    """A value as a message shows it: on one line, bounded, without what is inside of mappings and lists."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return clipped(repr(value))


def clipped(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant, if there is one: spelt alike, or one that has a word in common."""
    candidates = {_plain(each): each for each in known}
    meant = _plain(name)
    if found := difflib.get_close_matches(meant, candidates, n=1, cutoff=0.6):
        return candidates[found[0]]
    words = {word for word in meant.split("_") if len(word) > 2}
    sharing = [each for each in candidates if words & set(each.split("_"))]
    return candidates[sharing[0]] if len(sharing) == 1 else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").replace(" ", "_")[:SHOWN]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The sentence for a name that nothing has: "unknown key 'trafic' (did you mean traffic?)"."""
    near = nearest(name, known)
    return f"unknown {kind} {clipped(repr(name))}" + (f" (did you mean {near}?)" if near else "")

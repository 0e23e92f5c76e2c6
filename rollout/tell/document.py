"""What a report is made of, whatever it is written as. A plain `str` was written by somebody else; `Ours` by us."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Ours(str):
    """Words of this program. All other text is quoted, so that nothing in it can pass for the report's own."""

    __slots__ = ()


Cell = str | tuple[str, ...]
"""A text, or several one after the other."""


def parts(cell: Cell) -> tuple[str, ...]:
    return cell if isinstance(cell, tuple) else (cell,)


def own(text: str, made_safe: Callable[[str], str]) -> str:
    """Words of ours made safe; the blanks at their ends, which part them from what they stand beside, stay."""
    inner = text.strip(" ")
    before = text[: len(text) - len(text.lstrip(" "))]
    return f"{before}{made_safe(inner)}{text[len(before) + len(inner) :]}" if inner else text


def listed(texts: Sequence[str]) -> Cell:
    """Several quoted texts with commas between; a dash for none."""
    if not texts:
        return Ours("–")
    return tuple(part for text in texts for part in (Ours(", "), text))[1:]


@dataclass(frozen=True, slots=True)
class Facts:
    rows: Sequence[tuple[str, Cell]]


@dataclass(frozen=True, slots=True)
class Table:
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Paragraph:
    text: Cell


@dataclass(frozen=True, slots=True)
class Listing:
    items: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Lines:
    """To be typed, or copied, line by line."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Chart:
    """Traffic over time, as `dossier` has it; a table with the same numbers follows it."""

    traffic: Mapping[str, Any]


Block = Facts | Table | Paragraph | Listing | Lines | Chart


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    blocks: Sequence[Block]
    level: int = 2


@dataclass(frozen=True, slots=True)
class Document:
    """`title` is quoted text; `head` stands above it in our words."""

    head: str
    title: str
    sections: Sequence[Section]

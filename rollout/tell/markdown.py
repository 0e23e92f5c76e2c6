"""A document as Markdown: what others wrote stands in code spans, where nothing is a link, a tag or a table's edge.

Code spans are the one place in which no dialect looks for addresses, mentions or markup. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rollout.tell.clean import clean
from rollout.tell.document import (
    Block,
    Cell,
    Chart,
    Document,
    Facts,
    Lines,
    Listing,
    Ours,
    Paragraph,
    Table,
    own,
    parts,
)

BAR = "¦"  # in place of a bar: dialects disagree about an escaped one in a table
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&!])")


def text_of(document: Document) -> str:
    """The whole file; the same document is the same text."""
    blocks = [f"# {ours(document.head)} {quoted(document.title)}"]
    for section in document.sections:
        title = ours(section.title) if section.level == 2 else quoted(section.title)
        blocks.append(f"{'#' * section.level} {title}")
        blocks += [_block(block) for block in section.blocks]
    return "\n\n".join(block for block in blocks if block) + "\n"


def quoted(text: str) -> str:
    """Somebody else's text as a code span that it cannot end."""
    inner = clean(text).replace("|", BAR)
    if not inner:
        return "–"
    longest = max((len(run) for run in re.findall("`+", inner)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{inner}{pad}{fence}"


def ours(text: str) -> str:
    """Our words, in which a figure or a step's name may still look like markup."""
    return _MARKUP.sub(r"\\\1", clean(text))


def _block(block: Block) -> str:
    match block:
        case Facts(rows):
            return "\n".join(f"- **{ours(name)}**: {_cell(cell)}" for name, cell in rows)
        case Table(headers, rows):
            return _table(headers, rows)
        case Paragraph(text):
            return _cell(text)
        case Listing(items):
            return "\n".join(f"{number}. {_cell(item)}" for number, item in enumerate(items, start=1))
        case Lines(lines):
            return _fenced(lines)
        case Chart():
            return ""  # the table that follows it has the numbers


def _table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    lines = [_row([ours(header) for header in headers]), _row(["---"] * len(headers))]
    return "\n".join([*lines, *(_row([_cell(cell) for cell in row]) for row in rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    """Two code spans side by side would share their fences."""
    told = ""
    for part in parts(cell):
        shown = own(part, ours) if isinstance(part, Ours) else quoted(part)
        told += f" {shown}" if told.endswith("`") and shown.startswith("`") else shown
    return told


def _fenced(lines: Sequence[str]) -> str:
    told = [" " * min(len(line) - len(line.lstrip(" ")), 40) + clean(line) for line in lines]
    longest = max((len(run) for line in told for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *told, fence])

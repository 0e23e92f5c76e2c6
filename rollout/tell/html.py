"""A document as one HTML file: nothing from outside, no script, readable on a phone, on paper, by day and by night.

All text is escaped here and nowhere else; the policy in the page forbids what escaping should have stopped. Pure.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from rollout.tell.chart import svg
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
    Section,
    Table,
    own,
    parts,
)

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --back: #fff; --quiet: #f3f5f7;
  --blue: #0550ae; --green: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #9aa4ae; --line: #3a424b; --back: #14181d;
  --quiet: #1e242b; --blue: #79b8ff; --green: #56d364; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); max-width: 62rem;
  margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin-bottom: .3rem; }
bdi { unicode-bidi: isolate; }
dl { display: grid; grid-template-columns: minmax(8rem, 14rem) 1fr; gap: .2rem 1rem; margin: .5rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; border-bottom: 1px solid var(--line);
  min-width: 5rem; }
th { color: var(--soft); font-weight: 600; }
pre { background: var(--quiet); padding: .6rem; white-space: pre-wrap; border-radius: 4px; }
svg { width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.grid { stroke: var(--line); } .mark { stroke: var(--soft); stroke-dasharray: 2 3; }
.side { fill: none; stroke: var(--soft); stroke-width: 2.5; }
.blue { stroke: var(--blue); } .green { stroke: var(--green); stroke-dasharray: 9 4; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@media print { body { max-width: none; font-size: 10pt; } h2 { break-after: avoid; } tr, svg { break-inside: avoid; }
  .wide { overflow: visible; } }
"""


def page(document: Document) -> str:
    """The whole file; the same document is the same text."""
    head = f"{document.head} {clean(document.title)}"
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escape(head)}</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{escape(document.head)} {_quoted(document.title)}</h1>",
        *(_section(section) for section in document.sections),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> str:
    level = f"h{section.level}"
    blocks = "\n".join(_block(block) for block in section.blocks)
    return f"<{level}>{escape(clean(section.title))}</{level}>\n{blocks}"


def _block(block: Block) -> str:
    match block:
        case Facts(rows):
            facts = [f"<dt>{escape(clean(name))}</dt><dd>{_cell(cell)}</dd>" for name, cell in rows]
            return "\n".join(["<dl>", *facts, "</dl>"])
        case Table(headers, rows):
            return _table(headers, rows)
        case Paragraph(text):
            return f"<p>{_cell(text)}</p>"
        case Listing(items):
            return "\n".join(["<ol>", *(f"<li>{_cell(item)}</li>" for item in items), "</ol>"])
        case Lines(lines):
            return f"<pre><code>{chr(10).join(escape(_line(line)) for line in lines)}</code></pre>"
        case Chart(traffic):
            return f"<figure>\n{svg(traffic)}\n</figure>"


def _table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{escape(clean(header))}</th>" for header in headers)
    body = "\n".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _cell(cell: Cell) -> str:
    return "".join(escape(own(part, clean)) if isinstance(part, Ours) else _quoted(part) for part in parts(cell))


def _quoted(text: str) -> str:
    return f"<bdi>{escape(clean(text))}</bdi>"


def _line(line: str) -> str:
    indent = len(line) - len(line.lstrip(" "))
    return " " * min(indent, 40) + clean(line)

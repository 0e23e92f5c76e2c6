"""Markdown in which nothing that others wrote is a link, a tag, a heading or a table's edge."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from rollout.card import Card
from rollout.tell.case import Case
from rollout.tell.document import Block, Document, Lines, Listing, Ours, Paragraph, Section, Table
from rollout.tell.dossier import dossier
from rollout.tell.markdown import ours, quoted, text_of
from rollout.tell.report import document_of
from tests.tell.kit import HOLE, HOSTILE, fill, filled, is_plain, outside_case

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
FORBIDDEN = ("html_block", "html_inline", "link_open", "image", "hr", "blockquote_open", "code_block")


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Card]:
    """A rollout into which somebody else's text can be put everywhere, and its card."""
    return outside_case(tmp_path_factory.mktemp("outside"))


def written(outside: tuple[Case, Card], text: str) -> str:
    """The report with that text in every hole."""
    case, card = outside
    return text_of(document_of(dossier(filled(case, text), Card.from_json(fill(card.to_json(), text)), [text, text])))


def tokens(text: str) -> Iterator[Token]:
    """Blocks and what is in them."""
    for block in READER.parse(text):
        yield block
        yield from block.children or ()


def shape(text: str) -> list[str]:
    """What the text is made of; fails at what it may not have."""
    found = [token.type for token in tokens(text)]
    assert not set(found) & set(FORBIDDEN), set(found) & set(FORBIDDEN)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_changes_what_the_report_is_made_of(outside: tuple[Case, Card], text: str) -> None:
    """A check's output shows a link to click, or an approval that nobody gave."""
    hostile = written(outside, f"x{text}")
    assert shape(hostile) == shape(written(outside, "harmless"))
    assert is_plain(hostile) and hostile.encode()


@settings(max_examples=60)
@given(text=st.text(alphabet=st.characters(codec=None), max_size=80))
def test_any_text_leaves_the_report_whole(outside: tuple[Case, Card], text: str) -> None:
    """A table ends in the middle, and what follows is read as prose."""
    assert shape(written(outside, f"x{text}")) == shape(written(outside, "harmless"))


def test_what_others_wrote_stands_only_in_code(outside: tuple[Case, Card]) -> None:
    """Dialects find addresses, names and numbers of tickets in any other text, and make links of them."""
    where = [token.type for token in tokens(written(outside, HOLE)) if HOLE in token.content and token.type != "inline"]
    assert len(where) > 50 and set(where) <= {"code_inline", "fence"}


@given(st.text(max_size=60))
def test_a_code_span_cannot_be_ended_from_inside(text: str) -> None:
    """A backtick in a reason turns the rest of the page into markup."""
    kinds = shape(f"before {quoted(text)} after\n")
    assert kinds.count("code_inline") == (1 if quoted(text) != "–" else 0)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_row_has_as_many_cells_as_its_table(cells: list[str]) -> None:
    """A bar in a summary moves every following cell under another heading."""
    text = text_of(Document("Report", "x", [Section("t", [Table(["h"] * len(cells), [cells, ["end"] * len(cells)])])]))
    assert [token.type for token in READER.parse(text)].count("td_open") == 2 * len(cells)


@given(st.lists(st.text(max_size=30), max_size=5))
def test_lines_to_copy_stay_in_their_fence(lines: list[str]) -> None:
    """A platform's command ends its block, and the next one is run together with prose."""
    text = text_of(Document("Report", "x", [Section("t", [Lines(lines), Paragraph(Ours("end"))])]))
    fences = [token for token in READER.parse(text) if token.type == "fence"]
    assert len(fences) == 1 and len(fences[0].content.splitlines()) == len(lines)


def test_indents_and_order_are_kept() -> None:
    """Data to copy at night has lost its shape, steps their numbers."""
    blocks: list[Block] = [
        Lines(["{", '  "a": "b"', "}"]),
        Listing([Ours("first"), ("second ", Ours("with "), "more")]),
    ]
    text = text_of(Document("Report", "x", [Section("t", blocks)]))
    assert '```text\n{\n  "a": "b"\n}\n```' in text
    assert "1. first\n2. `second`with `more`" in text


@pytest.mark.parametrize("text", ["a_b_c *d* [e](f) <g> #h | i ~~j~~ &amp; \\k !l", "swap:1:50", "plain words."])
def test_our_own_words_stay_words(text: str) -> None:
    """The name of a step becomes emphasis, and can no longer be searched for."""
    found = list(tokens(f"{ours(text)}\n"))
    assert "".join(token.content for token in found if token.type in ("text", "text_special")) == text
    assert {token.type for token in found} <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}


def test_two_quoted_texts_side_by_side_stay_two() -> None:
    """The end of one quotation is the beginning of the next."""
    text = text_of(Document("Report", "x", [Section("t", [Paragraph(("one", "two"))])]))
    assert [token.content for token in tokens(text) if token.type == "code_inline"] == ["x", "one", "two"]


def test_there_is_one_title_and_every_part_has_its_heading(outside: tuple[Case, Card]) -> None:
    """A reader does not find the way back in a long report."""
    found: list[Any] = re.findall(r"^(#+) (.*)$", written(outside, "x"), re.MULTILINE)
    assert [level for level, _ in found].count("#") == 1
    assert [name for level, name in found if level == "##"] == [
        "Summary",
        "What went wrong, and why it was decided so",
        "Way back",
        "By hand, without this program",
        "Security: what the patch fixes",
        "Traffic",
        "Gates",
        "Plan",
        "Timeline",
        "Record",
    ]

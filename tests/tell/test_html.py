"""The page: one file that needs nothing, in which nothing that others wrote is more than text."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.card import Card
from rollout.tell.case import Case
from rollout.tell.chart import BOTTOM, LEFT, RIGHT, TOP, svg, window_of
from rollout.tell.document import Block, Document, Facts, Lines, Listing, Ours, Paragraph, Section, Table
from rollout.tell.dossier import dossier
from rollout.tell.html import STYLE, page
from rollout.tell.report import document_of
from tests.core.scene import World
from tests.tell.kit import HOLE, HOSTILE, Shape, case_now, fill, filled, is_plain, outside_case


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, Card]:
    """A rollout into which somebody else's text can be put everywhere, and its card."""
    return outside_case(tmp_path_factory.mktemp("outside"))


def written(outside: tuple[Case, Card], text: str) -> str:
    """The page with that text in every hole."""
    case, card = outside
    return page(
        document_of(dossier(filled(case, text), Card.from_json(fill(card.to_json(), text)), [text, f"  {text}"]))
    )


def test_the_holes_are_where_people_and_checks_speak(outside: tuple[Case, Card]) -> None:
    """The tests of hostile text put it where nobody ever writes any."""
    assert written(outside, HOLE).count(HOLE) > 50


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_changes_what_the_page_is_made_of(outside: tuple[Case, Card], text: str) -> None:
    """A check's output runs a script in the browser of whoever reads why it failed."""
    hostile = written(outside, f"x{text}")
    assert Shape(hostile).tags == Shape(written(outside, "harmless")).tags
    assert is_plain(hostile) and hostile.encode()


@settings(max_examples=60)
@given(text=st.text(alphabet=st.characters(codec=None), max_size=80))
def test_any_text_leaves_the_page_whole(outside: tuple[Case, Card], text: str) -> None:
    """A report cannot be read because of one odd letter in a reason."""
    hostile = written(outside, f"x{text}")
    assert Shape(hostile).tags == Shape(written(outside, "harmless")).tags


def test_text_is_shown_as_it_was_written(outside: tuple[Case, Card]) -> None:
    """Evidence is shown otherwise than it was, so that it proves something else."""
    assert "<b>5 < 6 & 7</b>" in Shape(written(outside, "<b>5 < 6 & 7</b>")).text


def test_the_page_needs_nothing_from_outside(outside: tuple[Case, Card]) -> None:
    """An auditor opens the file offline and sees half of it, or somebody learns that it was opened."""
    text = written(outside, "http://example.com/x.png")
    assert not re.search(r"""(?:src|href|action|srcset|background)\s*=|@import|url\(|<script|<link|<base""", text)


def test_the_policy_forbids_all_but_its_own_style(outside: tuple[Case, Card]) -> None:
    """What escaping missed once is run after all."""
    shape = Shape(written(outside, "x"))
    policy = dict(part.strip().split(" ", 1) for part in shape.meta["Content-Security-Policy"].split(";"))
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    (inside,) = re.findall(r"<style>(.*?)</style>", written(outside, "x"), re.DOTALL)
    assert inside == STYLE and "style=" not in written(outside, "x")


def test_the_page_suits_phones_paper_and_the_dark() -> None:
    """At night on a phone the report is a white page with a sideways scroll."""
    for needed in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem", "overflow-wrap: anywhere"):
        assert needed in STYLE
    assert Shape(page(Document("Report", "x", []))).meta["viewport"].startswith("width=device-width")


def test_every_block_is_written() -> None:
    """A part of the report is missing on the page."""
    blocks: list[Block] = [
        Facts([("name", Ours("ours"))]),
        Table(("head",), [("cell",), (("a", Ours(" and "), "b"),)]),
        Paragraph("said"),
        Listing([Ours("first"), "second"]),
        Lines(["{", '  "key": 1', "}"]),
    ]
    text = page(Document("Report", "it", [Section("A part", blocks), Section("deeper", [], level=3)]))
    said = Shape(text).text
    for each in (
        "name",
        "ours",
        "head",
        "cell",
        "a and b",
        "said",
        "first",
        "second",
        '  "key": 1',
        "A part",
        "deeper",
    ):
        assert each in said
    assert "<h3>deeper</h3>" in text and "<bdi>a</bdi> and <bdi>b</bdi>" in text


# The chart


def drawn(path: str) -> list[tuple[float, float]]:
    """The corners of a step line, from its drawing."""
    points, x, y = list[tuple[float, float]](), 0.0, 0.0
    for command, rest in re.findall(r"([MHV])([-\d. ]+)", path):
        numbers = [float(number) for number in rest.split()]
        if command == "M":
            x, y = numbers
        elif command == "H":
            (x,) = numbers
        else:
            (y,) = numbers
        points.append((x, y))
    return points


def shares(path: str) -> list[int]:
    """The shares of traffic that a line shows, in order."""
    heights = [y for _, y in drawn(path)]
    levels = [round((BOTTOM - y) / (BOTTOM - TOP) * 100) for y in heights]
    return [level for number, level in enumerate(levels) if number == 0 or levels[number - 1] != level]


def traffic_of(world: World) -> dict[str, Any]:
    """As a report has it."""
    found: dict[str, Any] = dossier(case_now(world))["traffic"]
    return found


def test_the_chart_shows_each_step_at_its_time(world: World) -> None:
    """The drawing shows another rollout than the numbers below it."""
    world.drive()
    traffic = traffic_of(world)
    blue, green = Shape(svg(traffic)).paths
    assert (shares(blue), shares(green)) == ([100, 50, 0], [0, 50, 100])
    begin, end = window_of(traffic)
    for number, point in enumerate(traffic["points"][1:]):
        expected = LEFT + (RIGHT - LEFT) * (point["after_s"] - begin) / (end - begin)
        turns = [x for (x, y), (_, before) in zip(drawn(blue)[1:], drawn(blue), strict=False) if y != before]
        assert abs(turns[number] - expected) < 0.1


def test_the_two_sides_always_add_up(world: World) -> None:
    """The drawing shows traffic that nobody serves."""
    world.drive()
    blue, green = (drawn(path) for path in Shape(svg(traffic_of(world))).paths)
    assert [x for x, _ in blue] == [x for x, _ in green]
    assert all(
        abs((BOTTOM - b) + (BOTTOM - g) - (BOTTOM - TOP)) < 0.2 for (_, b), (_, g) in zip(blue, green, strict=True)
    )


weights = st.integers(0, 100).map(lambda green: {"blue": 100 - green, "green": green})
point = st.tuples(st.floats(0, 1e7), weights)


@given(
    points=st.lists(point, min_size=1, max_size=12),
    marks=st.lists(st.tuples(st.floats(0, 1e7), st.sampled_from(HOSTILE)), max_size=5),
)
def test_any_traffic_can_be_drawn_inside_the_frame(points: list[Any], marks: list[Any]) -> None:
    """A rollout that was paused for a week, or lasted no time, breaks the page or draws over its text."""
    traffic = {
        "original": "blue",
        "replacement": "green",
        "points": [{"after_s": at, "weights": share} for at, share in sorted(points, key=lambda each: each[0])],
        "marks": [{"after_s": at, "text": text} for at, text in sorted(marks)],
    }
    for path in Shape(svg(traffic)).paths:
        assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in drawn(path))
        xs = [x for x, _ in drawn(path)]
        assert xs == sorted(xs) and xs[-1] == RIGHT


def test_a_long_warm_time_does_not_squeeze_the_chart(world: World) -> None:
    """All that happened is one line at the left edge of a day."""
    world.drive()
    _, end = window_of(traffic_of(world))
    assert end < 30 < world.row.closed_at - world.row.opened_at  # type: ignore[operator]

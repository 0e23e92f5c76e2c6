"""The hold mark as tags."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws import marks
from providers.base import HoldMark, Slot

ALLOWED = re.compile(r"[\w+\-=.:/@ ]*")
MARK = HoldMark("shop-7", 3, "blue", "ana@desk", 1_767_225_600.25, "errors: 5 % of all, since the last step!")
texts = st.text(max_size=400)
held = st.builds(
    HoldMark,
    rollout=texts,
    epoch=st.integers(0, 2**63),
    active=st.sampled_from(["blue", "green"]),
    by=texts,
    at=st.floats(0, 1e12),
    reason=texts,
)


def test_a_mark_is_legible_to_people() -> None:
    """Otherwise nobody who looks at the listener in the console knows what happened."""
    tags = marks.tags_of(MARK)
    assert tags["rollout-manager:mark"] == "3 blue 1767225600.25 shop-7"
    assert tags["rollout-manager:mark-by"] == "ana@desk"
    assert "errors:_5_=25_of_all" in tags["rollout-manager:mark-reason"]


@given(held)
def test_any_mark_comes_back(mark: HoldMark) -> None:
    """Otherwise an engine reads another mark than the one that was left, or none."""
    tags = marks.tags_of(mark)
    found = marks.mark_of(tags)
    assert found is not None
    assert (found.epoch, found.active, found.at) == (mark.epoch, mark.active, mark.at)
    for now, before in ((found.rollout, mark.rollout), (found.by, mark.by), (found.reason, mark.reason)):
        assert before.startswith(now), "cut off between two characters, never changed"
        assert now == before or len(marks.encoded(before, 10_000)) > 150
    for value in tags.values():
        assert len(value) <= 256 and ALLOWED.fullmatch(value), "AWS would refuse the tag"


@given(st.text(max_size=300), st.integers(1, 256))
def test_a_text_is_cut_off_only_where_it_must_be(text: str, longest: int) -> None:
    """Otherwise a reason ends in garbage, or before its time."""
    value = marks.encoded(text, longest)
    assert len(value) <= longest
    kept = marks.decoded(value)
    assert text.startswith(kept)
    if kept != text:
        assert len(marks.encoded(text[: len(kept) + 1], 10_000)) > longest


@given(st.text(), st.text(), st.sampled_from(["blue", "green"]))
def test_whatever_stands_there_is_a_mark(text: str, other: str, serving: Slot) -> None:
    """Otherwise a mark that somebody wrote by hand is overlooked, and traffic moves forward again."""
    found = marks.mark_of({marks.MARK: text, marks.REASON: other}, serving)
    assert found is not None and found.active in ("blue", "green")
    assert found.rollout and found.epoch >= 0


@pytest.mark.parametrize("text", ["", "hold", "3 purple 1.0 x", "3 blue nan x", "3 blue 1.0 =Z1", "x blue 1.0 y"])
def test_an_unreadable_mark_says_that_it_is(text: str) -> None:
    """Otherwise nobody knows that the slot and the time in it are guesses."""
    found = marks.mark_of({marks.MARK: text}, "green")
    assert found is not None
    assert found.reason.startswith("unreadable mark") and repr(text) in found.reason


def test_what_can_be_read_of_a_bad_mark_is_read() -> None:
    """Otherwise a slip of the pen in one tag loses which side is to serve."""
    found = marks.mark_of({marks.MARK: "7 blue yesterday shop-9", marks.BY: "ana"}, "green")
    assert found is not None
    assert (found.epoch, found.active, found.rollout, found.by) == (7, "blue", "shop-9", "ana")


def test_no_mark_is_none() -> None:
    """Otherwise nothing ever moves."""
    assert marks.mark_of({}) is None
    assert marks.mark_of({"team": "shop", marks.BY: "left over"}) is None
    assert marks.of_mark({"team": "shop", marks.MARK: "x"}) == {marks.MARK: "x"}


@given(st.integers(0, 100))
def test_what_is_declared_comes_back(blue: int) -> None:
    """Otherwise a move of two listeners that was interrupted looks like somebody's edit."""
    wanted: dict[Slot, int] = {"blue": blue, "green": 100 - blue}
    assert marks.declaring_of({marks.DECLARING: marks.declaring_text(wanted)}) == wanted


@pytest.mark.parametrize("text", ["", "blue=50", "blue=60 green=60", "green=50 blue=50", "blue=0 green=0"])
def test_a_declaration_that_cannot_be_is_none(text: str) -> None:
    """Otherwise a tag that somebody edited hides an odd listener."""
    assert marks.declaring_of({marks.DECLARING: text}) is None

"""What others wrote can be shown anywhere: nothing hidden, nothing that steers, nothing endless."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.tell.clean import LONGEST, clean
from tests.tell.kit import HOSTILE, is_plain


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_becomes_one_harmless_line(text: str) -> None:
    """A check's output rewrites the terminal of the person who reads why it failed."""
    shown = clean(text)
    assert is_plain(shown) and "\n" not in shown
    assert shown.encode()
    assert len(shown) < LONGEST * 6 + 80


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_can_be_shown(text: str) -> None:
    """One strange letter in a reason makes the whole report impossible to write."""
    shown = clean(text)
    assert is_plain(shown) and "\n" not in shown
    assert shown.encode().decode() == shown


@given(st.text(alphabet=st.characters(codec=None), max_size=200))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    """A text differs between two places of one report, and a search for it finds one of them."""
    assert clean(clean(text)) == clean(text)


def test_what_cannot_be_seen_is_written_out() -> None:
    """A hidden mark makes a file name read backwards, and nobody sees that there is one."""
    assert clean("a\u202eb\x1bc\ud800d\U000e0041") == "a\\u202eb\\u001bc\\ud800d\\U000e0041"


def test_ordinary_text_of_any_language_stays_as_it_is() -> None:
    """Reasons that are not in English cannot be read."""
    for text in ("plain", "größer → 5 µs", "日本語のパッチ", "עברית", "é́"):
        assert clean(text) == text


def test_a_cut_says_how_much_was_left_out() -> None:
    """A reader takes a part of the evidence for all of it."""
    assert clean("x" * 30, 10) == "x" * 10 + "… (20 more characters, which the journal has)"
    assert clean("x" * 10, 10) == "x" * 10

"""Lengths of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.durations import LONGEST_S, BadDuration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("60s", 60),
        ("5m", 300),
        ("1h30m", 5400),
        ("24h", 86400),
        ("7d", 604800),
        ("0s", 0),
        ("1d2h3m4s5ms", 93784.005),
        ("90m", 5400),
    ],
)
def test_durations_mean_what_they_say(text: str, seconds: float) -> None:
    """A soak of minutes lasts seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "wrong",
    [
        60,
        1.5,
        None,
        True,
        "",
        "60",
        "s",
        "-5s",
        "+5s",
        "5 s",
        "1.5h",
        "5S",
        "5min",
        "30m1h",
        "5s5s",
        "٣s",
        "5s\n",
        "9" * 12 + "s",
        "1e3s",
        ["5s"],
    ],
)
def test_what_has_no_unit_or_order_is_refused(wrong: object) -> None:
    """A number without a unit is guessed, and traffic moves sixty times too soon."""
    with pytest.raises(BadDuration, match="such as 500ms"):
        parse_duration(wrong)


def test_durations_are_bounded() -> None:
    """A slip keeps an old side warm for centuries."""
    assert parse_duration("366d") == LONGEST_S
    for far in ("367d", "99999999999d"):
        with pytest.raises(BadDuration, match="at most 366d"):
            parse_duration(far)


@given(st.integers(0, int(LONGEST_S * 1000)))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    """A printed time does not mean the time that is kept."""
    text = format_duration(milliseconds / 1000)
    assert round(parse_duration(text) * 1000) == milliseconds
    assert format_duration(parse_duration(text)) == text


@given(st.text(max_size=12) | st.from_regex(r"([0-9]{1,3}(d|h|m|s|ms)){0,3}", fullmatch=True))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """Odd text ends in a stack trace."""
    try:
        assert 0 <= parse_duration(text) <= LONGEST_S
    except BadDuration as error:
        assert str(error)

"""Times as people write them on a command line."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.times import BadTime, moment

NOW = 1_800_000_000.0


def test_a_span_is_from_now() -> None:
    """A hold of two hours ends at some other time."""
    assert moment("2h", NOW) == NOW + 7200


def test_a_time_with_a_zone_is_that_instant() -> None:
    """A hold that was meant for one zone ends by another's clock."""
    assert moment("2026-11-30T06:00+00:00", NOW) == datetime.fromisoformat("2026-11-30T06:00+00:00").timestamp()


def test_a_time_without_a_zone_is_this_machines() -> None:
    """The time on the wall means another one here."""
    assert moment("2026-11-30T06:00", NOW) == datetime(2026, 11, 30, 6, 0).timestamp()  # noqa: DTZ001 - local on purpose


@pytest.mark.parametrize("text", ["", "soon", "2", "-2h", "2026-13-01", "9999-12-31T23:59:59-14:00x"])
def test_what_is_no_time_says_what_is_allowed(text: str) -> None:
    """A slip of the finger ends in a trace of the program's insides."""
    with pytest.raises(BadTime, match="say a span such as"):
        moment(text, NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_clear_refusal(text: str) -> None:
    """Odd input ends in an internal error."""
    try:
        assert isinstance(moment(text, NOW), float)
    except BadTime as refused:
        assert "is not a time" in str(refused)

"""Times as people type and read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.durations import format_duration
from rollout.tell.moments import BadMoment, lasted, local, parse_moment, utc

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that is one hour ahead of UTC in winter."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2h", NOW - 7200),
        ("7d", NOW - 7 * 86400),
        ("1h30m", NOW - 5400),
        ("2027-01-15T07:00:00Z", NOW - 3600),
        ("2027-01-15T08:30:00+01:00", NOW - 1800),
        ("2027-01-15T08:00:00", NOW - 3600),
        ("2027-01-15 08:00", NOW - 3600),
        ("2027-01-15", NOW - 9 * 3600),
    ],
)
def test_a_moment_can_be_said_in_many_ways(berlin: None, text: str, at: float) -> None:
    """A person at night has to compute with time zones to ask what was true at two o'clock."""
    assert parse_moment(text, NOW) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2027-02-30", "25:00", "2h ago", "-2h", "1e9", "9999-99-99", "0001"])
def test_what_is_no_moment_is_refused_with_what_is_allowed(text: str) -> None:
    """A mistyped time is taken for another one, and the answer is about the wrong night."""
    with pytest.raises(BadMoment, match="a span ago"):
        parse_moment(text, NOW)


@pytest.mark.parametrize("text", ["2027-01-15T08:00:01Z", "9999-12-31T23:59:59Z"])
def test_the_future_is_refused(text: str) -> None:
    """Somebody takes what is true now for what will be true tomorrow."""
    with pytest.raises(BadMoment, match="future"):
        parse_moment(text, NOW)


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_refused(text: str) -> None:
    """A mistyped time ends in a traceback."""
    with suppress(BadMoment):
        assert parse_moment(text, NOW) <= NOW


@given(st.integers(0, 366 * 86400))
def test_every_span_is_understood(seconds: int) -> None:
    """A span that the program itself prints is refused."""
    assert parse_moment(format_duration(float(seconds)), NOW) == NOW - seconds


@given(st.floats(0, 4e9))
def test_utc_is_iso_8601_with_its_zone(at: float) -> None:
    """An auditor in another country reads another time than it was."""
    text = utc(at)
    assert text.endswith("Z")
    assert abs((datetime.fromisoformat(text) - datetime.fromtimestamp(at, UTC)).total_seconds()) < 0.001


@pytest.mark.parametrize("at", [9e15, -9e15, float("inf"), float("nan")])
def test_a_time_that_no_clock_shows_breaks_no_report(at: float) -> None:
    """One damaged entry keeps the whole report from being written."""
    assert "after 1970" in utc(at) and local(at)


def test_local_time_names_its_zone(berlin: None) -> None:
    """Two people in two places talk about two different moments."""
    assert local(NOW) == "2027-01-15 09:00:00 CET"
    assert local(NOW, zone=False) == "2027-01-15 09:00:00"
    assert local(None) == utc(None) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0062, "6.2 ms"),
        (2, "2 s"),
        (4.25, "4.2 s"),
        (59.6, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (86400 + 7200 + 61, "1 d 2 h"),
        (-3, "-3 s"),
        (None, "–"),
    ],
)
def test_lengths_of_time_read_well(seconds: float | None, text: str) -> None:
    """A swap of six milliseconds is told as nothing, a day in seconds."""
    assert lasted(seconds) == text

"""Windows and blackouts, in nights in which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from rollout.calendar.schedule import Cron
from rollout.calendar.windows import Blackout, MonthDay, Scheduled, Span, Weekly, Window
from rollout.calendar.zones import wall, zone_of
from tests.calendar.test_zones import ZONES

ZURICH = "Europe/Zurich"
EVERY_DAY = frozenset(range(7))


def at(text: str, zone: str = ZURICH) -> float:
    """A wall clock's time in a zone, the first of two."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def hours(window: Window | Blackout, since: float, count: int) -> list[tuple[str, float]]:
    """When the next ones open by the clock, and for how many hours."""
    zone = zone_of(ZURICH)
    found = islice(window.spans(since), count)
    return [(wall(span.opens, zone).strftime("%m-%d %H:%M"), (span.closes - span.opens) / 3600) for span in found]


NIGHT = Weekly(EVERY_DAY, time(22), time(4), ZURICH)


def test_hours_of_the_day_follow_the_clock_on_the_wall() -> None:
    """Work goes on until 05:00, because clocks were set at night, and the first customers meet it."""
    assert hours(NIGHT, at("2026-03-28T12:00"), 3) == [
        ("03-28 22:00", 5.0),
        ("03-29 22:00", 6.0),
        ("03-30 22:00", 6.0),
    ]
    assert hours(NIGHT, at("2026-10-24T12:00"), 2) == [("10-24 22:00", 7.0), ("10-25 22:00", 6.0)]


def test_a_length_is_elapsed_time() -> None:
    """A window of six hours has five, and a rollout that was promised six does not get through."""
    night = Scheduled(Cron("0 22 * * *", ZURICH), 6 * 3600.0)
    assert hours(night, at("2026-03-28T12:00"), 2) == [("03-28 22:00", 6.0), ("03-29 22:00", 6.0)]
    assert hours(night, at("2026-10-24T12:00"), 2) == [("10-24 22:00", 6.0), ("10-25 22:00", 6.0)]


def test_a_window_within_a_gap_does_not_open() -> None:
    """A window without any time in it is open for an instant, and something begins in it."""
    window = Weekly(EVERY_DAY, time(2, 15), time(2, 45), ZURICH)
    assert hours(window, at("2026-03-28T12:00"), 2) == [("03-30 02:15", 0.5), ("03-31 02:15", 0.5)]
    assert hours(window, at("2026-10-24T12:00"), 2) == [("10-25 02:15", 0.5), ("10-26 02:15", 0.5)], "the first time"
    ends_there = Weekly(EVERY_DAY, time(1), time(2, 30), ZURICH)
    assert hours(ends_there, at("2026-03-28T12:00"), 1) == [("03-29 01:00", 1.0)]
    assert hours(ends_there, at("2026-10-24T12:00"), 1) == [("10-25 01:00", 1.5)], "the first 02:30 ends it"


@pytest.mark.parametrize("name", ZONES)
def test_a_whole_year_of_nights(name: str) -> None:
    """On some night of the year, in some zone, a window is missing, comes twice or lasts a day."""
    since, until = at("2026-01-01T00:00", "UTC"), at("2027-01-01T00:00", "UTC")
    window = Weekly(EVERY_DAY, time(22, 30), time(5, 30), name)
    found = list(takewhile(lambda span: span.opens < until, window.spans(since)))
    assert len(found) in (365, 366, 367)
    assert all(earlier.closes <= later.opens for earlier, later in pairwise(found))
    assert all(5 * 3600 <= closes - opens <= 9 * 3600 for opens, closes in found)
    zone = zone_of(name)
    assert {wall(opens, zone).time() for opens, _ in found} == {time(22, 30)}
    assert {wall(closes, zone).time() for _, closes in found} == {time(5, 30)}


def test_only_on_its_days() -> None:
    """Tuesday's window opens on Wednesday, because it reaches into it."""
    window = Weekly(frozenset({1}), time(22), time(4), ZURICH)
    found = hours(window, at("2026-11-25T03:00"), 2)
    assert found == [("11-24 22:00", 6.0), ("12-01 22:00", 6.0)], "the one that is open is found, too"
    assert hours(window, at("2026-11-25T04:00"), 1) == [("12-01 22:00", 6.0)], "over at its very end"


def test_a_day_from_midnight_to_midnight() -> None:
    """24:00 is no time of the day, and the last hour is lost."""
    window = Weekly(frozenset({5, 6}), time(), time(), ZURICH)
    assert hours(window, at("2026-11-27T12:00"), 2) == [("11-28 00:00", 24.0), ("11-29 00:00", 24.0)]


def test_a_scheduled_window_that_opened_before_is_found() -> None:
    """What is open is said to be closed, because it opened yesterday."""
    window = Scheduled(Cron("0 22 * * fri", ZURICH), 48 * 3600.0)
    (span,) = islice(window.spans(at("2026-11-29T12:00")), 1)
    assert span == Span(at("2026-11-27T22:00"), at("2026-11-29T22:00"))


def blackout(text: str, zone: str = ZURICH) -> Blackout:
    """From dates as they are written."""
    ends = [tuple(int(part) for part in each.split("-")) for each in text.split("..")]
    days = [MonthDay(*each) if len(each) == 3 else MonthDay(None, *each) for each in ends]
    return Blackout(days[0], days[-1], "", zone)


def test_one_day_is_the_whole_day() -> None:
    """Something begins on the very day, an hour before midnight."""
    (span,) = blackout("2026-11-27").spans(0.0)
    assert span == Span(at("2026-11-27T00:00"), at("2026-11-28T00:00"))
    assert list(blackout("2026-11-27").spans(span.closes)) == []


def test_over_new_year() -> None:
    """The range of every year that begins in December ends before it begins."""
    found = list(islice(blackout("12-20..01-06").spans(at("2026-01-03T00:00")), 2))
    assert found[0] == Span(at("2025-12-20T00:00"), at("2026-01-07T00:00")), "the one that is on"
    assert found[1] == Span(at("2026-12-20T00:00"), at("2027-01-07T00:00"))


def test_every_year_within_one() -> None:
    """A range of every year is only in this one."""
    found = [
        wall(span.opens, zone_of(ZURICH)).year
        for span in islice(blackout("07-01..07-31").spans(at("2026-08-01T00:00")), 3)
    ]
    assert found == [2027, 2028, 2029]


def test_the_leap_day() -> None:
    """February 29th breaks three years out of four, or blacks out the wrong day in them."""
    found = islice(blackout("02-29", "UTC").spans(at("2026-01-01T00:00")), 2)
    assert [f"{datetime.fromtimestamp(span.opens, UTC):%Y-%m-%d}" for span in found] == ["2028-02-29", "2032-02-29"]
    (until,) = islice(blackout("02-20..02-29", "UTC").spans(at("2026-01-01T00:00")), 1)
    assert datetime.fromtimestamp(until.closes, UTC) == datetime(2026, 3, 1, tzinfo=UTC)


def test_a_midnight_that_comes_twice_ends_the_second_time() -> None:
    """In Havana the blackout is over an hour before the day is."""
    (span,) = islice(blackout("2026-10-31", "America/Havana").spans(0.0), 1)
    assert span.closes - span.opens == timedelta(hours=25).total_seconds()


def test_how_dates_are_told() -> None:
    """Nobody recognises in the message what he wrote into the file."""
    assert [str(blackout(text)) for text in ("2026-11-27", "12-20..01-06", "2026-11-26..2026-12-02")] == [
        "2026-11-27",
        "12-20..01-06",
        "2026-11-26..2026-12-02",
    ]

"""Schedules over whole years, in many zones."""

from __future__ import annotations

import calendar
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rollout.calendar.schedule import LAST, BadSchedule, Cron, NthWeekday, Schedule, occurrences
from rollout.calendar.zones import wall, zone_of
from tests.calendar.test_zones import EPOCHS, ZONES

YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
NEXT_YEAR = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


def in_2026(schedule: Schedule) -> list[float]:
    """All occurrences of a year."""
    return list(takewhile(lambda at: at < NEXT_YEAR, occurrences(schedule, YEAR - 1)))


def shown(schedule: Schedule, since: datetime, count: int) -> list[str]:
    """What the zone's clocks show at the next occurrences."""
    zone = zone_of(schedule.time_zone)
    found = islice(occurrences(schedule, since.timestamp()), count)
    return [datetime.fromtimestamp(at, zone).strftime("%m-%d %H:%M %Z") for at in found]


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("line", ["30 2 * * *", "0 0 * * *", "59 23 * * *", "15 1 * * *"])
def test_a_daily_task_runs_once_on_each_day_of_a_year(name: str, line: str) -> None:
    """In the night of the change a task is left out, or done twice."""
    zone, found = zone_of(name), in_2026(Cron(line, name))
    days = Counter(wall(at, zone).date() for at in found)
    first, last = min(days), max(days)
    whole = {first + timedelta(days=number) for number in range((last - first).days + 1)}
    assert set(days) == whole and set(days.values()) == {1} and len(found) in (364, 365, 366)
    assert found == sorted(set(found))


@pytest.mark.parametrize("name", ZONES)
def test_an_hourly_task_runs_every_hour_of_a_year(name: str) -> None:
    """For an hour in autumn nothing runs, and whoever waits for it is told that it is late."""
    found = in_2026(Cron("0 * * * *", name))
    gaps = {later - earlier for earlier, later in pairwise(found)}
    longest = 5400 if name == "Australia/Lord_Howe" else 3600
    assert max(gaps) <= longest and len(found) >= 365 * 24


def test_where_clocks_go_forward_it_runs_right_after_the_gap() -> None:
    """The task of a time that does not exist waits a whole day."""
    since = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert shown(Cron("30 2 * * *", "Europe/Zurich"), since, 2) == ["03-29 03:00 CEST", "03-30 02:30 CEST"]
    several = Cron("*/15 2 * * *", "Europe/Zurich")
    assert shown(several, since, 2) == ["03-29 03:00 CEST", "03-30 02:00 CEST"], "once for the whole gap"


def test_where_clocks_go_back_it_runs_the_first_time() -> None:
    """The task of a time that comes twice is done twice."""
    since = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert shown(Cron("30 2 * * *", "Europe/Zurich"), since, 2) == ["10-25 02:30 CEST", "10-26 02:30 CET"]
    between = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)  # 02:00 the second time
    assert shown(Cron("30 2 * * *", "Europe/Zurich"), between, 1) == ["10-26 02:30 CET"]
    assert shown(Cron("30 * * * *", "Europe/Zurich"), datetime(2026, 10, 25, tzinfo=UTC), 3) == [
        "10-25 02:30 CEST",
        "10-25 02:30 CET",
        "10-25 03:30 CET",
    ]


def test_a_whole_day_that_a_zone_left_out() -> None:
    """A daily task stops for ever, or comes twice, where a country changed its date."""
    found = shown(Cron("0 12 * * *", "Pacific/Apia"), datetime(2011, 12, 29, 12, tzinfo=UTC), 3)
    assert [each[:11] for each in found] == ["12-29 12:00", "12-31 00:00", "12-31 12:00"]


LINES = st.sampled_from(
    ["*/7 * * * *", "0 0 1 * *", "30 2 * * sun", "5 4 13 * fri", "0 22 * * 2#2", "0 3 L * *", "1 1 29 2 *"]
)


@settings(max_examples=150, deadline=None)
@given(LINES, st.sampled_from(ZONES), EPOCHS, st.integers(1, 200_000))
def test_what_comes_does_not_hang_on_when_it_is_asked(line: str, name: str, at: int, later_s: int) -> None:
    """A server that was restarted at another moment has another calendar."""
    schedule = Cron(line, name)
    found = list(islice(occurrences(schedule, at), 3))
    assert all(each > at for each in found) and found == sorted(set(found))
    again = next(occurrences(schedule, at + later_s))
    assert again == next(each for each in occurrences(schedule, at) if each > at + later_s)
    assert next(occurrences(schedule, found[0] - 1)) == found[0] and next(occurrences(schedule, found[0])) == found[1]


@pytest.mark.parametrize(
    "line",
    ["", "* * * *", "* * * * * *", "60 * * * *", "0 24 * * *", "@daily", "0 0 30 2 *", "a b c d e"],
)
def test_what_is_no_cron_line_is_refused(line: str) -> None:
    """A typing error means that nothing is ever patched, or at any minute."""
    with pytest.raises(BadSchedule):
        Cron(line)


def test_patch_tuesday_plus_three() -> None:
    """The Friday after the second Tuesday is taken for the second Friday."""
    schedule = NthWeekday(1, 2, plus_days=3, at=time(2), time_zone="Europe/Zurich")
    found = shown(schedule, datetime(2026, 1, 1, tzinfo=UTC), 6)
    assert [each[:5] for each in found] == ["01-16", "02-13", "03-13", "04-17", "05-15", "06-12"]
    assert shown(NthWeekday(1, 2, 3), datetime(2027, 1, 1, tzinfo=UTC), 1) == ["01-15 00:00 UTC"]


def test_days_may_lead_into_the_next_month() -> None:
    """What falls behind the end of its month is lost, or comes in the wrong one."""
    found = shown(NthWeekday(4, LAST, plus_days=5), datetime(2026, 1, 1, tzinfo=UTC), 3)
    assert [each[:5] for each in found] == ["02-04", "03-04", "04-01"]
    late = shown(NthWeekday(4, LAST, plus_days=31), datetime(2026, 1, 20, tzinfo=UTC), 2)
    assert [each[:5] for each in late] == ["01-26", "03-02"]


def test_a_fifth_weekday_is_not_in_every_month() -> None:
    """The fifth Friday is made up where there is none."""
    found = shown(NthWeekday(4, 5), datetime(2026, 1, 1, tzinfo=UTC), 4)
    assert [each[:5] for each in found] == ["01-30", "05-29", "07-31", "10-30"]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 6), st.sampled_from([1, 2, 3, 4, 5, LAST]), st.integers(0, 31), st.sampled_from(ZONES), EPOCHS)
def test_it_is_that_weekday_of_that_month(weekday: int, nth: int | str, plus: int, name: str, at: int) -> None:
    """A month begins on a weekday that nobody had thought of."""
    schedule = NthWeekday(weekday, nth, plus, time(12), name)
    assume(name != "Pacific/Apia" or at > 1_400_000_000)
    for found in islice(occurrences(schedule, at), 3):
        day = wall(found, zone_of(name)).date() - timedelta(days=plus)
        assert day.weekday() == weekday
        if nth == LAST:
            assert day.day + 7 > calendar.monthrange(day.year, day.month)[1]
        else:
            assert (day.day - 1) // 7 + 1 == nth


def test_a_rule_ends_where_the_calendar_does() -> None:
    """Looking far ahead breaks with an error that nobody understands."""
    late = datetime(9998, 1, 1, tzinfo=UTC).timestamp()
    assert date.max.year == 9999
    assert list(islice(occurrences(NthWeekday(0, 1), late), 3)) == []

"""Wall clocks and instants, where clocks are set back and forth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.calendar.zones import UnknownZone, first_instant, instants, last_instant, wall, zone_of

ZONES = (
    "UTC",
    "Europe/Zurich",
    "Europe/Dublin",  # winter time is the exception there
    "America/New_York",
    "America/St_Johns",  # half an hour beside the others
    "America/Havana",  # back at 01:00, so that midnight comes twice
    "Australia/Lord_Howe",  # half an hour forth and back
    "Asia/Beirut",  # forth at midnight
    "Africa/Cairo",
    "Africa/Casablanca",  # back for Ramadan
    "Pacific/Apia",  # left a whole day out
    "Asia/Kathmandu",
    "Antarctica/Troll",  # two hours at once
)
EPOCHS = st.integers(min_value=1_262_304_000, max_value=2_082_758_400)  # 2010 to 2035


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ZONES), EPOCHS)
def test_every_instant_is_found_again_by_what_the_clock_shows(name: str, at: int) -> None:
    """Something begins an hour early or late, in one night of the year."""
    zone = zone_of(name)
    assert float(at) in instants(wall(at, zone), zone)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ZONES), st.datetimes(datetime(2010, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001 - wall clock
def test_what_no_clock_shows_is_the_instant_after_the_gap(name: str, shown: datetime) -> None:
    """A nightly task is left out in spring, or is begun twice in autumn."""
    zone, shown = zone_of(name), shown.replace(microsecond=0, fold=0)
    found = instants(shown, zone)
    assert list(found) == sorted(found) and len(found) in (1, 2)
    if all(wall(at, zone) == shown for at in found):
        return
    (after,) = found
    assert wall(after, zone) > shown > wall(after - 1, zone), "the second before, clocks showed an earlier time"


def test_spring_and_autumn_in_zurich() -> None:
    """02:30 in the night of the change is taken for another hour."""
    zone = zone_of("Europe/Zurich")
    gap, twice = datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - wall clock
    assert instants(gap, zone) == (datetime(2026, 3, 29, 1, 0, tzinfo=UTC).timestamp(),)
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert instants(twice, zone) == (first.timestamp(), (first + timedelta(hours=1)).timestamp())
    assert (first_instant(twice, zone), last_instant(twice, zone)) == instants(twice, zone)


def test_a_day_that_was_left_out() -> None:
    """A date that a country never had breaks the calendar."""
    zone = zone_of("Pacific/Apia")
    noon = datetime(2011, 12, 30, 12)  # noqa: DTZ001 - wall clock
    assert wall(first_instant(noon, zone), zone) == datetime(2011, 12, 31)  # noqa: DTZ001 - wall clock


@pytest.mark.parametrize("name", ["Europe/Zürich", "", "../../etc/passwd", "/etc/passwd", "Europe", "x" * 300, "a\0b"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """A typing error makes a window of another zone, or reads a file that is none of ours."""
    with pytest.raises(UnknownZone):
        zone_of(name)

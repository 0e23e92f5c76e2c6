"""Windows, blackouts and schedules in a fleet file: what is wrong with one is told before anything hangs on it."""

from __future__ import annotations

from datetime import UTC, datetime, time
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rollout import resources
from rollout.calendar.schedule import Cron, NthWeekday, occurrences
from rollout.calendar.windows import Blackout, MonthDay, Scheduled, Weekly
from rollout.fleetfile.timing import DATES, BlackoutSettings, ScheduleSettings, WindowSettings
from rollout.settings import load
from tests.settings.conftest import Read, Refused, service

CRON = "five fields of cron, such as '0 22 * * tue' (minute, hour, day, month, weekday), that come some day"
ZONE = "a time zone's name, such as Europe/Zurich or UTC"
CLOCK = "a time of the day from 00:00 to 23:59, or 24:00"


def test_defaults(fleet: Read) -> None:
    """A service that says nothing of time may not be patched, or turns to another zone on another machine."""
    read = fleet(service())
    shop = read.services["shop"]
    assert (shop.windows, shop.blackouts, shop.time_zone, shop.at_end) == ((), (), None, "turn_back")
    assert (read.policy.time_zone, read.policy.blackouts) == ("UTC", ())
    assert shop.hours().is_always and read.policy.hours().is_always


def test_all_of_it_is_read(fleet: Read) -> None:
    """A window that was written down holds for nobody, or in another zone."""
    text = service(
        "windows:",
        '  - {opens: {weekday: tuesday, nth: 2, plus_days: 3, at: "22:00"}, lasts: 6h}',
        "  - {opens: 0 22 * * sat, lasts: 4h, time_zone: UTC}",
        "  - {days: [monday], from: 22:00, to: 04:00}",
        "blackouts: [2026-11-27, {dates: 12-20..01-06, why: holidays, time_zone: Asia/Tokyo}]",
        "time_zone: Europe/Zurich",
        "at_end: finish",
    )
    read = fleet(text + "policy: {time_zone: America/New_York, blackouts: ['02-29']}\n")
    shop = read.services["shop"]
    hours = shop.hours(read.policy.time_zone)
    assert hours.windows == (
        (
            Scheduled(NthWeekday(1, 2, 3, time(22), "Europe/Zurich"), 6 * 3600.0),
            Scheduled(Cron("0 22 * * sat", "UTC"), 4 * 3600.0),
            Weekly(frozenset({0}), time(22), time(4), "Europe/Zurich"),
        ),
    )
    day = MonthDay(2026, 11, 27)
    assert hours.blackouts == (
        Blackout(day, day, "", "Europe/Zurich"),
        Blackout(MonthDay(None, 12, 20), MonthDay(None, 1, 6), "holidays", "Asia/Tokyo"),
    )
    assert shop.at_end == "finish"
    assert read.policy.hours().blackouts[0].time_zone == "America/New_York"


def test_the_policys_zone_holds_where_no_other_is_named(fleet: Read) -> None:
    """The policy names the zone once, and windows are in UTC all the same."""
    read = fleet(service("windows: [{from: 22:00, to: 24:00}]") + "policy: {time_zone: Asia/Tokyo}\n")
    (window,) = read.services["shop"].hours(read.policy.time_zone).windows[0]
    assert window == Weekly(frozenset(range(7)), time(22), time(), "Asia/Tokyo")


def test_windows_may_stand_in_defaults(fleet: Read) -> None:
    """What holds for all services has to be written under each."""
    text = service(top="version: 1\ndefaults: {windows: [{from: '22:00', to: '04:00'}], time_zone: Europe/Zurich}")
    assert len(fleet(text).services["shop"].windows) == 1


W = "windows: [{%s}]"
CASES = {
    # what is written: (key, found, allowed, problem)
    W % "opens: 0 22 * * fun, lasts: 1h": (
        "windows[0].opens",
        "'0 22 * * fun'",
        CRON,
        "not a cron line: Bad day-of-week",
    ),
    W % "opens: 0 0 30 2 *, lasts: 1h": ("windows[0].opens", "'0 0 30 2 *'", CRON, "not a cron line: Bad day-of-month"),
    W % "opens: 22:00, lasts: 1h": (
        *("windows[0].opens", "'22:00'", CRON),
        "a cron line has five fields: minute, hour, day of the month, month, day of the week",
    ),
    W % "opens: 0 0 * * *, lasts: 0s": ("windows[0].lasts", "'0s'", "more than 0s", ""),
    W % "opens: {cron: 0 0 * * *, at: 22:00}, lasts: 1h": (
        *("windows[0].opens.at", "'22:00'", "only beside weekday", "a cron line says all of it"),
    ),
    W % "opens: {nth: 2}, lasts: 1h": (
        *("windows[0].opens", "a mapping", "either cron, or weekday with nth, plus_days and at", "nothing says when"),
    ),
    W % "opens: {weekday: tuesday, nth: 6}, lasts: 1h": ("windows[0].opens.nth", "6", "5 or less or 'last'", ""),
    W % "opens: {weekday: tuesday, plus_days: -1}, lasts: 1h": ("windows[0].opens.plus_days", "-1", "0 or more", ""),
    W % "opens: {weekday: tuesday, at: 7pm}, lasts: 1h": ("windows[0].opens.at", "'7pm'", CLOCK, ""),
    W % "opens: 0 0 * * *": (
        *("windows[0]", "a mapping", "either opens with lasts, or from with to"),
        "it does not say when it opens and closes",
    ),
    W % "opens: 0 0 * * *, lasts: 1h, days: [monday]": (
        *("windows[0].days", "a list", "only beside from and to", "opens says the days"),
    ),
    W % "from: 22:00, to: 4:00": ("windows[0].to", "'4:00'", CLOCK, ""),
    W % "from: 24:00, to: 04:00": ("windows[0].from", "'24:00'", "a window begins at 00:00 to 23:59", ""),
    W % "from: 22:00, to: 04:00, days: []": (
        *(
            "windows[0].days",
            "an empty list",
            "at least one weekday; without the key: every day",
            "it would never open",
        ),
    ),
    "time_zone: Europe/Zuerich": (
        *("time_zone", "'Europe/Zuerich'", ZONE, "unknown to this machine (did you mean Europe/Zurich?)"),
    ),
    "blackouts: [2026-02-30]": ("blackouts[0]", "'2026-02-30'", DATES, "not the days of a calendar"),
    "blackouts: [2026-12-20..01-06]": (
        *("blackouts[0]", "'2026-12-20..01-06'"),
        *(f"both with a year, or neither: {DATES}", "one of the dates has a year"),
    ),
    "blackouts: [{dates: 2026-12-20..2026-01-06}]": (
        *("blackouts[0].dates", "'2026-12-20..2026-01-06'", DATES, "it ends before it begins"),
    ),
    "blackouts: [{why: holidays}]": ("blackouts[0].dates", "", DATES, "missing"),
    "at_end: stop": ("at_end", "'stop'", "'turn_back' or 'finish'", ""),
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_what_is_wrong_is_told_with_its_line(refused: Refused, text: str) -> None:
    """Nobody finds out why nothing is patched, or why it is patched at noon."""
    (error,) = refused(service(text))
    assert (error.line, error.key.removeprefix("services.shop."), error.found, error.allowed, error.problem) == (
        6,
        *CASES[text],
    )


DAYS = st.sampled_from(["monday", "tuesday", "sunday"])
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=12)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["cron", "weekday", "nth", "plus_days", "at", "opens", "lasts", "days", "from", "to", "dates", "why", "time_zone"]
)
LIKELY = st.one_of(
    ANYTHING, DAYS, st.sampled_from(["22:00", "0 22 * * *", "6h", "12-20..01-06", "UTC", "last", ["monday"]])
)


@given(
    st.sampled_from([ScheduleSettings, WindowSettings, BlackoutSettings]),
    st.dictionaries(KEYS, LIKELY, max_size=4) | LIKELY,
)
def test_anything_is_read_or_refused(kind: Any, written: Any) -> None:
    """A file that nobody thought of ends in a traceback, or in a window that breaks when it is asked."""
    try:
        read = kind.model_validate(written, strict=False)
    except ValidationError:
        return
    now = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    if isinstance(read, ScheduleSettings):
        assert all(at > now for at in islice(occurrences(read.schedule(), now), 2))
    elif isinstance(read, WindowSettings):
        assert all(span.opens < span.closes for span in islice(read.window().spans(now), 2))
    else:
        assert all(span.opens < span.closes for span in islice(read.blackout().spans(now), 2))


def test_the_example_says_what_it_means() -> None:
    """The example's comment promises three days after Patch Tuesday, and it opens on another night."""
    read = load(resources.path("fleet.example.yaml"))
    hours = read.services["shop"].hours(read.policy.time_zone)
    first = hours.windows[0][0]
    (span,) = islice(first.spans(datetime(2026, 1, 1, tzinfo=UTC).timestamp()), 1)
    assert datetime.fromtimestamp(span.opens, UTC) == datetime(2026, 1, 16, 21, tzinfo=UTC)
    assert len(read.policy.blackouts) == 2

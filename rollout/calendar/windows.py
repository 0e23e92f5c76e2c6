"""Spans of time in which work may be done (windows) and may not be done (blackouts).

A window that is given by its length lasts so long by elapsed time, whatever clocks are set to meanwhile. One that is
given by hours of the day ends when the wall clock shows its end: it is an hour shorter or longer where clocks change.
Where a clock shows the end twice, the first one counts; a window that lies wholly within a gap does not open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import count
from typing import NamedTuple

from rollout.calendar.schedule import Schedule, occurrences
from rollout.calendar.zones import DAY, first_instant, last_instant, midnight, wall, zone_of


class Span(NamedTuple):
    """From `opens` up to, and without, `closes`; seconds since 1970."""

    opens: float
    closes: float


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Opens by a schedule, and lasts `lasts_s` seconds of elapsed time."""

    opens: Schedule
    lasts_s: float

    def spans(self, since: float) -> Iterator[Span]:
        """Those that end after `since`, by when they open."""
        for at in occurrences(self.opens, since - self.lasts_s):
            yield Span(at, at + self.lasts_s)


@dataclass(frozen=True, slots=True)
class Weekly:
    """On each of `days` (0 is Monday), from a time of the day to another; the next day's where that is not later."""

    days: frozenset[int]
    begins: time
    ends: time
    time_zone: str = "UTC"

    def spans(self, since: float) -> Iterator[Span]:
        """Those that end after `since`, by when they open."""
        zone = zone_of(self.time_zone)
        day = wall(since, zone).date() - 3 * DAY
        while day.year < date.max.year - 1:
            if day.weekday() in self.days:
                end_day = day if self.ends > self.begins else day + DAY
                opens = first_instant(datetime.combine(day, self.begins), zone)
                closes = first_instant(datetime.combine(end_day, self.ends), zone)
                if opens < closes and closes > since:
                    yield Span(opens, closes)
            day += DAY


Window = Scheduled | Weekly


class MonthDay(NamedTuple):
    """A date; of every year where `year` is None."""

    year: int | None
    month: int
    day: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}-{self.day:02}" if self.year else f"{self.month:02}-{self.day:02}"


@dataclass(frozen=True, slots=True)
class Blackout:
    """Whole days, the first and the last included, by the clocks of a zone; every year where the dates have none."""

    first: MonthDay
    last: MonthDay
    why: str = ""
    time_zone: str = "UTC"

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def spans(self, since: float) -> Iterator[Span]:
        """Those that end after `since`, in order: one, or one a year."""
        zone = zone_of(self.time_zone)
        for begins, ends in self._days(wall(since, zone).year):
            span = Span(first_instant(midnight(begins), zone), last_instant(midnight(ends + DAY), zone))
            if begins <= ends and span.closes > since:
                yield span

    def _days(self, year: int) -> Iterator[tuple[date, date]]:
        if self.first.year is not None and self.last.year is not None:
            yield date(*_whole(self.first)), date(*_whole(self.last))
            return
        over_new_year = (self.last.month, self.last.day) < (self.first.month, self.first.day)
        for each in count(year - 1):
            if each >= date.max.year - 1:
                return
            yield _in(each, self.first, first=True), _in(each + over_new_year, self.last, first=False)


def _whole(day: MonthDay) -> tuple[int, int, int]:
    return day.year or 1, day.month, day.day


def _in(year: int, day: MonthDay, *, first: bool) -> date:
    """The date in a year; the 29th of February of a year without one begins on March 1st and ends on the 28th."""
    try:
        return date(year, day.month, day.day)
    except ValueError:
        return date(year, 3, 1) - timedelta(days=0 if first else 1)

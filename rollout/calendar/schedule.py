"""When something is to happen, again and again: by cron, or by the nth weekday of a month and days after it.

Daylight saving: a time that does not exist runs once, right after the gap; one that exists twice runs once, the first
time. Only a cron line for every hour goes on by elapsed time: it runs in the repeated hour, too.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby

from cronsim import CronSim, CronSimError

from rollout.calendar.zones import DAY, instants, wall, zone_of

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LAST = "last"


class BadSchedule(ValueError):
    """It cannot be read, or never comes; the message says why."""


@dataclass(frozen=True, slots=True)
class Cron:
    """The five fields of cron: minute, hour, day of the month, month, day of the week (`2#2`, `5L` and `L` work)."""

    line: str
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """BadSchedule for a line that cannot be read."""
        if len(self.line.split()) != 5:
            raise BadSchedule("a cron line has five fields: minute, hour, day of the month, month, day of the week")
        try:
            CronSim(self.line, datetime(2024, 1, 1))  # noqa: DTZ001 - wall clock
        except CronSimError as error:
            raise BadSchedule(f"not a cron line: {error}") from error

    @property
    def is_hourly(self) -> bool:
        return bool(CronSim(self.line, datetime(2024, 1, 1)).hours == set(range(24)))  # noqa: DTZ001 - wall clock

    def shown(self, since: datetime) -> Iterator[datetime]:
        """What the wall clock shows each time, from `since` on; ends where nothing comes for 50 years."""
        return iter(CronSim(self.line, since - timedelta(minutes=1)))


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """`plus_days` after the nth weekday of each month: the Friday after Patch Tuesday is (1, 2, plus_days=3).

    `weekday` counts from Monday, 0; `nth` is 1 to 5 (months without a fifth are left out) or "last".
    """

    weekday: int
    nth: int | str
    plus_days: int = 0
    at: time = time(0)
    time_zone: str = "UTC"

    @property
    def is_hourly(self) -> bool:
        return False

    def shown(self, since: datetime) -> Iterator[datetime]:
        """What the wall clock shows each time, from `since` on."""
        month = (since - timedelta(days=self.plus_days + 31)).replace(day=1).date()
        while month.year < date.max.year - 1:
            if day := self._day(month):
                found = datetime.combine(day + timedelta(days=self.plus_days), self.at)
                if found >= since:
                    yield found
            month = (month.replace(day=28) + timedelta(days=4)).replace(day=1)

    def _day(self, month: date) -> date | None:
        """The nth weekday itself; None in a month that has no fifth."""
        last = calendar.monthrange(month.year, month.month)[1]
        first = 1 + (self.weekday - month.weekday()) % 7
        days = range(first, last + 1, 7)
        if self.nth == LAST:
            return month.replace(day=days[-1])
        return month.replace(day=days[int(self.nth) - 1]) if int(self.nth) <= len(days) else None


Schedule = Cron | NthWeekday


def occurrences(schedule: Schedule, after: float) -> Iterator[float]:
    """The instants of a schedule later than `after`, each once, in order; seconds since 1970. UnknownZone."""
    zone = zone_of(schedule.time_zone)
    # From a day earlier: what the wall clock showed there may come again, or come late.
    since = datetime.combine(wall(after, zone).date() - DAY, time())
    every = None if schedule.is_hourly else 1
    latest = after
    for _, shown in groupby(schedule.shown(since), key=datetime.date):
        for at in sorted({at for each in shown for at in instants(each, zone)[:every]}):
            if at > latest:  # several times of one gap are one instant
                latest = at
                yield at

"""When work may be done and when it begins: schedules, windows, blackouts; for services, campaigns and the policy.

A time zone is never guessed from the machine: it is the window's own, else its service's or campaign's, else the
policy's, else UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from rollout.calendar.hours import NEVER_AFTER_S, Hours
from rollout.calendar.schedule import WEEKDAYS, BadSchedule, Cron, NthWeekday, Schedule, occurrences
from rollout.calendar.windows import Blackout, MonthDay, Scheduled, Weekly, Window
from rollout.calendar.zones import UnknownZone, zone_of
from rollout.fleetfile.explain import refused
from rollout.fleetfile.problems import nearest
from rollout.fleetfile.values import PositiveSpan, Settings

CLOCK_PATTERN = "^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$"
DATES_PATTERN = r"^([0-9]{4}-)?[0-9]{2}-[0-9]{2}(\.\.([0-9]{4}-)?[0-9]{2}-[0-9]{2})?$"
DATES = "2026-11-27, 2026-11-26..2026-12-02, or 12-20..01-06 of every year"
CLOCK = "a time of the day from 00:00 to 23:59, or 24:00"
_CRON = "five fields of cron, such as '0 22 * * tue' (minute, hour, day, month, weekday), that come some day"
MOST = 200
"""Windows or blackouts of one thing: years of each are looked at together."""
_REFERENCE_AT = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
"""From here it is judged whether something ever comes: what a file says does not hang on the day it is read."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
EVERY_DAY: Any = get_args(Weekday)


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except UnknownZone:
        from zoneinfo import available_timezones

        near = nearest(name, available_timezones())
        hint = f" (did you mean {near}?)" if near else ""
        raise refused(f"unknown to this machine{hint}", "a time zone's name, such as Europe/Zurich or UTC") from None
    return name


def _clock(text: str) -> str:
    if not re.fullmatch(CLOCK_PATTERN, text):
        raise refused(allowed=CLOCK)
    return text


def _cron(line: str) -> str:
    try:
        comes = next(occurrences(Cron(line), _REFERENCE_AT), None)
    except BadSchedule as error:
        raise refused(str(error), _CRON) from None
    if comes is None or comes > _REFERENCE_AT + 2 * NEVER_AFTER_S:
        raise refused("it never comes", _CRON)
    return line


def _dates(text: str) -> str:
    first, _, last = text.partition("..")
    days = [_day(each) for each in (first, last or first)]
    if not re.fullmatch(DATES_PATTERN, text) or None in days:
        raise refused("not the days of a calendar", DATES)
    begins, ends = days
    if begins and ends and (begins.year is None) != (ends.year is None):
        raise refused("one of the dates has a year", f"both with a year, or neither: {DATES}")
    if begins and ends and begins.year and ends < begins:
        raise refused("it ends before it begins", DATES)
    return text


def _day(text: str) -> MonthDay | None:
    numbers = [int(part) for part in text.split("-") if part.isascii() and part.isdigit()]
    year, rest = (numbers[0], numbers[1:]) if len(numbers) == 3 else (None, numbers)
    try:
        date(year or 2024, rest[0], rest[1])  # a leap year
    except (ValueError, IndexError):
        return None
    return MonthDay(year, rest[0], rest[1])


Zone = Annotated[str, AfterValidator(_zone), WithJsonSchema({"type": "string", "minLength": 1})]
Clock = Annotated[str, AfterValidator(_clock), WithJsonSchema({"type": "string", "pattern": CLOCK_PATTERN})]
CronLine = Annotated[str, AfterValidator(_cron), WithJsonSchema({"type": "string", "minLength": 9})]
Dates = Annotated[str, AfterValidator(_dates), WithJsonSchema({"type": "string", "pattern": DATES_PATTERN})]
_OWN_ZONE = "Of these times (default: the one around it)."


def time_of(clock: str) -> time:
    """24:00 is the next day's 00:00, as an end has it."""
    return time() if clock == "24:00" else time.fromisoformat(clock)


def _or_text(schema: dict[str, Any]) -> None:
    """A cron line alone will do."""
    whole = dict(schema)
    schema.clear()
    schema["description"] = whole.pop("description", "")
    text = {"type": "string", "minLength": 9, "description": "A cron line, such as 0 22 * * tue."}
    of_month = {"required": ["weekday"], "properties": {"cron": {"type": "null"}, "weekday": {"type": "string"}}}
    of_cron = {"required": ["cron"], "properties": {"cron": {"type": "string"}, "weekday": {"type": "null"}}}
    schema["anyOf"] = [text, {**whole, "oneOf": [of_cron, of_month]}]


class ScheduleSettings(Settings):
    """When something begins: a cron line, or the nth weekday of each month and days after it."""

    model_config = ConfigDict(json_schema_extra=_or_text)

    cron: CronLine | None = Field(default=None, description="Minute, hour, day, month, weekday: 0 22 * * tue.")
    weekday: Weekday | None = Field(default=None, description="The weekday that is counted in each month.")
    nth: Annotated[int, Field(ge=1, le=5)] | Literal["last"] = Field(
        default=1, description="1 to 5, or last; months without a fifth are left out."
    )
    plus_days: int = Field(default=0, ge=0, le=31, description="So many days after that weekday.")
    at: Clock = Field(default="00:00", description="At this time of the day.")
    time_zone: Zone | None = Field(default=None, description=_OWN_ZONE)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, written: Any) -> Any:
        if isinstance(written, str):
            _cron(written)
            return {"cron": written}
        return written

    @model_validator(mode="after")
    def _one_way(self) -> ScheduleSettings:
        if (self.cron is None) == (self.weekday is None):
            problem = "nothing says when" if self.cron is None else "two ways to say when"
            raise refused(problem, "either cron, or weekday with nth, plus_days and at")
        counted = self.model_fields_set & {"nth", "plus_days", "at"}
        if self.cron is not None and counted:
            raise refused("a cron line says all of it", "only beside weekday", (sorted(counted)[0],))
        return self

    def schedule(self, time_zone: str = "UTC") -> Schedule:
        """For the calendar; `time_zone` where it has none of its own."""
        zone = self.time_zone or time_zone
        if self.cron is not None or self.weekday is None:
            return Cron(self.cron or "", zone)
        return NthWeekday(WEEKDAYS.index(self.weekday), self.nth, self.plus_days, time_of(self.at), zone)


_WINDOW_WAYS: dict[str, Any] = {
    "oneOf": [
        {
            "required": ["opens", "lasts"],
            "properties": {
                "opens": {"type": ["string", "object"]},
                "lasts": {"type": "string"},
                "from": {"type": "null"},
                "to": {"type": "null"},
            },
        },
        {
            "required": ["from", "to"],
            "properties": {
                "from": {"type": "string"},
                "to": {"type": "string"},
                "opens": {"type": "null"},
                "lasts": {"type": "null"},
            },
        },
    ]
}


def _some_days(days: tuple[str, ...]) -> tuple[str, ...]:
    if not days:
        raise refused("it would never open", "at least one weekday; without the key: every day")
    return days


class WindowSettings(Settings):
    """A span in which work may be done: `opens` by a schedule and `lasts`, or `days` with `from` and `to`.

    `lasts` is elapsed time; `to` is what the clock shows, the next day's where it is not later than `from`.
    """

    model_config = ConfigDict(json_schema_extra=_WINDOW_WAYS)

    opens: ScheduleSettings | None = Field(default=None, description="When it opens; with lasts.")
    lasts_s: PositiveSpan | None = Field(default=None, alias="lasts", description="So long, by elapsed time.")
    days: Annotated[tuple[Weekday, ...], AfterValidator(_some_days)] = Field(
        default=EVERY_DAY,
        description="The weekdays on which it opens (default: all).",
        json_schema_extra={"minItems": 1},
    )
    begins: Clock | None = Field(default=None, alias="from", description="Opens at this time of the day; with to.")
    ends: Clock | None = Field(default=None, alias="to", description="Closes at this time of the day, or of the next.")
    time_zone: Zone | None = Field(default=None, description=_OWN_ZONE)

    @model_validator(mode="after")
    def _one_way(self) -> WindowSettings:
        scheduled, weekly = (self.opens, self.lasts_s), (self.begins, self.ends)
        ways = [way for way in (scheduled, weekly) if any(part is not None for part in way)]
        if len(ways) != 1 or None in ways[0]:
            raise refused("it does not say when it opens and closes", "either opens with lasts, or from with to")
        if self.opens is not None and "days" in self.model_fields_set:
            raise refused("opens says the days", "only beside from and to", ("days",))
        if self.begins == "24:00":
            raise refused(allowed="a window begins at 00:00 to 23:59", at=("from",))
        return self

    def window(self, time_zone: str = "UTC") -> Window:
        """For the calendar; `time_zone` where it has none of its own."""
        zone = self.time_zone or time_zone
        if self.opens is not None:
            return Scheduled(self.opens.schedule(zone), self.lasts_s or 0.0)
        days = frozenset(WEEKDAYS.index(day) for day in self.days)
        return Weekly(days, time_of(self.begins or "00:00"), time_of(self.ends or "24:00"), zone)


def _dates_or_more(schema: dict[str, Any]) -> None:
    """The dates alone will do."""
    whole = dict(schema)
    schema.clear()
    schema["description"] = whole.pop("description", "")
    text = {"type": "string", "pattern": DATES_PATTERN, "description": f"Such as {DATES}."}
    schema["anyOf"] = [text, whole]


class BlackoutSettings(Settings):
    """Days, from the first midnight to the last, on which nothing begins: a date, a range, or a range of every year."""

    model_config = ConfigDict(json_schema_extra=_dates_or_more)

    dates: Dates = Field(description=DATES, json_schema_extra={"description": f"Such as {DATES}."})
    why: str = Field(default="", description="Told to whoever is kept from working.")
    time_zone: Zone | None = Field(default=None, description=_OWN_ZONE)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, written: Any) -> Any:
        if isinstance(written, str):
            _dates(written)
            return {"dates": written}
        return written

    def blackout(self, time_zone: str = "UTC") -> Blackout:
        """For the calendar; `time_zone` where it has none of its own."""
        first, _, last = self.dates.partition("..")
        begins, ends = _day(first), _day(last or first)
        assert begins and ends  # noqa: S101 - the field's validator read them
        return Blackout(begins, ends, self.why, self.time_zone or time_zone)


def hours_of(
    windows: tuple[WindowSettings, ...], blackouts: tuple[BlackoutSettings, ...], time_zone: str = "UTC"
) -> Hours:
    """For the calendar; `time_zone` where they have none of their own."""
    demanded = tuple(window.window(time_zone) for window in windows)
    return Hours((demanded,) if demanded else (), tuple(each.blackout(time_zone) for each in blackouts))


def _not_too_many(texts: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(texts) > MOST:
        raise refused("too many of them", f"at most {MOST}; one may be a schedule, or a range of days")
    return texts


Windows = Annotated[tuple[WindowSettings, ...], AfterValidator(_not_too_many)]
Blackouts = Annotated[tuple[BlackoutSettings, ...], AfterValidator(_not_too_many)]
MANY: Any = {"maxItems": MOST}


class Timing(Settings):
    """When work may be done on something."""

    windows: Windows = Field(
        default=(),
        description="Work begins only in one of these, and only if it can be undone before its end.",
        json_schema_extra=MANY,
    )
    blackouts: Blackouts = Field(
        default=(),
        description="Days on which nothing is begun, besides those of the policy.",
        json_schema_extra=MANY,
    )
    time_zone: Zone | None = Field(default=None, description="Of windows and blackouts (default: the policy's).")
    at_end: Literal["turn_back", "finish"] = Field(
        default="turn_back",
        description="What is not promoted when its window closes turns back by then, or finishes all the same.",
    )

    def hours(self, time_zone: str = "UTC") -> Hours:
        """For the calendar; `time_zone` is the policy's."""
        return hours_of(self.windows, self.blackouts, self.time_zone or time_zone)

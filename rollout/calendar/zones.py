"""Wall clocks and instants: what a clock on the wall of a zone shows, and when that is.

A time that a zone leaves out (clocks go forward) is the instant right after the gap; one that it has twice (clocks go
back) is the first of the two, or the last where that is asked for. Instants are seconds since 1970.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = timedelta(days=1)


class UnknownZone(ValueError):
    """No such time zone on this machine."""


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name in the machine's time zone database; UnknownZone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(f"this machine knows no time zone {name!r}") from error


def wall(at: float, zone: ZoneInfo) -> datetime:
    """What a clock of the zone shows at an instant, without its zone."""
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None)


def instants(shown: datetime, zone: ZoneInfo) -> tuple[float, ...]:
    """When a clock of the zone shows this: two instants where it does so twice, right after the gap where it never
    does."""
    first, second = (shown.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first == second:
        return (first,)
    if first < second:
        return (first, second)
    return (_end_of_gap(second, first, zone),)


def first_instant(shown: datetime, zone: ZoneInfo) -> float:
    return instants(shown, zone)[0]


def last_instant(shown: datetime, zone: ZoneInfo) -> float:
    return instants(shown, zone)[-1]


def midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time())


def _end_of_gap(before: float, after: float, zone: ZoneInfo) -> float:
    """The instant, to the second, at which the zone's offset changes between these two."""
    early, late = int(before), int(after)
    offset = datetime.fromtimestamp(late, UTC).astimezone(zone).utcoffset()
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return float(late)

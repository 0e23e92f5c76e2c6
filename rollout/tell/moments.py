"""Moments and lengths of time, as reports and people have them."""

from __future__ import annotations

from datetime import UTC, datetime

from rollout.durations import BadDuration, parse_duration

ALLOWED = "a span ago (2h, 7d), or ISO 8601 (2026-01-31, 2026-01-31T02:30, 2026-01-31T02:30:00+01:00)"
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


class BadMoment(ValueError):
    """Not a moment in the past; the message says what is allowed."""


def parse_moment(text: str, now: float) -> float:
    """Seconds since 1970; without a zone it is local time. Raises BadMoment."""
    try:
        return now - parse_duration(text)
    except BadDuration:
        pass
    try:
        found = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise BadMoment(f"{text!r} is no moment; allowed: {ALLOWED}") from error
    if found > now:
        raise BadMoment(f"{text} lies in the future; allowed: {ALLOWED}")
    return found


def utc(at: float | None) -> str:
    """ISO 8601 to the millisecond, in UTC; a dash for none."""
    if at is None:
        return "–"
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{at} s after 1970"  # no clock shows it: a journal that was tampered with is still reported


def local(at: float | None, *, zone: bool = True) -> str:
    """To the second, in the zone of this machine."""
    if at is None:
        return "–"
    try:
        return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S" + (" %Z" if zone else ""))
    except (ValueError, OverflowError, OSError):
        return utc(at)


def lasted(seconds: float | None) -> str:
    """A length of time in its two largest units; below ten seconds exactly."""
    if seconds is None:
        return "–"
    if seconds < 0:
        return f"-{lasted(-seconds)}"
    if seconds < 1:
        return f"{round(seconds * 1000, 1):g} ms" if seconds else "0 s"
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    left, parts = round(seconds), list[str]()
    for size, unit in _UNITS:
        number, left = divmod(left, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])

"""Lengths of time as people write them: 500ms, 60s, 5m, 1h30m, 24h, 7d. A unit is never guessed."""

from __future__ import annotations

import re

UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
LONGEST_S = 366 * 86_400.0
ALLOWED = "a number with a unit, such as 500ms, 60s, 5m, 1h30m, 24h, 7d"
_SHAPE = re.compile("".join(rf"(?:([0-9]{{1,11}}){unit})?" for unit in UNITS_MS))


class BadDuration(ValueError):
    """Not a length of time; the message says what is allowed."""


def parse_duration(text: object, longest_s: float = LONGEST_S) -> float:
    """Seconds; raises BadDuration. Units go from large to small, each at most once; fractions have a smaller unit."""
    matched = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    if not matched or not text:
        raise BadDuration(ALLOWED)
    parts = zip(matched.groups(), UNITS_MS.values(), strict=True)
    seconds = sum(int(number) * unit for number, unit in parts if number) / 1000
    if seconds > longest_s:
        raise BadDuration(f"at most {format_duration(longest_s)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as this length, to the millisecond."""
    left, text = round(seconds * 1000), ""
    for unit, size in UNITS_MS.items():
        number, left = divmod(left, size)
        text += f"{number}{unit}" if number else ""
    return text or "0s"

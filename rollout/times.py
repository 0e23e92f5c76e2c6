"""Points in time as people write them."""

from __future__ import annotations

from datetime import datetime

from rollout.durations import BadDuration, parse_duration


class BadTime(ValueError):
    """The message says what is allowed."""


def moment(text: str, now: float) -> float:
    """Seconds since 1970: `2h` is two hours from now; ISO 8601 without a zone is this machine's time. BadTime."""
    try:
        return now + parse_duration(text)
    except BadDuration:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise BadTime(f"{text!r} is not a time: say a span such as 90m, 2h or 1d, or 2026-11-30T06:00") from None

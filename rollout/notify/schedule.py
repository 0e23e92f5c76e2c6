"""When a delivery is tried again, and when it is given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass

DELAYS_S = (10.0, 60.0, 300.0, 900.0)
HOURLY_S = 3600.0
DAY_S = 86_400.0
OWN_TROUBLE_S = 60.0
"""How soon again where the trouble is this process's own: another one, with the secret at hand, may do better."""
REFUSALS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: no problem, or which, in words that hold no secret.

    `most_tries` are all that make sense after such an answer (None: as many as a day has room for); `wait_s` takes
    the place of the usual delay.
    """

    problem: str = ""
    most_tries: int | None = None
    wait_s: float | None = None


def next_try(outcome: Outcome, tries: int, now: float, news_at: float) -> float | None:
    """When to try again after `tries` failures; None: give up, which is a day after the news at the latest."""
    if outcome.most_tries is not None and tries >= outcome.most_tries:
        return None
    wait_s = outcome.wait_s
    if wait_s is None:
        wait_s = DELAYS_S[tries - 1] if tries <= len(DELAYS_S) else HOURLY_S
    due_at = now + wait_s
    return due_at if due_at <= news_at + DAY_S else None

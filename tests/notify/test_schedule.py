from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rollout.notify.schedule import DAY_S, HOURLY_S, Outcome, next_try

FAILED = Outcome("it answered 500")


def test_the_first_tries_come_soon_and_the_later_ones_hourly() -> None:
    """A receiver that restarts is told an hour late, or one that is down is called every ten seconds."""
    waits = [(next_try(FAILED, tries, 0.0, 0.0) or 0.0) for tries in range(1, 7)]
    assert waits == [10.0, 60.0, 300.0, 900.0, 3600.0, 3600.0]


def test_gone_is_believed_at_once_and_a_refusal_at_the_fifth_time() -> None:
    """A receiver that was taken down is called for a day, or one that is misconfigured for a minute only once."""
    assert next_try(Outcome("410", most_tries=0), 1, 0.0, 0.0) is None
    refused = Outcome("403", most_tries=5)
    assert [next_try(refused, tries, 0.0, 0.0) is None for tries in range(1, 7)] == [False] * 4 + [True] * 2


@given(
    st.floats(0, 4e9),
    st.lists(st.floats(0, 20), min_size=40, max_size=60),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(1, 7200),
)
def test_every_failing_delivery_ends_within_a_day_and_waits_in_between(
    news_at: float, seconds: list[float], most: int | None, wait_s: float | None
) -> None:
    """A dead receiver is called for ever, at every tick, or given up before it had its chance."""
    now, tries, outcome = news_at, 0, Outcome("no", most_tries=most, wait_s=wait_s)
    for taken in seconds:
        now, tries = now + taken, tries + 1
        due_at = next_try(outcome, tries, now, news_at)
        if due_at is None:
            over = now + max(wait_s or 0.0, HOURLY_S) > news_at + DAY_S
            assert over or (most is not None and tries >= most)
            return
        assert now < due_at <= news_at + DAY_S
        assert most is None or tries < most
        assert due_at - now <= (wait_s or HOURLY_S) + 1e-3
        now = due_at
    assert wait_s is not None and wait_s < HOURLY_S  # the usual delays need fewer tries than these for a day

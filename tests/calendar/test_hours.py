"""When work may be done: windows, blackouts, and several demands together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from itertools import count, pairwise
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.calendar.hours import LOOK_AHEAD_S, Hours
from rollout.calendar.schedule import Cron
from rollout.calendar.windows import Blackout, MonthDay, Scheduled, Span, Weekly, Window
from tests.calendar.test_windows import EVERY_DAY, NIGHT, ZURICH, at, blackout
from tests.calendar.test_zones import EPOCHS, ZONES

DAY_S = 86_400.0


def test_without_windows_it_is_always_open() -> None:
    """A service that demands nothing can never be patched."""
    always, now = Hours(), at("2026-11-21T10:00")
    assert always.is_always and always.is_open(now) and always.closes_at(now) is None
    assert always.next_open(now) == Span(now, now + 8 * DAY_S)
    assert Hours(((),)).is_always


def test_open_and_closed_at_the_very_ends() -> None:
    """Something begins in the second in which the window closes."""
    hours, opens, closes = Hours(((NIGHT,),)), at("2026-11-21T22:00"), at("2026-11-22T04:00")
    assert [hours.is_open(each) for each in (opens - 1, opens, closes - 1, closes)] == [False, True, True, False]
    assert hours.closes_at(opens) == closes and hours.closes_at(closes) is None
    assert hours.next_open(opens - 1) == Span(opens, closes) and hours.next_open(opens + 60) == Span(opens + 60, closes)
    assert hours.open_span(opens + 60) == Span(opens, closes), "with when it really opened"


def test_windows_that_touch_are_one() -> None:
    """A rollout is turned back at midnight in the middle of a weekend."""
    weekend = Hours(((Weekly(frozenset({5, 6}), time(), time(), ZURICH),),))
    assert weekend.closes_at(at("2026-11-28T12:00")) == at("2026-11-30T00:00")
    other = Scheduled(Cron("0 3 * * *", ZURICH), 3 * 3600.0)
    assert Hours(((NIGHT, other),)).closes_at(at("2026-11-21T23:00")) == at("2026-11-22T06:00")


def test_a_window_that_never_closes() -> None:
    """Every day and all day is said to close at midnight, or is looked through for ever."""
    hours = Hours(((Weekly(EVERY_DAY, time(), time(), ZURICH),),))
    assert hours.is_open(at("2026-11-21T10:00")) and hours.closes_at(at("2026-11-21T10:00")) is None


def test_a_blackout_goes_before_a_window() -> None:
    """Patches go out on the busiest day of the year, because it was a Friday."""
    hours = Hours(((NIGHT,),), (blackout("2026-11-27"),))
    assert hours.closes_at(at("2026-11-26T23:00")) == at("2026-11-27T00:00")
    assert not hours.is_open(at("2026-11-27T22:30"))
    assert hours.next_open(at("2026-11-27T12:00")) == Span(at("2026-11-28T00:00"), at("2026-11-28T04:00"))
    found = hours.blackout_at(at("2026-11-27T22:30"))
    assert found and str(found[0]) == "2026-11-27" and hours.blackout_at(at("2026-11-28T00:00")) is None


def test_the_blackout_that_ends_last_is_named() -> None:
    """Somebody comes back when the shorter of two is over."""
    hours = Hours((), (blackout("2026-11-27"), blackout("2026-11-25..2026-12-01")))
    found = hours.blackout_at(at("2026-11-27T12:00"))
    assert found and found[1].closes == at("2026-12-02T00:00")


def test_all_demands_hold_together() -> None:
    """A campaign's window opens a service that has another one."""
    early = Weekly(EVERY_DAY, time(1), time(8), ZURICH)
    both = Hours(((NIGHT,),)) & Hours(((early,),), (blackout("2026-11-22"),))
    assert both.next_open(at("2026-11-20T12:00")) == Span(at("2026-11-21T01:00"), at("2026-11-21T04:00"))
    assert both.next_open(at("2026-11-21T12:00")) == Span(at("2026-11-23T01:00"), at("2026-11-23T04:00"))
    assert not both.is_open(at("2026-11-21T05:00")) and not both.is_always


def test_what_is_too_short_is_passed_over() -> None:
    """A start is sent away to a window in which it does not fit either."""
    short = Weekly(frozenset({0}), time(1), time(2), ZURICH)
    long = Weekly(frozenset({3}), time(1), time(5), ZURICH)
    hours, now = Hours(((short, long),)), at("2026-11-21T12:00")
    assert hours.next_open(now, 3600.0) == Span(at("2026-11-23T01:00"), at("2026-11-23T02:00"))
    assert hours.next_open(now, 3601.0) == Span(at("2026-11-26T01:00"), at("2026-11-26T05:00"))
    assert hours.next_open(now, 5 * 3600.0) is None


def test_what_never_opens_is_none() -> None:
    """Somebody waits for years."""
    new_year = Scheduled(Cron("0 3 1 1 *", ZURICH), 3600.0)
    assert Hours(((new_year,),), (blackout("12-20..01-06"),)).next_open(at("2026-11-21T12:00")) is None
    assert Hours(((new_year,),)).next_open(at("2026-11-21T12:00")) == Span(
        at("2027-01-01T03:00"), at("2027-01-01T04:00")
    )


def test_a_rare_window_is_found() -> None:
    """What opens once in four years is said never to open."""
    leap = Scheduled(Cron("0 3 29 2 *", ZURICH), 3600.0)
    assert Hours(((leap,),)).next_open(at("2026-11-21T12:00")) == Span(at("2028-02-29T03:00"), at("2028-02-29T04:00"))


WINDOWS = st.one_of(
    st.builds(
        Weekly,
        st.frozensets(st.integers(0, 6), min_size=1),
        st.times().map(lambda each: each.replace(second=0, microsecond=0)),
        st.times().map(lambda each: each.replace(second=0, microsecond=0)),
        st.sampled_from(ZONES),
    ),
    st.builds(
        Scheduled,
        st.builds(
            Cron, st.sampled_from(["0 22 * * *", "30 2 * * sun", "0 */8 * * *", "0 1 1 * *"]), st.sampled_from(ZONES)
        ),
        st.integers(60, 300_000).map(float),
    ),
)
BLACKOUTS = st.builds(
    Blackout,
    st.builds(MonthDay, st.none(), st.integers(1, 12), st.integers(1, 28)),
    st.builds(MonthDay, st.none(), st.integers(1, 12), st.integers(1, 28)),
    st.just(""),
    st.sampled_from(ZONES),
)
MANY = st.builds(
    Hours,
    st.lists(st.lists(WINDOWS, max_size=3).map(tuple), max_size=2).map(tuple),
    st.lists(BLACKOUTS, max_size=2).map(tuple),
)


def is_in(window: Window | Blackout, now: float) -> bool:
    """By looking at each span alone."""
    for span in window.spans(now):
        if span.opens > now:
            return False
        if span.closes > now:
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(MANY, EPOCHS)
def test_open_means_in_each_demand_and_in_no_blackout(hours: Hours, now: int) -> None:
    """Merging, cutting and intersecting spans opens a window where there is none, or closes one."""
    demanded = all(any(is_in(window, now) for window in windows) for windows in hours.windows if windows)
    blacked = any(is_in(each, now) for each in hours.blackouts)
    assert hours.is_open(now) == (demanded and not blacked)


@settings(max_examples=100, deadline=None)
@given(MANY, EPOCHS)
def test_what_is_said_of_the_future_comes_true(hours: Hours, now: int) -> None:
    """It is closed at the time at which it was said to open, or open at the time at which it was said to close."""
    closes = hours.closes_at(now)
    if closes is not None:
        assert hours.is_open(closes - 0.5) and not hours.is_open(closes) and now < closes < now + LOOK_AHEAD_S
    found = hours.next_open(now)
    if found:
        assert found.opens >= now and hours.is_open(found.opens) and hours.is_open((found.opens + found.closes) / 2)
        assert found.opens == now or not hours.is_open(found.opens - 0.5)


@settings(max_examples=100, deadline=None)
@given(MANY, EPOCHS)
def test_spans_are_in_order_and_apart(hours: Hours, now: int) -> None:
    """A window is listed twice, or within another."""
    found = list(hours.spans(now, now + 20 * DAY_S))
    assert all(opens < closes <= now + 20 * DAY_S for opens, closes in found)
    assert all(earlier.closes < later.opens for earlier, later in pairwise(found))


def test_whether_it_is_open_is_answered_without_looking_far() -> None:
    """A window that opens anew before it closes is counted through forty days at each look: commands take minutes."""

    class Counting:
        """Opens every minute for two hours."""

        asked = 0

        def spans(self, since: float) -> Iterator[Span]:
            """From two hours earlier on, one a minute."""
            for number in count():
                self.asked += 1
                opens = since - 7200.0 + 60.0 * number
                yield Span(opens, opens + 7200.0)

    window = Counting()
    assert Hours(((cast(Window, window),),)).is_open(1_767_225_600.0)
    assert window.asked <= 200

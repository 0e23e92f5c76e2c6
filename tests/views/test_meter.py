"""Traffic as people follow it: counted from when they began to look, and never made up."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rollout.view.meter import Meter, meter_of
from tests.core.scene import a_plan
from tests.views.kit import reading


def meter() -> Meter:
    """One that has read nothing."""
    return Meter("shop-1", "blue", {"blue": "base-1", "green": "base-2"})


def test_counting_begins_with_the_view() -> None:
    """A person sees a million requests and cannot tell whether any came since."""
    counting = meter()
    first = counting.read(reading(1000, 10.0))
    assert first is not None
    blue = first.data["sides"]["blue"]
    assert (blue["requests"], blue["per_s"], blue["weight"], blue["role"]) == (0, None, 90, "original")
    second = counting.read(reading(1050, 12.0, errors=2, failed=1))
    assert second is not None and json.dumps(second.line)
    assert (second.data["sides"]["blue"]["requests"], second.data["sides"]["blue"]["per_s"]) == (50, 25.0)
    green = second.data["sides"]["green"]
    assert (green["failed"], green["in_flight"], green["role"], green["image"]) == (3, 3, "replacement", "base-2")
    assert (green["healthy"], green["unhealthy"], green["unknown"]) == (1, 1, 1)


def test_only_changes_are_told() -> None:
    """An idle service fills the log of a pipeline."""
    counting = meter()
    assert counting.read(reading(5, 10.0)) is not None
    assert counting.read(reading(5, 12.0)) is not None, "that nothing came is known only now"
    assert counting.read(reading(5, 14.0)) is None
    assert counting.read(reading(6, 16.0)) is not None


def test_a_balancer_that_counts_anew_costs_no_count() -> None:
    """After the balancer was started again a view shows fewer requests than before, or a burst of failures."""
    counting = meter()
    counting.read(reading(1000, 10.0))
    counting.read(reading(1100, 12.0))
    again = counting.read(reading(7, 14.0, counters_id="two"))
    assert again is not None
    assert (again.data["sides"]["blue"]["requests"], again.data["sides"]["blue"]["per_s"]) == (100, None)
    later = counting.read(reading(9, 16.0, counters_id="two"))
    assert later is not None and later.data["sides"]["blue"]["requests"] == 102


def test_what_cannot_be_read_is_unknown_and_told_once() -> None:
    """The last numbers stand there as if they were still true; or the same trouble is told every two seconds."""
    counting = meter()
    counting.read(reading(5, 10.0))
    failed = counting.fail("Transient: no\nanswer \x1b[2J", 12.0)
    assert failed is not None and failed.data["sides"] is None and failed.data["problem"] == "Transient: no answer �[2J"
    assert counting.fail("Transient: no\nanswer \x1b[2J", 14.0) is None
    back = counting.read(reading(8, 16.0))
    assert back is not None and back.data["problem"] == "" and back.data["sides"]["blue"]["requests"] == 3


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from(["one", "two"])), max_size=20))
def test_counts_never_fall(readings: list[tuple[int, str]]) -> None:
    """A person reads that requests were taken back."""
    counting, seen = meter(), 0
    for at, (requests, counters_id) in enumerate(readings):
        event = counting.read(reading(requests, float(at), counters_id=counters_id))
        if event:
            assert event.data["sides"]["blue"]["requests"] >= seen
            seen = event.data["sides"]["blue"]["requests"]


def test_sides_know_their_images() -> None:
    """A row shows the other side's image."""
    made = meter_of("shop-1", a_plan().to_json())
    assert (made.original, made.images) == ("blue", {"blue": "base-1", "green": "base-2"})


def test_counters_that_could_not_be_read_for_a_while_cost_no_count() -> None:
    """What came during an outage of figures is missing for good, or comes as a burst of nothing."""
    counting = meter()
    counting.read(reading(1000, 10.0))
    uncounted = counting.read(replace(reading(0, 12.0), counters={}, counters_id="uncounted"))
    assert uncounted is not None and uncounted.data["sides"]["blue"]["requests"] == 0
    after = counting.read(reading(1050, 14.0))
    assert after is not None and after.data["sides"]["blue"]["requests"] == 50

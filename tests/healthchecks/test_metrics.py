"""One figure of the platform's, as a verdict."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import metrics
from healthchecks.base import Verdict
from healthchecks.metrics import Options, Requests
from providers.base import Metric
from tests.healthchecks.fakes import NOW, World

REQUESTS = Requests("elb", "requests")
Pair = tuple[float | None, float | None]
figures = st.none() | st.floats(-1e9, 1e9)


def ask(figure: Pair, traffic: Pair = (None, None), **options: Any) -> Verdict:
    """About green; pairs are blue's and green's."""
    found = {"errors": figure, "requests": traffic}
    world = World(figures={name: {"blue": blue, "green": green} for name, (blue, green) in found.items()})
    chosen = {"statistic": "p99", **options}
    return metrics.ask(Options("errors", "elb", **chosen), world.subject())


@pytest.mark.parametrize(
    ("value", "limits", "answer"),
    [
        (5.0, {"max": 5.0}, "pass"),
        (5.1, {"max": 5.0}, "fail"),
        (2.0, {"min": 2.0}, "pass"),
        (1.9, {"min": 2.0}, "fail"),
        (0.0, {"max": 0.0}, "pass"),
    ],
)
def test_limits_are_what_they_say(value: float, limits: dict[str, Any], answer: str) -> None:
    """Otherwise the limit in the fleet file is another than the one that is held."""
    assert ask((1.0, value), **limits).answer == answer


@pytest.mark.parametrize(
    ("figure", "options", "answer"),
    [
        ((0.2, 0.3), {}, "pass"),
        ((0.2, 0.31), {}, "fail"),
        ((0.0, 0.1), {}, "fail"),
        ((0.0, 0.1), {"tolerated": 0.1}, "pass"),
        ((None, 9.0), {}, "pass"),
    ],
)
def test_it_is_compared_with_the_side_beside(figure: Pair, options: dict[str, Any], answer: str) -> None:
    """Otherwise a patch that doubles the latency passes below an absolute limit."""
    verdict = ask(figure, max_times_other=1.5, **options)
    assert verdict.answer == answer
    if figure[0] is None:
        assert "not compared" in verdict.summary


def test_counts_of_unequal_traffic_are_compared_per_request() -> None:
    """Otherwise a canary at 1 % may fail every request before its count reaches the other side's."""
    rules: dict[str, Any] = {"statistic": "Sum", "per_request": True, "requests": REQUESTS, "max_times_other": 2.0}
    assert ask((100.0, 50.0), (10_000.0, 100.0), **rules).answer == "fail"
    assert ask((100.0, 2.0), (10_000.0, 100.0), **rules).answer == "pass"
    with pytest.raises(ValueError, match="per request only"):
        Options("errors", "elb", "Sum", max_times_other=2.0)


def test_no_data_is_unknown_unless_there_was_traffic() -> None:
    """Otherwise a side that nobody reaches passes for one without errors."""
    rules: dict[str, Any] = {"max": 1.0, "statistic": "Sum"}
    assert ask((None, None), **rules).answer == "unknown"
    rules |= {"missing": "zero", "requests": REQUESTS, "min_requests": 20}
    assert ask((None, None), (500.0, 20.0), **rules).answer == "pass"
    for few in (None, 0.0, 19.0):
        verdict = ask((None, None), (500.0, few), **rules)
        assert verdict.answer == "unknown" and "20 needed" in verdict.summary


def test_a_zero_that_is_told_needs_traffic_too() -> None:
    """Otherwise it depends on how a platform says nothing whether a gate passes."""
    rules: dict[str, Any] = {"max": 1.0, "requests": REQUESTS}
    assert ask((0.0, 0.0), (500.0, 3.0), **rules).answer == "unknown"


def test_a_side_beside_with_too_few_requests_is_not_compared_with() -> None:
    """Otherwise the last step of a rollout fails, because nobody is left on the old side."""
    assert ask((0.1, 9.0), (3.0, 500.0), max_times_other=2.0, requests=REQUESTS).answer == "pass"


def test_the_severity_is_what_exceeds_the_limit() -> None:
    """Otherwise a storm on both sides cannot be told from a replacement that is far worse."""
    assert ask((1.0, 20.0), max=5.0).severity == pytest.approx(0.75)
    assert ask((1.0, 1.0), min=4.0).severity == pytest.approx(0.75)
    assert ask((1.0, 8.0), max_times_other=2.0).severity == pytest.approx(0.75)


def test_both_figures_are_of_the_same_time_and_read_once() -> None:
    """Otherwise errors of one minute are divided by the requests of another."""
    world = World(figures={"errors": {"blue": 1.0, "green": 1.0}, "requests": {"blue": 99.0, "green": 99.0}})
    subject = world.subject()
    for _ in range(2):
        metrics.ask(Options("errors", "elb", "Sum", max=5.0, over_s=120.0, requests=REQUESTS), subject)
    assert world.asked == [
        ("measure", Metric("elb", "errors", "Sum"), NOW - 120, NOW),
        ("measure", Metric("elb", "requests", "Sum"), NOW - 120, NOW),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"max": float("nan")},
        {"max": 1.0, "over_s": 5.0},
        {"max": 1.0, "missing": "zero"},
        {"max": 1.0, "per_request": True},
        {"max": 1.0, "min_requests": 0},
        {"max_times_other": 0.0},
    ],
)
def test_options_that_cannot_judge_are_refused(wrong: dict[str, Any]) -> None:
    """Otherwise a gate waits for an answer that never comes, or can never fail."""
    with pytest.raises(ValueError):
        Options("errors", "elb", "p99", **wrong)


@given(figures, figures, figures, figures, st.sampled_from(["unknown", "zero"]))
def test_any_figures_give_a_sound_verdict(
    blue: float | None, green: float | None, before: float | None, after: float | None, missing: str
) -> None:
    """Otherwise an odd figure crashes the check in the middle of a rollout."""
    verdict = ask((blue, green), (before, after), max=1.0, max_times_other=2.0, missing=missing, requests=REQUESTS)
    assert "crashed" not in verdict.summary
    if after is None or after < 20:
        assert verdict.answer == "unknown"

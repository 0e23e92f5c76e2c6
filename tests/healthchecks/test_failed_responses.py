from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import failed_responses
from healthchecks.base import Role, Verdict
from healthchecks.failed_responses import FEW, RACING, Options, between
from providers.base import Counters
from tests.healthchecks.fakes import World, reading

counts = st.integers(0, 400)
shares = st.floats(0, 1)


def _counters(
    good: int = 0, refused: int = 0, errors: int = 0, failed: int = 0, waiting: int = 0, left: int = 0
) -> Counters:
    """A balancer that counts requests as they arrive; the clients of `left` requests gave them up."""
    responses = {"2xx": good, "4xx": refused, "5xx": errors}
    return Counters(good + refused + errors + failed + waiting + left, responses, failed, waiting)


def _at_the_end(counters: Counters) -> Counters:
    """The same, of a balancer that counts requests when they end."""
    return replace(counters, requests=counters.requests - counters.in_flight)


def _plus(one: Counters, two: Counters) -> Counters:
    names = {*one.responses, *two.responses}
    responses = {name: one.responses.get(name, 0) + two.responses.get(name, 0) for name in names}
    in_flight = one.in_flight + two.in_flight
    return Counters(one.requests + two.requests, responses, one.failed + two.failed, in_flight)


def _ask(
    green: Counters, blue: Counters, role: Role = "replacement", before: Counters | None = None, **options: Any
) -> Verdict:
    """Green and blue are what happened since the gate began, on top of `before` on both sides."""
    start = before or Counters()
    world = World(
        since=reading({"blue": start, "green": start}),
        reading=reading({"blue": _plus(start, blue), "green": _plus(start, green)}),
    )
    return failed_responses.ask(Options(**options), world.subject(role))


def test_good_answers_pass() -> None:
    """Otherwise no rollout ever ends."""
    assert _ask(_counters(100), _counters(900)).answer == "pass"


@pytest.mark.parametrize("bad", [_counters(90, errors=10), _counters(90, failed=10), _counters(90, 0, 5, 5)])
def test_errors_of_the_service_and_of_its_balancer_fail(bad: Counters) -> None:
    """Otherwise customers see errors and traffic keeps moving towards them."""
    verdict = _ask(bad, _counters(900))
    assert (verdict.answer, verdict.evidence["this"]["bad"]) == ("fail", 10)


def test_more_refusals_than_beside_fail() -> None:
    """Otherwise a patch that makes the service refuse its own customers looks like their mistake."""
    verdict = _ask(_counters(90, refused=10), _counters(895, refused=5))
    assert (verdict.answer, "10.00% of 100 requests, 0.56% beside" in verdict.summary) == ("fail", True)
    assert _ask(_counters(90, refused=10), _counters(895, refused=5), count_4xx=False).answer == "pass"


def test_refusals_as_common_as_beside_pass() -> None:
    """Otherwise a service that always refuses some requests can never be patched."""
    assert _ask(_counters(90, refused=10), _counters(900, refused=100)).answer == "pass"


def test_the_original_is_asked_the_same_question() -> None:
    """Otherwise the gate cannot tell the patch's fault from a bad day for both sides."""
    worse, better = _counters(90, errors=10), _counters(900)
    assert _ask(worse, better, "original").answer == "pass"
    assert _ask(better, worse, "original").answer == "fail"


def test_only_what_happened_since_the_gate_began_counts() -> None:
    """Otherwise last week's errors turn today's good patch back, or last week's successes hide today's errors."""
    assert _ask(_counters(100), _counters(900), before=_counters(0, 0, 5000, 5000)).answer == "pass"
    assert _ask(_counters(50, errors=50), _counters(900), before=_counters(10**9)).answer == "fail"


def test_too_little_traffic_is_unknown_and_says_how_much_is_needed() -> None:
    """Otherwise a side that nobody used counts as proven."""
    verdict = _ask(_counters(19), _counters(900))
    assert (verdict.answer, verdict.summary) == ("unknown", "19 requests seen, 20 needed")
    assert _ask(_counters(20), _counters(900)).answer == "pass"


@pytest.mark.parametrize("counted", [_counters, lambda *one, **two: _at_the_end(_counters(*one, **two))])
def test_requests_that_are_never_answered_fail_or_prove_nothing(counted: Any) -> None:
    """Otherwise a side that swallows all requests has no errors and passes."""
    assert _ask(counted(0, waiting=5000), counted(900)).answer == "fail"
    assert _ask(counted(0, waiting=5000), counted(19)).answer == "unknown"
    assert _ask(counted(0, waiting=19), counted(900)).answer == "unknown"


def test_requests_that_clients_gave_up_unanswered_are_bad() -> None:
    """Otherwise half of the customers wait in vain, leave, and the gate says that nothing failed."""
    verdict = _ask(_counters(30, left=30), _counters(900))
    assert (verdict.answer, verdict.evidence["this"]["unanswered"], verdict.severity) == ("fail", 30, 0.5)
    assert verdict.summary == "50.00% of 60 requests failed (30 had no answer), 1.00% allowed"
    assert _ask(_counters(30, left=30), _counters()).answer == "fail"
    assert _ask(_counters(left=30), _counters()).answer == "fail"


@pytest.mark.parametrize("counted", [_counters, lambda *one, **two: _at_the_end(_counters(*one, **two))])
def test_requests_that_pile_up_on_this_side_only_fail(counted: Any) -> None:
    """Otherwise a replacement that hangs gets all traffic before the first client gives up."""
    verdict = _ask(counted(30, waiting=30), counted(900, waiting=9))
    assert (verdict.answer, verdict.evidence["this"]["waiting"], verdict.severity) == ("fail", 30, 0.5)
    assert "requests pile up: 50.00% of 60 wait for an answer, 0.99% beside" in verdict.summary


@pytest.mark.parametrize("beside", [_counters(), _counters(19), _counters(500, waiting=400)])
def test_requests_that_pile_up_without_a_better_side_beside_are_unknown(beside: Counters) -> None:
    """Otherwise a patch is blamed for a slow database, or hanging requests pass because nobody can compare."""
    verdict = _ask(_counters(30, waiting=30), beside)
    assert (verdict.answer, "pile up" in verdict.summary) == ("unknown", True)


def test_errors_count_though_requests_pile_up_on_both_sides() -> None:
    """Otherwise hanging requests hide failing ones."""
    assert _ask(_counters(50, errors=50, waiting=90), _counters(500, waiting=400)).answer == "fail"


def test_few_in_flight_pass() -> None:
    """Otherwise the ordinary load of a busy service, always a few under way, turns a good patch back."""
    assert _ask(_counters(20, waiting=FEW), _counters(900)).answer == "pass"
    assert _ask(_counters(80, waiting=20), _counters(900)).answer == "pass"
    assert _ask(_counters(79, waiting=21), _counters(900)).answer == "fail"


def test_connections_that_were_open_when_the_gate_began_are_no_pile() -> None:
    """Otherwise clients that keep their connections open make every patch fail."""
    before = _counters(10**6, waiting=5000)
    assert _ask(_counters(100), _counters(900), before=before).answer == "pass"
    closed = World(
        since=reading({"blue": before, "green": before}),
        reading=reading({"blue": _plus(before, _counters(900)), "green": replace(before, in_flight=0)}),
    )
    verdict = failed_responses.ask(Options(), closed.subject())
    assert (verdict.answer, verdict.evidence["this"]["unanswered"]) == ("unknown", 0)


def test_piling_up_can_be_switched_off_for_connections_that_stay_open() -> None:
    """Otherwise a service of long-lived connections can never be patched."""
    world = _counters(100, waiting=900), _counters(900)
    assert _ask(*world, max_in_flight_share=1).answer == "pass"
    assert _ask(*world).answer == "fail"


@pytest.mark.parametrize("raced", range(1, RACING + 1))
def test_an_answer_that_comes_between_two_counters_is_not_missed(raced: int) -> None:
    """Otherwise a request that is answered a millisecond after it was counted turns a good patch back."""
    assert _ask(_counters(20, left=raced), _counters(900)).answer == "pass"
    assert _ask(_counters(20, left=raced), _counters(900), max_share=0, max_share_above_other=0).answer == "pass"
    assert _ask(_counters(20, left=RACING + 1), _counters(900)).answer == "fail"


@given(counts, counts, counts, counts, counts, counts, counts, st.booleans())
def test_nothing_that_was_answered_or_may_yet_be_counts_as_unanswered(
    good: int, failed: int, left: int, waiting: int, old_answered: int, old_left: int, old_waiting: int, at_end: bool
) -> None:
    """Otherwise what was under way when the gate began, or how a balancer counts, turns a good patch back."""
    old, before = old_answered + old_left + old_waiting, _counters(1000)
    start = replace(before, requests=1000 + old, in_flight=old)
    end = Counters(
        start.requests + good + failed + left + waiting,
        {"2xx": 1000 + good + old_answered},
        failed,
        old_waiting + waiting,
    )
    side = between(_at_the_end(start), _at_the_end(end)) if at_end else between(start, end)
    assert side is not None
    assert 0 <= side.unanswered <= left + old_left
    assert side.answers == good + failed + old_answered
    if not at_end and old_waiting + waiting >= old and left + old_left > RACING:
        assert side.unanswered == left + old_left


def test_severity_is_the_share_that_failed() -> None:
    """Otherwise a gate takes a side on which most fails for one with a small trouble."""
    assert _ask(_counters(40, errors=50, failed=10), _counters(900)).severity == 0.6
    assert _ask(_counters(50, refused=40, errors=10), _counters(900)).severity == 0.5
    assert _ask(_counters(50, refused=40, errors=10), _counters(900), count_4xx=False).severity == 0.1
    assert _ask(_counters(45, errors=5, waiting=50), _counters(900)).severity == 0.55


def test_with_little_traffic_beside_only_the_absolute_limit_is_judged_and_that_is_said() -> None:
    """Otherwise the last steps, with next to nothing beside, could never be judged."""
    verdict = _ask(_counters(90, refused=10), _counters(19))
    assert (verdict.answer, verdict.evidence["compared"]) == ("pass", False)
    assert _ask(_counters(90, errors=10), _counters(19)).answer == "fail"


@pytest.mark.parametrize(
    "world",
    [
        World(),
        World(since=reading(counters_id="earlier")),
        World(since=reading({"blue": Counters()})),
        World(since=reading({"blue": Counters(), "green": _counters(5)})),
        World(since=reading({"blue": _counters(failed=5), "green": Counters()})),
        World(since=reading({"blue": Counters(), "green": Counters(in_flight=-1)})),
    ],
    ids=["no start", "counters began anew", "side missing", "ran backwards", "ran backwards beside", "below nothing"],
)
def test_counters_that_cannot_be_compared_are_unknown(world: World) -> None:
    """Otherwise a balancer that was restarted makes errors disappear."""
    assert failed_responses.ask(Options(), world.subject()).answer == "unknown"


@pytest.mark.parametrize("good", [99, 199, 299, 699, 999, 9999])
def test_exactly_the_allowed_share_is_allowed(good: int) -> None:
    """Otherwise rounding decides whether traffic is put back."""
    total = good + 1
    here, beside = _counters(total - 7 * (total // 100), 7 * (total // 100)), _counters(94, 6)
    assert _ask(here, beside).answer == "pass"
    assert _ask(_counters(total * 99, errors=total), _counters(1)).answer == "pass"
    assert _ask(_counters(total * 99 - 1, errors=total + 1), _counters(1)).answer == "fail"


@pytest.mark.parametrize(
    "options",
    [
        {"max_share": -0.1},
        {"max_share": 1.1},
        {"max_share_above_other": 2},
        {"max_in_flight_share": 20},
        {"min_requests": 0},
    ],
)
def test_options_that_switch_the_check_off_are_refused(options: dict[str, Any]) -> None:
    """Otherwise 'at most 1' meant as one per cent lets every error through."""
    with pytest.raises(ValueError, match=r"share|min_requests"):
        Options(**options)


@given(counts, counts, counts, counts, counts, counts, counts, counts)
def test_shares_stay_between_nothing_and_all(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int) -> None:
    """Otherwise a strange mix of counters compares wrongly."""
    start, more = _counters(a, b, c, d), _counters(e, f, g, h)
    side = between(start, _plus(start, more))
    assert side is not None
    assert 0 <= side.bad_share <= side.share(True) <= 1
    assert (side.answers, side.bad) == (e + f + g + h, g + h)
    if side.bad + side.answers:
        assert between(_plus(start, more), start) is None


@given(counts, counts, counts, counts, counts, counts, st.integers(1, 50), st.booleans())
def test_one_more_error_never_makes_a_side_look_better(
    good: int, refused: int, bad: int, good_2: int, refused_2: int, bad_2: int, more: int, answered: bool
) -> None:
    """Otherwise a side could fail its way to a pass."""
    beside = _counters(good_2, refused_2, bad_2)
    now = _ask(_counters(good, refused, bad), beside)
    errors, left = (more, 0) if answered else (0, more)
    later = _ask(_counters(good, refused, bad + errors, left=left), beside)
    assert now.answer != "fail" or (later.answer == "fail" and later.severity >= now.severity)


@given(counts, counts, counts, counts, counts, counts, shares, shares)
def test_a_pass_keeps_every_limit_that_was_set(
    good: int, refused: int, bad: int, good_2: int, refused_2: int, bad_2: int, share: float, above: float
) -> None:
    """Otherwise a limit that an operator set does not hold for some traffic."""
    verdict = _ask(
        _counters(good, refused, bad),
        _counters(good_2, refused_2, bad_2),
        max_share=share,
        max_share_above_other=above,
    )
    answers, beside = good + refused + bad, good_2 + refused_2 + bad_2
    if verdict.answer == "pass":
        assert answers >= 20
        assert bad / answers <= share + 1e-9
        if beside >= 20:
            assert (refused + bad) / answers - (refused_2 + bad_2) / beside <= above + 1e-9
    assert (verdict.answer == "unknown") == (answers < 20)


def test_counters_that_are_not_there_are_said_to_be_missing() -> None:
    """Somebody looks for a balancer that was restarted, where CloudWatch did not answer."""
    now = replace(reading(), counters={}, counters_id="uncounted")
    told = failed_responses.ask(Options(), World(since=reading(), reading=now).subject())
    assert told.answer == "unknown" and "counters for green and blue are missing" in told.summary

"""Nothing unknown passes a gate, and only observed time counts."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from healthchecks.base import Verdict
from providers.base import plain
from rollout.gate import CLEARLY_WORSE, Asked, Finding, GateRule, GateState, Outcome, finding_of, judge

RULE = GateRule(passes=3, failures=2, interval_s=5.0, deadline_s=300.0, unknown_limit_s=60.0, soak_s=0.0)
FINDINGS = get_args(Finding)
PASS, FAIL, UNKNOWN = Verdict.passed("good"), Verdict.failed("bad"), Verdict.unknown("who knows")

RULES = st.builds(
    GateRule,
    passes=st.integers(0, 5),
    failures=st.integers(1, 4),
    interval_s=st.floats(0.5, 30),
    deadline_s=st.floats(1, 600),
    unknown_limit_s=st.floats(0, 120),
    soak_s=st.floats(0, 200),
)
LOOKS = st.lists(st.tuples(st.sampled_from(FINDINGS), st.floats(-5, 70)), min_size=1, max_size=25)


def play(rule: GateRule, looks: list[tuple[Finding, float]]) -> tuple[GateState, Outcome, str, float]:
    """Look by look, each some seconds after the one before, until it is decided."""
    state, now, outcome, why = GateState(), 0.0, "open", ""
    for finding, gap in looks:
        now += gap
        state, outcome, why = judge(rule, state, finding, 0.0, now)
        if outcome != "open":
            break
    return state, outcome, why, now  # type: ignore[return-value]


def at(*looks: tuple[Finding, float], rule: GateRule = RULE) -> tuple[str, str]:
    """The outcome of these looks, and why."""
    _, outcome, why, _ = play(rule, list(looks))
    return outcome, why


# Findings


def test_a_gate_without_checks_is_unknown() -> None:
    """A gate from which every check was removed lets everything through."""
    assert finding_of([]) == "unknown"


@pytest.mark.parametrize(
    ("verdict", "beside", "finding"),
    [
        (PASS, None, "pass"),
        (PASS, FAIL, "pass"),
        (UNKNOWN, None, "unknown"),
        (UNKNOWN, FAIL, "unknown"),
        (FAIL, None, "fail"),
        (FAIL, PASS, "fail"),
        (FAIL, UNKNOWN, "fail"),
        (FAIL, FAIL, "ambient"),
    ],
)
def test_a_failure_is_ambient_only_when_the_other_side_fails_too(
    verdict: Verdict, beside: Verdict | None, finding: Finding
) -> None:
    """A bad patch is excused by a side that was never asked, or a good one is rolled back for a storm."""
    assert Asked("http", verdict, beside).finding == finding


def failing(severity: float) -> Verdict:
    """A verdict that fails by so much."""
    return Verdict.failed("bad", severity=severity)


@pytest.mark.parametrize(
    ("here", "beside", "finding"),
    [
        (0.6, 0.012, "fail"),
        (1.0, 0.9, "fail"),
        (0.06, 0.0, "fail"),
        (0.04, 0.012, "ambient"),
        (0.6, 0.6, "ambient"),
        (0.012, 0.6, "ambient"),
        (1.0, 1.0, "ambient"),
    ],
)
def test_a_side_that_is_far_worse_is_not_excused_by_a_small_trouble_beside(
    here: float, beside: float, finding: Finding
) -> None:
    """Customers stay on a side that fails most of them, because the other fails one in a hundred."""
    assert Asked("responses", failing(here), failing(beside)).finding == finding


def test_what_says_no_severity_is_taken_as_failing_whole() -> None:
    """A check from outside that fails on the replacement is excused by any trouble beside."""
    assert Asked("own", FAIL, failing(0.5)).finding == "fail"
    assert Asked("own", failing(0.5), FAIL).finding == "ambient"


def test_the_severity_is_kept_in_the_evidence() -> None:
    """Nobody can say later why the one failure was excused and the other was not."""
    assert plain(failing(0.25))["severity"] == 0.25


SHARES = st.floats(0, 1)
FAILING = st.builds(failing, SHARES)


@given(FAILING, st.sampled_from([PASS, UNKNOWN]) | st.none())
def test_no_failure_is_excused_by_a_side_that_does_not_fail(verdict: Verdict, beside: Verdict | None) -> None:
    """A small failure of a bad patch is taken for a storm though all is well beside."""
    assert Asked("check", verdict, beside).finding == "fail"


@given(FAILING, FAILING)
def test_of_two_failing_sides_at_most_the_worse_is_blamed(one: Verdict, two: Verdict) -> None:
    """Which side is called the replacement decides, not which is worse."""
    first, second = Asked("check", one, two).finding, Asked("check", two, one).finding
    assert {first, second} <= {"fail", "ambient"} and "ambient" in (first, second)
    if first == "fail":
        assert one.severity > two.severity + CLEARLY_WORSE
    assert (first == second) == (abs(one.severity - two.severity) <= CLEARLY_WORSE) or first == second == "ambient"


@given(FAILING, FAILING, SHARES)
def test_a_worse_replacement_is_never_excused_sooner(one: Verdict, beside: Verdict, severity: float) -> None:
    """A side fails its way out of being blamed."""
    if Asked("check", one, beside).finding == "fail" and severity >= one.severity:
        assert Asked("check", failing(severity), beside).finding == "fail"
    if Asked("check", one, beside).finding == "ambient" and severity >= beside.severity:
        assert Asked("check", one, failing(severity)).finding == "ambient"


VERDICTS = st.sampled_from([PASS, UNKNOWN]) | FAILING
ASKED = st.lists(st.builds(Asked, st.just("check"), VERDICTS, st.none() | VERDICTS), max_size=5)


@given(ASKED)
def test_the_worst_finding_counts(asked: list[Asked]) -> None:
    """Four passing checks outvote the one that fails."""
    found = {each.finding for each in asked}
    worst = finding_of(asked)
    assert (worst == "pass") == (found == {"pass"})
    assert (worst == "fail") == ("fail" in found)
    assert worst in found or not asked


# Examples


def test_enough_passes_close_together_pass() -> None:
    """A healthy mirror never gets traffic."""
    assert at(("pass", 0), ("pass", 5), ("pass", 5)) == ("passed", "3 passes, 10 s observed")


def test_one_pass_too_few_is_open() -> None:
    """One lucky look is proof enough."""
    assert at(("pass", 0), ("pass", 5)) == ("open", "pass; 2 of 3 passes, 5 of 0 s")


def test_failing_looks_in_a_row_fail() -> None:
    """A broken mirror gets traffic for minutes more than it had to."""
    assert at(("fail", 0), ("fail", 5)) == ("failed", "failed 2 times in a row")


def test_one_failing_look_among_passing_ones_does_not_fail() -> None:
    """One lost packet rolls a good patch back."""
    assert at(("fail", 0), ("pass", 5), ("fail", 5), ("pass", 5), ("pass", 5))[0] == "open"


def test_a_pass_after_a_failure_begins_to_count_anew() -> None:
    """A flapping service counts as passing thrice in a row."""
    assert at(("pass", 0), ("pass", 5), ("fail", 5), ("pass", 5), ("pass", 5))[0] == "open"


def test_the_soak_counts_from_the_first_passing_look() -> None:
    """A soak is over before anything was watched."""
    rule = GateRule(passes=1, interval_s=5.0, soak_s=10.0, deadline_s=300)
    assert at(("pass", 60), rule=rule)[0] == "open"
    assert at(("pass", 60), ("pass", 5), rule=rule)[0] == "open"
    assert at(("pass", 60), ("pass", 5), ("pass", 5), rule=rule) == ("passed", "3 passes, 10 s observed")


def test_a_gap_above_two_intervals_starts_the_soak_again() -> None:
    """A controller that slept for an hour says that it watched for an hour."""
    rule = GateRule(passes=1, interval_s=5.0, soak_s=12.0, deadline_s=9999)
    assert at(("pass", 0), ("pass", 10), ("pass", 10), rule=rule)[0] == "passed"
    state, outcome, _, _ = play(rule, [("pass", 0), ("pass", 10), ("pass", 10.5)])
    assert (state.observed_s, state.passes, outcome) == (0.0, 1, "open")


def test_a_clock_set_back_starts_the_soak_again() -> None:
    """A clock that was set back counts time twice."""
    state, _, _, _ = play(RULE, [("pass", 0), ("pass", 5), ("pass", -3)])
    assert (state.observed_s, state.passes) == (0.0, 1)


def test_not_knowing_for_too_long_fails() -> None:
    """A gate that cannot see waits for ever with half of the traffic moved."""
    assert at(("unknown", 0), ("unknown", 60))[0] == "open"
    assert at(("unknown", 0), ("unknown", 60.5)) == ("failed", "unknown for 60 s; the limit is 60 s")


def test_a_pass_in_between_ends_not_knowing() -> None:
    """Two short outages of a metrics service add up to a rollback."""
    assert at(("unknown", 0), ("unknown", 40), ("pass", 5), ("unknown", 30), ("unknown", 10))[0] == "open"


def test_the_deadline_fails_what_has_not_passed() -> None:
    """A gate that flaps goes on for ever."""
    assert at(("pass", 0), ("ambient", 300)) == ("failed", "not passed within 300 s (last look: ambient)")


def test_ambient_trouble_is_waited_out() -> None:
    """A storm that hits both sides rolls a good patch back."""
    looks: list[tuple[Finding, float]] = [("ambient", 5)] * 40
    assert at(*looks)[0] == "open"
    assert at(*looks, ("pass", 5), ("pass", 5), ("pass", 5))[0] == "passed"


# Properties


@example(GateRule(passes=0, failures=9), [("fail", 1.0)])
@example(GateRule(passes=0), [("unknown", 1.0)])
@given(RULES, LOOKS)
def test_only_a_passing_look_passes(rule: GateRule, looks: list[tuple[Finding, float]]) -> None:
    """A gate passes at the very moment when it fails or sees nothing."""
    finding: Finding = "pass"
    state, now = GateState(), 0.0
    for finding, gap in looks:
        now += gap
        state, outcome, _ = judge(rule, state, finding, 0.0, now)
        if outcome == "passed":
            assert finding == "pass"


@given(RULES, LOOKS)
def test_observed_time_never_exceeds_the_time_that_passed(rule: GateRule, looks: list[tuple[Finding, float]]) -> None:
    """A soak of an hour is over after a minute."""
    state, now, watched = GateState(), 0.0, 0.0
    for finding, gap in looks:
        before, now = state, now + gap
        state, outcome, _ = judge(rule, state, finding, 0.0, now)
        counted = finding == "pass" and before.passes > 0 and 0 <= gap <= 2 * rule.interval_s
        watched = watched + gap if counted else 0.0
        assert state.observed_s <= watched + 1e-6
        assert state.passes <= len(looks)
        if outcome == "passed":
            assert watched + 1e-6 >= rule.soak_s and state.passes >= rule.passes


@given(RULES, LOOKS)
def test_ambient_never_fails_before_the_deadline(rule: GateRule, looks: list[tuple[Finding, float]]) -> None:
    """Trouble that hits both sides is blamed on the patch."""
    state, now = GateState(), 0.0
    for finding, gap in looks:
        before, now = state, now + abs(gap)
        state, outcome, _ = judge(rule, state, finding, 0.0, now)
        if finding == "ambient" and outcome == "failed":
            assert now >= rule.deadline_s or before.failures >= rule.failures


@given(RULES, LOOKS)
def test_every_gate_ends_at_its_deadline(rule: GateRule, looks: list[tuple[Finding, float]]) -> None:
    """A rollout hangs in a gate for ever."""
    _, outcome, _, now = play(rule, [*looks, ("unknown", rule.deadline_s + 400)])
    assert outcome != "open" and now < 1e6


@given(RULES, LOOKS, st.integers(0, 24))
def test_a_better_look_never_turns_a_pass_into_a_failure(
    rule: GateRule, looks: list[tuple[Finding, float]], index: int
) -> None:
    """A healthier service is judged worse."""
    steady = [(finding, min(abs(gap), 2 * rule.interval_s)) for finding, gap in looks]
    _, before, _, decided_at = play(rule, steady)
    better: list[tuple[Finding, float]] = [
        ("pass" if at == index else finding, gap) for at, (finding, gap) in enumerate(steady)
    ]
    _, after, _, better_at = play(rule, better)
    if before == "passed":
        assert after == "passed" and better_at <= decided_at + 1e-6


@given(RULES, LOOKS, st.integers(1, 24))
def test_a_gate_goes_on_from_what_was_stored(rule: GateRule, looks: list[tuple[Finding, float]], cut: int) -> None:
    """A restarted program judges otherwise than one that was not."""
    state, now, outcome = GateState(), 0.0, "open"
    for number, (finding, gap) in enumerate(looks):
        if number == cut:
            state = GateState.from_json(state.to_json())
        now += gap
        state, outcome, _ = judge(rule, state, finding, 0.0, now)
        if outcome != "open":
            break
    assert (state, outcome) == play(rule, looks)[:2]

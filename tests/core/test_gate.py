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


def many(finding: Finding, gap: float, times: int) -> list[tuple[Finding, float]]:
    """The same look again and again."""
    return [(finding, gap)] * times


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
    looks: list[tuple[Finding, float]] = [("pass", 0), *many("ambient", 5, 59)]
    assert at(*looks)[0] == "open"
    assert at(*looks, ("ambient", 5)) == ("failed", "not passed within 300 s (last look: ambient)")


def test_time_in_which_nobody_looked_does_not_count_towards_the_deadline() -> None:
    """A laptop that slept for an hour rolls a good patch back when it wakes up."""
    state, outcome, _, _ = play(RULE, [("pass", 0), ("pass", 3600), ("pass", 5)])
    assert (state.lost_s, outcome) == (3600.0, "open")
    assert at(("pass", 0), ("pass", 3600), ("pass", 5), ("pass", 5)) == ("passed", "3 passes, 10 s observed")
    assert at(("ambient", 0), ("ambient", 3600))[0] == "open"


def test_a_gap_of_two_intervals_is_none() -> None:
    """A slow look extends the deadline, and a stuck gate goes on for ever in slow looks."""
    looks: list[tuple[Finding, float]] = [("ambient", 0), *many("ambient", 10, 30)]
    state, outcome, why, _ = play(RULE, looks)
    assert state.lost_s == 0 and (outcome, why) == ("failed", "not passed within 300 s (last look: ambient)")


def test_the_time_before_a_gap_still_counts_towards_the_deadline() -> None:
    """Every gap gives a stuck gate its whole time again."""
    before: list[tuple[Finding, float]] = [("ambient", 5)] * 50
    after: list[tuple[Finding, float]] = [("ambient", 5)] * 10
    assert at(*before, ("ambient", 900), *after[:9])[0] == "open"
    assert at(*before, ("ambient", 900), *after)[0] == "failed"


SOAK = GateRule(passes=1, interval_s=5.0, deadline_s=110.0, unknown_limit_s=60.0, soak_s=100.0)


@pytest.mark.parametrize("breaks", [("unknown", 5.0), ("pass", 900.0)], ids=["unknown", "gap"])
def test_a_soak_that_has_to_begin_again_gets_its_time_again(breaks: tuple[Finding, float]) -> None:
    """One look that failed, at the end of a long bake, rolls a good patch back for want of time."""
    soaked: list[tuple[Finding, float]] = [("pass", 0), *many("pass", 5, 18)]
    again: list[tuple[Finding, float]] = [("pass", 5.0)] * 21
    state, outcome, why, _ = play(SOAK, [*soaked, breaks, *again])
    assert state.discarded_s == 90.0 and (outcome, why) == ("passed", f"{state.passes} passes, 100 s observed")


def test_a_soak_is_extended_by_one_soak_and_no_more() -> None:
    """A check that cannot tell once a minute keeps a rollout half-way for ever."""
    round_of: list[tuple[Finding, float]] = [*many("pass", 5, 18), ("unknown", 5.0)]
    state, outcome, why, now = play(SOAK, [("pass", 0), *round_of * 20])
    assert (outcome, why) == ("failed", "not passed within 110 s (last look: pass)")
    assert state.discarded_s > SOAK.soak_s and now == SOAK.deadline_s + SOAK.soak_s


def test_looks_that_are_only_slow_cost_no_more_than_one_soak() -> None:
    """A check that takes a minute to answer keeps a gate open for ever, with half of the traffic moved."""
    looks: list[tuple[Finding, float]] = [("pass", 0), *many("pass", 60, 20)]
    state, outcome, why, now = play(SOAK, looks)
    assert (outcome, why) == ("failed", "not passed within 110 s (last look: pass)")
    assert state.lost_s == 0 and now < SOAK.deadline_s + SOAK.soak_s + 60


def test_one_slow_look_costs_a_bake_nothing() -> None:
    """One look that took a minute, in the middle of a long bake, rolls a good patch back for want of time."""
    looks: list[tuple[Finding, float]] = [("pass", 0), *many("pass", 5, 6), ("pass", 60), *many("pass", 5, 21)]
    state, outcome, _, _ = play(SOAK, looks)
    assert (state.discarded_s, state.lost_s, outcome) == (90.0, 0.0, "passed")


def test_a_failing_look_extends_nothing() -> None:
    """A patch that fails now and then is given more and more time."""
    state, _, _, _ = play(SOAK, [("pass", 0), *many("pass", 5, 10), ("fail", 5.0), ("pass", 5.0)])
    assert (state.discarded_s, state.lost_s, state.observed_s) == (0.0, 0.0, 0.0)


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
        before, now, gap = state, now + gap, now + gap - now  # as the clock shows it: a tiny gap is none
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
    going_on = rule.deadline_s + rule.soak_s + 5 * len(looks)  # a clock may have been set back at each look
    steady: list[tuple[Finding, float]] = [("ambient", 1.5 * rule.interval_s)] * (int(going_on / rule.interval_s) + 2)
    _, outcome, _, now = play(rule, [*looks, *steady])
    assert outcome != "open" and now < 1e6


@given(RULES, LOOKS)
def test_no_gate_fails_for_want_of_time_that_nobody_watched(rule: GateRule, looks: list[tuple[Finding, float]]) -> None:
    """A controller that was down comes back, and its first act is to roll a good patch back."""
    state, now, watched = GateState(), 0.0, 0.0
    for number, (finding, gap) in enumerate(looks):
        before, now = state, now + abs(gap)
        nobody_drove = number > 0 and abs(gap) >= rule.deadline_s and abs(gap) > 2 * rule.interval_s
        watched += 0.0 if nobody_drove else abs(gap)
        state, outcome, why = judge(rule, state, finding, 0.0, now)
        if outcome == "failed" and why.startswith("not passed within"):
            assert watched + 1e-6 >= rule.deadline_s
        assert state.lost_s >= before.lost_s and state.discarded_s >= before.discarded_s
        if outcome != "open":
            break


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


def test_checks_that_take_longer_than_the_interval_are_no_gap() -> None:
    """A gate whose checks are slow could never be passed, and every good patch is rolled back."""
    rule = GateRule(passes=3, interval_s=1.0, deadline_s=100.0, soak_s=6.0)
    state, outcome, now = GateState(), "open", 0.0
    while outcome == "open":
        now += 1.0 + 4.0
        state, outcome, _ = judge(rule, state, "pass", 0.0, now, took_s=4.0)
    assert (outcome, now) == ("passed", 15.0)
    assert judge(rule, GateState(passes=2, observed_s=5.0, looked_at=0.0), "pass", 0.0, 9.0, took_s=4.0)[0].passes == 1

from __future__ import annotations

import pytest

from healthchecks import balancer
from healthchecks.base import Verdict
from providers.base import Slot, TargetHealth
from tests.healthchecks.fakes import World, reading


def _ask(targets: TargetHealth | None, min_healthy: int | None = None, capacity: int = 2) -> Verdict:
    # The original's targets are the opposite of well: a check that mixes the sides up shows.
    said: dict[Slot, TargetHealth] = {"blue": TargetHealth(unhealthy=9)}
    said |= {"green": targets} if targets else {}
    world = World(reading=reading(targets=said))
    return balancer.ask(balancer.Options(min_healthy), world.subject(capacity=capacity))


def test_enough_healthy_targets_pass() -> None:
    """Otherwise no rollout ever gets traffic."""
    verdict = _ask(TargetHealth(healthy=2))
    assert (verdict.answer, verdict.summary) == ("pass", "2 targets healthy, 2 needed")


def test_one_unhealthy_target_fails_with_the_balancers_reason() -> None:
    """Otherwise a share of the customers lands on a broken host, and nobody says why."""
    verdict = _ask(TargetHealth(5, 1, 1, ("green-7: connection refused",)))
    assert (verdict.answer, "connection refused" in verdict.summary) == ("fail", True)


def test_targets_that_were_not_judged_yet_are_unknown() -> None:
    """Otherwise a host counts as healthy before the balancer has looked at it."""
    assert _ask(TargetHealth(healthy=5, unknown=1)).answer == "unknown"


def test_no_targets_at_all_fail() -> None:
    """Otherwise an empty list of targets counts as all of them being healthy."""
    assert _ask(TargetHealth(), capacity=0).answer == "fail"


def test_a_balancer_that_does_not_mention_the_slot_is_unknown() -> None:
    """Otherwise missing data decides."""
    assert _ask(None).answer == "unknown"


@pytest.mark.parametrize(("min_healthy", "answer"), [(None, "fail"), (4, "fail"), (3, "pass"), (1, "pass")])
def test_fewer_than_needed_fail(min_healthy: int | None, answer: str) -> None:
    """Otherwise the replacement takes all traffic with too few hosts."""
    assert _ask(TargetHealth(healthy=3), min_healthy, capacity=5).answer == answer


def test_without_a_capacity_one_target_is_still_needed() -> None:
    """Otherwise a need of nothing is met by nothing."""
    assert _ask(TargetHealth(healthy=1), capacity=0).evidence["needed"] == 1


@pytest.mark.parametrize(
    ("targets", "capacity", "severity"),
    [
        (TargetHealth(4, 1), 2, 0.2),
        (TargetHealth(2, 1, 1), 2, 0.5),
        (TargetHealth(1), 4, 0.75),
        (TargetHealth(1, 1), 4, 0.75),
        (TargetHealth(0, 3), 2, 1.0),
        (TargetHealth(), 0, 1.0),
    ],
)
def test_severity_is_the_share_of_targets_that_are_not_healthy(
    targets: TargetHealth, capacity: int, severity: float
) -> None:
    """Otherwise one sick host of many beside excuses a replacement of which nothing is healthy."""
    verdict = _ask(targets, capacity=capacity)
    assert (verdict.answer, verdict.severity) == ("fail", severity)


def test_counts_below_nothing_are_unknown() -> None:
    """Otherwise a broken reading adds up to a pass."""
    assert _ask(TargetHealth(healthy=5, unhealthy=-1)).answer == "unknown"


def test_reasons_are_bounded() -> None:
    """Otherwise a balancer with a thousand long reasons fills the journal."""
    verdict = _ask(TargetHealth(0, 1000, 0, tuple("x" * 10_000 for _ in range(1000))))
    assert len(verdict.evidence["reasons"]) == 20
    assert len(verdict.summary) < 1000
    assert all(len(reason) <= 200 for reason in verdict.evidence["reasons"])


def test_zero_healthy_targets_cannot_be_asked_for() -> None:
    """Otherwise a mistake in the configuration switches the check off."""
    with pytest.raises(ValueError, match="at least 1"):
        balancer.Options(min_healthy=0)

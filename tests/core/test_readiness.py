"""One rule says whether traffic may go back, for the engine and for the command at night."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rollout.readiness import Side, may_serve

FEW = st.integers(0, 6)
SIDES = st.builds(Side, FEW, FEW, FEW)
CAPACITIES = st.integers(1, 6)


@given(SIDES, SIDES, CAPACITIES, st.booleans())
def test_a_whole_original_may_always_serve(original: Side, replacement: Side, capacity: int, was: bool) -> None:
    """A healthy way back is refused because of something else that is seen."""
    assume(original.healthy >= capacity)
    assert may_serve(original, replacement, capacity, was_healthy=was) == (
        True,
        f"{original.healthy} of {capacity} healthy",
    )


@given(SIDES, CAPACITIES, st.integers(0, 6), st.booleans())
def test_a_dead_original_never_serves(replacement: Side, capacity: int, unhealthy: int, was: bool) -> None:
    """All users are sent to a side where every target is ill."""
    go, why = may_serve(Side(0, unhealthy), replacement, capacity, was_healthy=was)
    assert not go and why.startswith(f"0 of {capacity} healthy")


@given(SIDES, CAPACITIES, FEW, st.integers(1, 6))
def test_what_nobody_has_judged_is_trusted_only_if_it_was_whole_before(
    replacement: Side, capacity: int, healthy: int, unknown: int
) -> None:
    """A balancer that was just restarted blocks every way back, or an unproven side is trusted."""
    assume(healthy < capacity)
    original = Side(healthy, 0, unknown)
    assert may_serve(original, replacement, capacity, was_healthy=True)[0]
    go, why = may_serve(original, replacement, capacity, was_healthy=False)
    assert not go and f"{unknown} not judged yet; it was never seen healthy" in why


@given(SIDES, SIDES, CAPACITIES, st.booleans())
def test_traffic_never_goes_to_a_side_known_to_be_worse(
    original: Side, replacement: Side, capacity: int, was: bool
) -> None:
    """Users leave a side that serves for one that is known to serve fewer of them."""
    assume(original.healthy < capacity and (original.unhealthy or not original.unknown))
    go, why = may_serve(original, replacement, capacity, was_healthy=was)
    assert go == (0 < original.healthy >= replacement.healthy)
    assert why == f"{original.healthy} of {capacity} healthy, {replacement.healthy} on the other side"


@given(SIDES, SIDES, CAPACITIES)
def test_the_card_only_ever_helps(original: Side, replacement: Side, capacity: int) -> None:
    """A side is refused because it was healthy before."""
    without = may_serve(original, replacement, capacity, was_healthy=False)[0]
    assert may_serve(original, replacement, capacity, was_healthy=True)[0] or not without


@given(SIDES, SIDES, CAPACITIES)
def test_a_worse_replacement_never_closes_the_way_back(original: Side, replacement: Side, capacity: int) -> None:
    """The worse the patched side gets, the harder it is to leave it."""
    if may_serve(original, replacement, capacity, was_healthy=True)[0]:
        worse = replace(replacement, healthy=0)
        assert may_serve(original, worse, capacity, was_healthy=True)[0]


@given(SIDES, SIDES, CAPACITIES, st.booleans())
def test_one_more_healthy_target_never_closes_the_way_back(
    original: Side, replacement: Side, capacity: int, was: bool
) -> None:
    """A side that recovers is refused where it was accepted while it was ill."""
    if may_serve(original, replacement, capacity, was_healthy=was)[0]:
        better = replace(original, healthy=original.healthy + 1)
        assert may_serve(better, replacement, capacity, was_healthy=was)[0]


@pytest.mark.parametrize(
    ("original", "replacement", "go"),
    [
        (Side(2), Side(2), True),
        (Side(1, 1), Side(2), False),
        (Side(1, 1), Side(1, 1), True),
        (Side(1, 1, 3), Side(0), True),
        (Side(0, 1, 3), Side(0), False),
        (Side(0, 0, 2), Side(2), True),
        (Side(0), Side(0), False),
    ],
)
def test_examples(original: Side, replacement: Side, go: bool) -> None:
    """The rule reads well and does something else."""
    assert may_serve(original, replacement, 2, was_healthy=True)[0] is go


def test_the_rule_needs_nothing_that_can_be_broken() -> None:
    """The command at night cannot start because a library is not installed."""
    program = (
        "import sys; before = set(sys.modules); import rollout.readiness; "
        "print([name for name in set(sys.modules) - before "
        "if name.partition('.')[0] not in sys.stdlib_module_names | {'rollout'}])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "[]", done.stderr

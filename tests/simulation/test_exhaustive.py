"""One fault, or one person who acts, at calls to the outside: every invariant holds in every such run.

These are a part of the cases, spread evenly; `scripts/simulate` runs all of them.
"""

from __future__ import annotations

from itertools import islice

import pytest

from tests.simulation.exhaustive import STORIES, baseline, run, telling_cases

pytestmark = pytest.mark.simulation
PARTS = 8


@pytest.mark.parametrize("name", STORIES)
def test_undisturbed(name: str) -> None:
    """Without any fault a rollout already breaks a promise, or ends as it must not."""
    outcome = baseline(name)
    assert outcome.violation is None
    assert outcome.outcomes == [STORIES[name].ends]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", STORIES)
def test_every_call(name: str, part: int) -> None:
    """A crash, a lost answer, an edit or an emergency at one instant costs the user traffic, hosts or the truth."""
    every = 3 if name in ("good", "bad under traffic, no compare-and-set, cut") else 8
    for case in islice(telling_cases(name), part * every, None, PARTS * every):
        outcome = run(case)
        assert outcome.violation is None, f"{case}: {outcome.violation}\n" + "\n".join(outcome.trace[-40:])

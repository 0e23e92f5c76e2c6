"""Mutation tests: without any one of the rules, the simulation finds what goes wrong."""

from __future__ import annotations

import pytest

from tests.simulation.rules import RULES, caught, world_is_sound

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_switched_off_is_noticed(name: str) -> None:
    """A check that cannot fail proves nothing: a broken rule would reach the user unseen."""
    assert caught(RULES[name]) in RULES[name].caught_by


@pytest.mark.parametrize("name", RULES)
def test_with_the_rule_the_same_runs_hold(name: str) -> None:
    """If the same runs fail with the rule as well, the rule does not protect the user from them."""
    assert world_is_sound(RULES[name].runs) == ""

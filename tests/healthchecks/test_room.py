"""Room: what the platform foresees, as a verdict."""

from __future__ import annotations

import pytest

from healthchecks import room
from providers.base import Concern, Patch
from tests.healthchecks.fakes import NOW, World


def test_one_thing_that_blocks_is_enough() -> None:
    """Otherwise a rollout begins that cannot end well."""
    found = Concern("notice", "n"), Concern("unknown", "u"), Concern("blocks", "subnet-1 is full; add one")
    verdict = room.ask(room.Options(), World(concerns=found).subject("original"))
    assert (verdict.answer, verdict.severity) == ("fail", 1.0)
    assert "subnet-1 is full; add one" in verdict.summary
    assert verdict.evidence == {"blocks": ["subnet-1 is full; add one"], "unknown": ["u"], "notice": ["n"]}


def test_what_cannot_be_told_is_unknown() -> None:
    """Otherwise a missing permission is taken for room."""
    verdict = room.ask(room.Options(), World(concerns=[Concern("unknown", "denied")]).subject("original"))
    assert verdict.answer == "unknown" and "denied" in verdict.summary


def test_notices_pass_and_are_told() -> None:
    """Otherwise the scheduled action that ends the rollout is nowhere in its record."""
    verdict = room.ask(room.Options(), World(concerns=[Concern("notice", "nightly")] * 30).subject("original"))
    assert verdict.answer == "pass" and "30 to know of" in verdict.summary
    assert verdict.evidence["notice"] == ["nightly"] * room.SHOWN


def test_a_provider_that_knows_nothing_is_unknown_and_says_so() -> None:
    """Otherwise a check that can never answer passes, or nobody learns why it blocks."""
    verdict = room.ask(room.Options(), World(has_insight=False).subject("original"))
    assert verdict.answer == "unknown" and "provider fake knows nothing beyond" in verdict.summary


@pytest.mark.parametrize("role", ["original", "replacement"])
def test_it_asks_about_the_original_whichever_side_is_judged(role: str) -> None:
    """Otherwise room for the wrong side is looked for."""
    world = World()
    room.ask(room.Options(ahead_s=60.0), world.subject(role))  # type: ignore[arg-type]
    ((call, original, patch, capacity, until),) = world.asked
    assert (call, original, capacity, until) == ("foresee", "blue", 2, NOW + 60)
    assert isinstance(patch, Patch)


def test_two_checks_in_one_tick_read_once() -> None:
    """Otherwise each check costs the platform another round of calls."""
    world = World()
    subject = world.subject("original")
    assert room.ask(room.Options(), subject) == room.ask(room.Options(), subject)
    assert len(world.asked) == 1

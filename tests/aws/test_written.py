"""Weights that were written a moment ago, and that AWS does not show yet, are nobody's edit."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.aws.cloud import Place
from providers.aws.written import KEPT, SHOWN_WITHIN_S, Written
from providers.base import HoldMark, Route, Transient, Weights, weights_for
from providers.memory.clock import VirtualClock
from tests.aws.fault_kit import story

HERE, THERE = Place("eu-central-1"), Place("eu-west-1")
OLD, NEW = weights_for("blue", 100), weights_for("blue", 50)
MARK = HoldMark("r", 1, "blue", "oncall", 1.0)


def shown(weights: Weights, mark: HoldMark | None = None) -> Route:
    """What AWS answers."""
    return Route(weights=dict(weights), revision="1", mark=mark)


@pytest.fixture
def clock() -> VirtualClock:
    """Moved by the test alone."""
    return VirtualClock()


@pytest.fixture
def written(clock: VirtualClock) -> Written:
    """All traffic was on blue, and half of it was moved just now."""
    made = Written(clock)
    made.note(HERE, "shop", OLD, NEW)
    return made


def test_what_was_there_before_may_be_shown_for_a_while(written: Written, clock: VirtualClock) -> None:
    """A sound rollout halts, and people are woken, because AWS was slow to show its own answer."""
    assert written.is_behind(HERE, "shop", shown(OLD))
    clock.sleep(SHOWN_WITHIN_S)
    assert not written.is_behind(HERE, "shop", shown(OLD)), "then it is a person's word"


def test_nothing_else_is_taken_for_it(written: Written) -> None:
    """A person's edit, or a rollback, is waited out."""
    assert not written.is_behind(HERE, "shop", shown(NEW))
    assert not written.is_behind(HERE, "shop", shown(weights_for("blue", 70)))
    assert not written.is_behind(HERE, "shop", shown(OLD, MARK)), "somebody put it back, and says so"
    assert not written.is_behind(THERE, "shop", shown(OLD)) and not written.is_behind(HERE, "web", shown(OLD))


def test_a_write_that_changed_nothing_makes_nothing_doubtful(written: Written) -> None:
    """Each repeated write has the next looks wait."""
    written.note(HERE, "shop", NEW, NEW)
    assert not written.is_behind(HERE, "shop", shown(OLD)) and not written.is_behind(HERE, "shop", shown(NEW))


def test_what_is_remembered_has_an_end(clock: VirtualClock) -> None:
    """A process that runs for a year holds every service that there ever was."""
    written = Written(clock)
    for number in range(KEPT + 1):
        written.note(HERE, f"s{number}", OLD, NEW)
    assert not written.is_behind(HERE, "s0", shown(OLD)) and written.is_behind(HERE, "s1", shown(OLD))


def test_a_person_who_puts_the_weights_of_before_back_is_heard_all_the_same(tmp_path: Path) -> None:
    """Traffic that somebody put back by hand, in the very seconds after a step, is moved forward again."""
    with story(tmp_path) as shop:
        shop.open()
        shop.drive(lambda row: shop.shares()["green"] == 50)
        shop.edit(blue=100)
        with pytest.raises(Transient, match="a moment ago"):
            shop.provider.traffic.route(shop.service)
        row = shop.drive(watched=False)
        assert row.outcome == "halted" and "someone else changed the route" in shop.told, shop.told
        assert shop.shares() == {"blue": 100, "green": 0}

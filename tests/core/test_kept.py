"""The way back is kept with the traffic itself, where the platform can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from providers.base import Denied, ProviderError, Service
from rollout import acts
from rollout.news import news_of
from rollout.telling import sentence
from tests.core.scene import World


class Keeping:
    """The simulated balancer, which can keep a card besides; `error` is what it answers."""

    def __init__(self, traffic: Any) -> None:
        self._traffic = traffic
        self.kept: list[tuple[str, Mapping[str, Any], str]] = []
        self.error: ProviderError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._traffic, name)

    def keep_card(self, service: Service, card: Mapping[str, Any], token: str) -> None:
        """As a platform would."""
        if self.error:
            raise self.error
        self.kept.append((service.name, card, token))


@pytest.fixture
def keeping(world: World) -> Keeping:
    """A platform that keeps cards, and a rollout that has captured its original."""
    found = Keeping(world.provider.traffic)
    world.means = replace(world.means, provider=replace(world.provider, traffic=found))
    world.past_capture()
    return found


def test_a_card_is_kept_with_the_traffic(world: World, keeping: Keeping) -> None:
    """Whoever has a laptop and credentials only cannot put traffic back at night."""
    run = world.later()
    run.once(acts.write_card(run))
    card = world.cards.read("shop")
    ((service, kept, token),) = keeping.kept
    assert card is not None and service == "shop" and token.endswith("-kept")
    assert {**kept, "app_version": None} == {**card.to_json(), "app_version": None}


def test_it_is_written_again_only_when_it_changed(world: World, keeping: Keeping) -> None:
    """Every look at a warm side costs a call that another service needs."""
    run = world.later()
    run.once(acts.write_card(run))
    run = world.later()
    run.once(acts.write_card(run, "card:1"))
    assert len(keeping.kept) == 1, "nothing but the epoch is new"
    run.once(acts.write_card(run, "promote", valid_for_s=60.0))
    run.once(acts.write_card(run, "card:closed", closed="retired"))
    assert [card["closed"] for _, card, _ in keeping.kept] == ["", "", "retired"]


def test_what_cannot_be_kept_is_told_once_and_stops_nothing(world: World, keeping: Keeping) -> None:
    """A missing permission for tags keeps patches out, or nobody learns that the laptop would find nothing."""
    keeping.error = Denied("AccessDenied: AddTags")
    run = world.later()
    run.once(acts.write_card(run))
    run.once(acts.write_card(run, "promote", valid_for_s=60.0))
    assert world.cards.read("shop") is not None and keeping.kept == []
    (warned,) = [entry for entry in world.journal.entries if entry.kind == "warned"]
    assert "AddTags" in str(sentence(warned)) and news_of(warned) == "way_back_weak"
    keeping.error = None
    run = world.later()
    run.once(acts.write_card(run, "card:closed", closed="retired"))
    (cleared,) = [entry for entry in world.journal.entries if entry.kind == "cleared"]
    assert "kept with the traffic" in str(sentence(cleared)) and len(keeping.kept) == 1


def test_a_platform_that_keeps_no_cards_is_asked_nothing(world: World) -> None:
    """A rollout on one's own machine ends at a method that is not there."""
    world.past_capture()
    run = world.later()
    run.once(acts.write_card(run))
    assert not [entry for entry in world.journal.entries if entry.kind == "warned"]

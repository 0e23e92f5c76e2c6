"""Every provider, whole rollouts: blue and green are labels, so the way back to blue is the same way."""

from __future__ import annotations

from providers.base import SLOTS, Environment, Slot, other
from tests.providers.contract.steps import Drive


def _swap(shop: Drive, into: Slot, image: str, owner: str) -> None:
    """One rollout, with what must hold on the way."""
    original = other(into)
    before = shop.slots()[original]
    shop.compute.mirror(shop.service, original, into, image, owner, shop.token())
    for slot in SLOTS:
        shop.compute.set_floor(shop.service, slot, before.capacity, shop.token())
    shop.compute.scale(shop.service, into, before.capacity, shop.token())
    shop.settle(lambda: len(shop.running(into)) == before.capacity, f"{into} never ran at full capacity")
    shop.attach(into)
    for percent in shop.harness.steps:
        shop.move(into, percent)
        assert shop.healthy(original) == shop.healthy(into) == before.capacity
    assert shop.slots()[into].fingerprint == before.fingerprint


def test_two_rollouts_in_a_row(shop: Drive) -> None:
    """Otherwise the first rollout works and the second, a month later, does not."""
    base, patched = shop.harness.base_image, shop.harness.patched_image
    fingerprint = shop.slots()["blue"].fingerprint

    _swap(shop, "green", patched, "rollout-1")
    assert shop.retire("blue", "rollout-1") is False, "blue is the user's, so it is parked"
    assert shop.route().active == "green"
    assert shop.harness.existing(shop.service) == {"blue", "green"}

    _swap(shop, "blue", base, "rollout-2")
    assert shop.retire("green", "rollout-1") is True, "green is the first rollout's, so it is deleted"
    assert shop.route().active == "blue"
    assert shop.harness.existing(shop.service) == {"blue"}
    blue = shop.slots()["blue"]
    assert (blue.image, blue.capacity, blue.owner, blue.fingerprint) == (base, 2, None, fingerprint)
    assert shop.slots()["green"] == Environment("green")
    assert shop.healthy("blue") == 2


def test_going_back_in_the_middle_leaves_things_as_they_were(shop: Drive) -> None:
    """Otherwise a rollout that was turned back has changed the service all the same."""
    slots, weights = shop.slots(), shop.route().weights
    shop.stand_beside("blue", "green", shop.harness.patched_image, "rollout-1")
    shop.move("green", shop.harness.part)
    shop.move("blue", 100)
    assert shop.retire("green", "rollout-1") is True
    assert (shop.slots(), shop.route().weights) == (slots, weights)
    assert shop.healthy("blue") == 2

"""Every provider's Compute: mirrors are faithful, floors hold, nobody else's things are deleted."""

from __future__ import annotations

import pytest

from providers.base import SLOTS, Environment, Invalid, NotFound, Size
from tests.providers.contract.steps import Drive
from tests.providers.harness import Harness


def test_describe_names_both_slots(shop: Drive) -> None:
    """Otherwise a plan cannot say what it starts from."""
    slots = shop.slots()
    assert set(slots) == set(SLOTS)
    blue = slots["blue"]
    assert (blue.slot, blue.image, blue.capacity, blue.owner) == ("blue", shop.harness.base_image, 2, None)
    assert blue.exists and blue.fingerprint
    assert slots["green"] == Environment("green")


def test_sizes_say_what_describe_says_of_them(shop: Drive) -> None:
    """Otherwise floors are kept by figures that are not those of the slots."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    shop.compute.set_floor(shop.service, "blue", 1, shop.token())
    described, sizes = shop.slots(), shop.compute.sizes(shop.service)
    assert set(sizes) == set(SLOTS)
    for slot, size in sizes.items():
        seen = described[slot]
        assert size == Size(seen.exists, seen.capacity, seen.floor, len(shop.instances(slot)), seen.owner)
    assert (sizes["blue"].floor, sizes["green"].owner, sizes["green"].alive) == (1, "rollout-1", 2)


def test_the_size_of_an_absent_slot_is_nothing(shop: Drive) -> None:
    """Otherwise a standby that does not exist is waited for, or given up."""
    assert shop.compute.sizes(shop.service)["green"] == Size()


def test_observe_gives_the_instances_of_all_named_services(harness: Harness) -> None:
    """Otherwise watching a fleet takes one call for each service, and is throttled."""
    shop, till = harness.service("shop"), harness.service("till", capacity=1)
    found = harness.provider.compute.observe([shop, till])
    assert {name: len(instances) for name, instances in found.items()} == {"shop": 2, "till": 1}
    assert len({instance.id for instances in found.values() for instance in instances}) == 3
    for instance in found["shop"]:
        assert (instance.slot, instance.state, instance.image) == ("blue", "running", harness.base_image)
        assert ":" in instance.address and instance.started_at is not None


def test_mirror_is_the_same_but_for_the_image(shop: Drive) -> None:
    """Otherwise a rollout changes more than the patch, and nobody knows what broke."""
    shop.compute.mirror(shop.service, "blue", "green", shop.harness.patched_image, "rollout-1", shop.token())
    blue, green = shop.slots()["blue"], shop.slots()["green"]
    assert green.image == shop.harness.patched_image
    assert green.fingerprint == blue.fingerprint
    assert green.app_version == blue.app_version
    assert (green.capacity, green.floor, green.owner) == (0, 0, "rollout-1")
    assert shop.instances("green") == []
    assert shop.harness.existing(shop.service) == {"blue", "green"}


def test_mirror_leaves_the_original_alone(shop: Drive) -> None:
    """Otherwise preparing a rollout already disturbs what serves."""
    before, instances = shop.slots()["blue"], shop.instances("blue")
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    assert (shop.slots()["blue"], shop.instances("blue")) == (before, instances)
    assert shop.route().weights == {"blue": 100, "green": 0}


def test_mirror_runs_its_image(shop: Drive) -> None:
    """Otherwise the side that was proven is not the one that was asked for."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    assert {instance.image for instance in shop.running("green")} == {shop.harness.patched_image}


def test_capacity_follows(shop: Drive) -> None:
    """Otherwise the replacement cannot be made as large as what it replaces."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1", capacity=3)
    assert shop.slots()["green"].capacity == 3
    shop.compute.scale(shop.service, "green", 1, shop.token())
    shop.settle(lambda: len(shop.instances("green")) == 1, "green never shrank to one instance")


def test_nothing_shrinks_below_a_floor(shop: Drive) -> None:
    """Otherwise the side that a rollback needs is too small by the time it is needed."""
    shop.compute.set_floor(shop.service, "blue", 2, shop.token())
    assert shop.slots()["blue"].floor == 2
    with pytest.raises(Invalid, match="floor"):
        shop.compute.scale(shop.service, "blue", 1, shop.token())
    assert shop.slots()["blue"].capacity == 2
    shop.compute.scale(shop.service, "blue", 3, shop.token())
    assert shop.slots()["blue"].capacity == 3


def test_a_lifted_floor_lets_it_shrink(shop: Drive) -> None:
    """Otherwise a pin outlives its rollout, and the user pays for idle hosts."""
    shop.compute.set_floor(shop.service, "blue", 2, shop.token())
    shop.compute.set_floor(shop.service, "blue", 1, shop.token())
    shop.compute.scale(shop.service, "blue", 1, shop.token())
    assert (shop.slots()["blue"].floor, shop.slots()["blue"].capacity) == (1, 1)


def test_delete_never_touches_what_is_the_users(shop: Drive) -> None:
    """Otherwise we delete an environment that somebody else's code owns."""
    before = shop.state()
    assert shop.compute.delete_if_owned(shop.service, "blue", "rollout-1", shop.token()) is False
    assert shop.state() == before


def test_delete_needs_the_right_owner(shop: Drive) -> None:
    """Otherwise one rollout deletes another's environment."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    before = shop.state()
    assert shop.compute.delete_if_owned(shop.service, "green", "rollout-2", shop.token()) is False
    assert shop.state() == before


def test_delete_removes_what_is_ours(shop: Drive) -> None:
    """Otherwise each rollout leaves an orphan that costs money."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    assert shop.compute.delete_if_owned(shop.service, "green", "rollout-1", shop.token()) is True
    shop.settle(lambda: shop.harness.existing(shop.service) == {"blue"}, "green was never gone")
    assert shop.slots()["green"] == Environment("green")
    assert shop.instances("green") == []


def test_delete_of_nothing_is_no_delete(shop: Drive) -> None:
    """Otherwise a resumed retire stops at what is already gone."""
    assert shop.compute.delete_if_owned(shop.service, "green", "rollout-1", shop.token()) is False


def test_park_keeps_the_environment(shop: Drive) -> None:
    """Otherwise a permanent slot is lost when it is given up."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    shop.compute.set_floor(shop.service, "green", 2, shop.token())
    shop.compute.park(shop.service, "green", shop.token())
    shop.settle(lambda: shop.instances("green") == [], "green kept instances after it was parked")
    green = shop.slots()["green"]
    assert green.exists and (green.capacity, green.floor) == (0, 0)
    assert shop.harness.existing(shop.service) == {"blue", "green"}


def test_a_mirror_into_a_users_slot_stays_the_users(shop: Drive) -> None:
    """Otherwise the second rollout makes the user's own environment ours, and the third deletes it."""
    shop.stand_beside("blue", "green", shop.harness.patched_image, "rollout-1")
    shop.move("green", 100)
    shop.retire("blue", "rollout-1")
    shop.compute.mirror(shop.service, "green", "blue", shop.harness.base_image, "rollout-2", shop.token())
    assert shop.slots()["blue"].owner is None
    assert shop.compute.delete_if_owned(shop.service, "blue", "rollout-2", shop.token()) is False


def test_a_death_is_seen(mirrored: Drive) -> None:
    """Otherwise a rollout goes on with fewer hosts than it counts on."""
    victim = mirrored.running("green")[0]
    mirrored.harness.kill(mirrored.service, victim)
    mirrored.settle(
        lambda: victim.id not in {instance.id for instance in mirrored.running("green")},
        "a killed instance was still said to be running",
    )
    dead = [instance for instance in mirrored.instances("green") if instance.id == victim.id]
    assert [instance.own_fault for instance in dead] in ([], [False]), "its image is not to blame"


def test_mirror_of_an_unknown_image_changes_nothing(shop: Drive) -> None:
    """Otherwise a typing error leaves half a mirror behind."""
    before = shop.state()
    with pytest.raises((NotFound, Invalid)):
        shop.compute.mirror(shop.service, "blue", "green", "no-such-image", "rollout-1", shop.token())
    assert shop.state() == before


def test_an_unknown_service_is_not_found(harness: Harness) -> None:
    """Otherwise a typing error looks like a service that has nothing."""
    with pytest.raises(NotFound):
        harness.provider.compute.describe(harness.unknown_service())
    with pytest.raises(NotFound):
        harness.provider.compute.scale(harness.unknown_service(), "blue", 1, "a-token")

"""Every provider's Traffic: weights move when asked and only as asked; people's edits are noticed."""

from __future__ import annotations

import json

import pytest

from providers.base import SLOTS, Conflict, HoldMark, Invalid, NotFound, Parts, weights_for
from tests.providers.contract.steps import Drive
from tests.providers.harness import Harness

MARK = HoldMark("rollout-1", 3, "blue", "ana", 1_767_225_600.0, "errors since the last step")


def test_route_is_complete(shop: Drive) -> None:
    """Otherwise nobody can say where traffic goes."""
    route = shop.route()
    assert route.weights == {"blue": 100, "green": 0}
    assert (route.active, route.mark) == ("blue", None)
    assert route.revision


def test_reading_is_complete(shop: Drive) -> None:
    """Otherwise a gate has nothing to judge."""
    reading = shop.reading()
    assert set(reading.targets) == set(reading.counters) == set(SLOTS)
    assert reading.route.weights == {"blue": 100, "green": 0}
    assert reading.targets["blue"].healthy == reading.targets["blue"].total == 2
    assert reading.targets["green"].total == 0
    assert reading.counters_id and reading.at > 0


@pytest.mark.parametrize(
    "parts",
    [
        Parts(targets=(), counters=()),
        Parts(route=False, targets=("green",), counters=()),
        Parts(route=False, targets=(), counters=("blue",)),
        Parts(targets=("blue", "green"), counters=()),
    ],
)
def test_a_part_says_what_the_whole_says(mirrored: Drive, parts: Parts) -> None:
    """Otherwise what is awaited comes true where nobody sees it, or is seen where it has not."""
    whole, part = mirrored.reading(), mirrored.traffic.observe([mirrored.service], parts)[mirrored.service.name]
    assert not parts.route or part.route == whole.route
    assert {slot: part.targets[slot] for slot in parts.targets} == {slot: whole.targets[slot] for slot in parts.targets}
    assert set(parts.counters) & set(whole.counters) <= set(part.counters)
    assert part.at > 0


def test_reading_covers_all_named_services(harness: Harness) -> None:
    """Otherwise watching a fleet takes one call for each service, and is throttled."""
    services = [harness.service("shop"), harness.service("till", capacity=1)]
    found = harness.provider.traffic.observe(services)
    assert {name: reading.targets["blue"].total for name, reading in found.items()} == {"shop": 2, "till": 1}


def test_a_mirror_becomes_healthy_before_it_has_traffic(mirrored: Drive) -> None:
    """Otherwise the first client finds out whether the replacement works."""
    reading = mirrored.reading()
    assert reading.targets["green"].healthy == 2
    assert reading.route.share("green") == 0


def test_traffic_moves_step_by_step_and_is_observed(mirrored: Drive) -> None:
    """Otherwise a canary is none."""
    for percent in mirrored.harness.steps:
        moved = mirrored.move("green", percent)
        assert moved.weights == mirrored.route().weights == weights_for("green", percent)
    assert mirrored.route().active == "green"


def test_counters_only_grow(mirrored: Drive) -> None:
    """Otherwise a gate computes error rates from negative requests."""
    before = mirrored.reading()
    mirrored.move("green", mirrored.harness.part)
    after = mirrored.reading()
    if before.counters_id == after.counters_id:
        for slot in SLOTS:
            assert after.counters[slot].requests >= before.counters[slot].requests
            assert after.counters[slot].failed >= before.counters[slot].failed


def test_a_route_read_before_a_persons_edit_is_refused(mirrored: Drive) -> None:
    """Otherwise a person's edit is overwritten without a word."""
    if not mirrored.harness.has_cas:
        pytest.skip("this platform has no compare-and-set; the engine reads back instead")
    seen = mirrored.route()
    mirrored.harness.edit_route(mirrored.service, mirrored.harness.by_hand)
    wanted = weights_for("green", mirrored.harness.part)
    with pytest.raises(Conflict):
        mirrored.traffic.set_weights(mirrored.service, wanted, seen, mirrored.token())
    assert mirrored.route().weights == mirrored.harness.by_hand


def test_the_same_weights_again_fence_what_is_on_its_way(mirrored: Drive) -> None:
    """Otherwise a write that was given up for lost lands after the rollback that was to outlast it."""
    if not mirrored.harness.has_cas:
        pytest.skip("this platform has no compare-and-set; the engine reads back instead")
    seen, token = mirrored.route(), mirrored.token()
    again = mirrored.traffic.set_weights(mirrored.service, seen.weights, seen, token)
    assert again.weights == seen.weights and again.revision != seen.revision
    assert mirrored.route() == again
    with pytest.raises(Conflict):
        mirrored.traffic.set_weights(mirrored.service, {"blue": 0, "green": 100}, seen, mirrored.token())
    assert mirrored.traffic.set_weights(mirrored.service, seen.weights, seen, token) == again
    assert mirrored.route() == again


def test_a_persons_edit_is_seen(mirrored: Drive) -> None:
    """Otherwise the engine works against a person who knows better."""
    before = mirrored.route()
    mirrored.harness.edit_route(mirrored.service, mirrored.harness.by_hand)
    assert mirrored.route().weights == mirrored.harness.by_hand
    if mirrored.harness.has_cas:
        assert mirrored.route().revision != before.revision


@pytest.mark.parametrize("blue, green", [(0, 0), (60, 60), (50, 40), (110, -10)])
def test_the_route_is_never_empty_or_overfull(mirrored: Drive, blue: int, green: int) -> None:
    """Otherwise a typing error takes the service down."""
    with pytest.raises(Invalid):
        mirrored.traffic.set_weights(
            mirrored.service, {"blue": blue, "green": green}, mirrored.route(), mirrored.token()
        )
    assert mirrored.route().weights == {"blue": 100, "green": 0}


def test_no_weight_for_a_slot_outside_the_route(shop: Drive) -> None:
    """Otherwise clients are sent to where nobody ever looked whether it is healthy."""
    shop.mirror("blue", "green", shop.harness.patched_image, "rollout-1")
    with pytest.raises(Invalid, match="attach"):
        shop.traffic.set_weights(shop.service, weights_for("green", shop.harness.part), shop.route(), shop.token())
    assert shop.route().weights == {"blue": 100, "green": 0}


def test_a_slot_with_weight_is_not_detached(mirrored: Drive) -> None:
    """Otherwise retiring the wrong side is an outage."""
    mirrored.move("green", mirrored.harness.part)
    for slot in [slot for slot in SLOTS if mirrored.route().share(slot)]:
        with pytest.raises(Invalid):
            mirrored.traffic.detach(mirrored.service, slot, mirrored.token())
    assert mirrored.reading().targets["green"].healthy == 2


def test_a_slot_with_weight_is_not_deleted(mirrored: Drive) -> None:
    """Otherwise a rollout's clean-up deletes what serves."""
    mirrored.move("green", mirrored.harness.part)
    with pytest.raises(Invalid):
        mirrored.compute.delete_if_owned(mirrored.service, "green", "rollout-1", mirrored.token())
    assert "green" in mirrored.harness.existing(mirrored.service)


def test_a_detached_slot_has_no_targets(mirrored: Drive) -> None:
    """Otherwise traffic could come back to a side that was given up."""
    mirrored.traffic.detach(mirrored.service, "green", mirrored.token())
    mirrored.settle(lambda: mirrored.reading().targets["green"].total == 0, "green kept its targets")
    with pytest.raises(Invalid):
        mirrored.traffic.set_weights(
            mirrored.service, weights_for("green", mirrored.harness.part), mirrored.route(), mirrored.token()
        )


def test_attach_names_exactly_the_targets(mirrored: Drive) -> None:
    """Otherwise a host that was taken out goes on getting requests."""
    one = mirrored.running("green")[:1]
    mirrored.traffic.attach(mirrored.service, "green", one, mirrored.token())
    if mirrored.harness.exact_targets:
        mirrored.settle(lambda: mirrored.reading().targets["green"].total == 1, "green kept a target too many")
    else:
        mirrored.settle(lambda: mirrored.healthy("green") == 2, "a host that the platform keeps in service was lost")


def test_a_dead_target_is_no_longer_healthy(mirrored: Drive) -> None:
    """Otherwise the live gate passes a side that is dying."""
    mirrored.harness.kill(mirrored.service, mirrored.running("green")[0])
    mirrored.settle(lambda: mirrored.healthy("green") < 2, "the balancer never noticed a dead target")
    assert mirrored.route().weights == {"blue": 100, "green": 0}


def test_a_hold_mark_travels_with_the_traffic(shop: Drive) -> None:
    """Otherwise an engine that was away undoes an emergency rollback."""
    shop.traffic.mark(shop.service, MARK, shop.token())
    assert shop.route().mark == MARK
    shop.settle(lambda: shop.reading().route.mark == MARK, "the mark was never observed")
    shop.traffic.mark(shop.service, None, shop.token())
    assert shop.route().mark is None
    assert shop.route().weights == {"blue": 100, "green": 0}


def test_a_hold_mark_survives_a_change_of_weights(mirrored: Drive) -> None:
    """Otherwise the next write, whoever makes it, wipes the mark out."""
    mirrored.traffic.mark(mirrored.service, MARK, mirrored.token())
    mirrored.move("green", mirrored.harness.part)
    assert mirrored.route().mark == MARK


def test_cut_leaves_nothing_lingering(mirrored: Drive) -> None:
    """Otherwise old connections stay on a side that was called bad."""
    mirrored.move("green", 100)
    mirrored.move("blue", 100)
    assert mirrored.traffic.cut(mirrored.service, "green", mirrored.token()) >= 0
    mirrored.settle(lambda: mirrored.reading().counters["green"].in_flight == 0, "connections stayed on green")


def test_the_test_route_reaches_only_its_slot(mirrored: Drive) -> None:
    """Otherwise checks pass on the old side's answers."""
    if not mirrored.harness.has_test_route:
        with pytest.raises(Invalid):
            mirrored.traffic.test_route(mirrored.service, "green")
        pytest.skip("nothing of this service can be asked before it has traffic; the provider says so")
    for slot in SLOTS:
        way_in = mirrored.traffic.test_route(mirrored.service, slot)
        assert {mirrored.harness.reached(way_in) for _ in range(4)} == {slot}


def test_the_card_target_is_plain_data(shop: Drive) -> None:
    """Otherwise a rollback card cannot be written to a file."""
    target = shop.traffic.card_target(shop.service)
    assert json.loads(json.dumps(target)) == target


def test_an_unknown_service_is_not_found(harness: Harness) -> None:
    """Otherwise a typing error looks like a service without traffic."""
    with pytest.raises(NotFound):
        harness.provider.traffic.route(harness.unknown_service())

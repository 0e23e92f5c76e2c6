"""Every provider's Patcher and Inventory: what was pinned is what runs, host by host."""

from __future__ import annotations

import pytest

from providers.base import Invalid, NotFound, Patch, plain
from tests.providers.contract.steps import Drive


def test_a_reference_is_pinned(shop: Drive) -> None:
    """Otherwise hosts that launch tomorrow run something else than what was proven."""
    patch = shop.patcher.resolve(shop.service, shop.harness.reference)
    assert patch.reference == shop.harness.reference
    assert patch.image == shop.harness.patched_image
    assert shop.patcher.resolve(shop.service, patch.image).images == patch.images
    assert Patch.from_json(plain(patch)) == patch


def test_an_unknown_reference_lists_the_known(shop: Drive) -> None:
    """Otherwise a person at night has to look up what can be rolled out."""
    with pytest.raises(NotFound) as error:
        shop.patcher.resolve(shop.service, "no-such-image")
    assert "no-such-image" in str(error.value)
    assert shop.harness.reference in str(error.value)


def test_apply_has_the_patch_on_the_standby(mirrored: Drive) -> None:
    """Otherwise the rollout moves traffic to what it never patched."""
    patch = mirrored.patcher.resolve(mirrored.service, mirrored.harness.reference)
    applied = mirrored.patcher.apply(mirrored.service, "green", patch, mirrored.token())
    assert applied.reboot_needed in (True, False, None)
    assert mirrored.slots()["green"].image == patch.image


def test_nothing_that_serves_is_patched(mirrored: Drive) -> None:
    """Otherwise a live system is changed, which is the one thing this program never does."""
    patch = mirrored.patcher.resolve(mirrored.service, mirrored.harness.reference)
    with pytest.raises(Invalid):
        mirrored.patcher.apply(mirrored.service, "blue", patch, mirrored.token())
    with pytest.raises(Invalid):
        mirrored.patcher.reboot(mirrored.service, "blue", mirrored.token())
    assert mirrored.slots()["blue"].image == mirrored.harness.base_image


def test_inventory_has_one_entry_for_each_instance(mirrored: Drive) -> None:
    """Otherwise a host that nobody looked at counts as patched."""
    for slot in mirrored.slots():
        hosts = mirrored.inventory.read(mirrored.service, slot)
        assert sorted(host.host for host in hosts) == sorted(i.id for i in mirrored.instances(slot))


def test_inventory_shows_what_the_patch_changed(mirrored: Drive) -> None:
    """Otherwise no gain in security can be proven."""
    blue = {host.packages for host in mirrored.inventory.read(mirrored.service, "blue")}
    green = {host.packages for host in mirrored.inventory.read(mirrored.service, "green")}
    assert None not in blue | green
    assert blue.isdisjoint(green)
    assert all(purl.startswith("pkg:") for packages in blue | green for purl in packages or ())
    images = {host.image for host in mirrored.inventory.read(mirrored.service, "green")}
    assert images == {mirrored.harness.patched_image}

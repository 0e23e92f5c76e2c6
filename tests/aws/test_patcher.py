from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from providers.base import Invalid, Patch, Provider, Service
from tests.aws.account import Account, in_process, open_provider


@dataclass
class Shop:
    account: Account
    provider: Provider
    service: Service

    def mirrored(self, name: str) -> Patch:
        """Green mirrors blue with this image."""
        patch = self.provider.patcher.resolve(self.service, self.account.images[name])
        self.provider.compute.mirror(self.service, "blue", "green", patch.image, "owner", f"mirror-{name}")
        return patch


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A service whose standby is there for good."""
    with in_process() as account:
        service = account.service(on_demand=False)
        yield Shop(account, open_provider(tmp_path), service)


def test_an_image_needs_no_reboot_and_leaves_evidence(shop: Shop) -> None:
    """Otherwise hosts that were just booted are rebooted, and nobody can see what was patched."""
    applied = shop.provider.patcher.apply(shop.service, "green", shop.mirrored("base-2"), "patch-1")
    assert applied.reboot_needed is False
    assert applied.evidence == {"image": shop.account.images["base-2"], "group": "shop-green"}


def test_a_slot_that_is_not_the_mirror_is_not_taken_for_patched(shop: Shop) -> None:
    """Otherwise traffic moves to what has no patch."""
    patch = shop.mirrored("base-2")
    shop.mirrored("base-1")
    with pytest.raises(Invalid, match="not the mirror any more"):
        shop.provider.patcher.apply(shop.service, "green", patch, "patch-1")


def test_an_empty_standby_can_be_rebooted(shop: Shop) -> None:
    """Otherwise a step that has nothing to do ends a rollout."""
    shop.mirrored("base-2")
    shop.provider.patcher.reboot(shop.service, "green", "reboot-1")

"""Every provider's writes: the same token with the same arguments is the same write, however often it arrives."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from providers.base import HoldMark, weights_for
from tests.providers.contract.steps import Drive

MARK = HoldMark("rollout-1", 3, "blue", "ana", 1_767_225_600.0)
Write = Callable[[Drive, str], object]


def _weights(shop: Drive) -> Callable[[str], object]:
    expected = shop.route()
    wanted = weights_for("green", shop.harness.part)
    return lambda token: shop.traffic.set_weights(shop.service, wanted, expected, token).weights


WRITES: dict[str, Callable[[Drive], Callable[[str], object]]] = {
    "mirror": lambda s: (
        lambda token: s.compute.mirror(s.service, "blue", "green", s.harness.patched_image, "rollout-1", token)
    ),
    "set_floor": lambda s: lambda token: s.compute.set_floor(s.service, "green", 1, token),
    "scale": lambda s: lambda token: s.compute.scale(s.service, "green", 3, token),
    "park": lambda s: lambda token: s.compute.park(s.service, "green", token),
    "delete_if_owned": lambda s: lambda token: s.compute.delete_if_owned(s.service, "green", "rollout-1", token),
    "attach": lambda s: (lambda found: lambda token: s.traffic.attach(s.service, "green", found, token))(
        s.running("green")
    ),
    "set_weights": _weights,
    "detach": lambda s: lambda token: s.traffic.detach(s.service, "green", token),
    "mark": lambda s: lambda token: s.traffic.mark(s.service, MARK, token),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_repeated_write_has_no_second_effect(mirrored: Drive, name: str) -> None:
    """Otherwise a retry after a lost reply does things twice."""
    write, token = WRITES[name](mirrored), mirrored.token()
    first = write(token)
    mirrored.settle(lambda: len(mirrored.running("green")) == mirrored.slots()["green"].capacity, "green is restless")
    before = mirrored.state()
    assert write(token) == first
    assert mirrored.state() == before


def test_a_repeated_mirror_keeps_what_was_done_since(shop: Drive) -> None:
    """Otherwise a job that is resumed late empties the mirror that another one has filled."""
    image, token = shop.harness.patched_image, shop.token()
    shop.compute.mirror(shop.service, "blue", "green", image, "rollout-1", token)
    shop.compute.scale(shop.service, "green", 2, shop.token())
    shop.settle(lambda: len(shop.running("green")) == 2, "green never had two running instances")
    before = shop.state()
    shop.compute.mirror(shop.service, "blue", "green", image, "rollout-1", token)
    assert shop.state() == before


def test_a_repeated_patch_and_reboot(mirrored: Drive) -> None:
    """Otherwise a retry patches, or restarts, a standby twice."""
    patch = mirrored.patcher.resolve(mirrored.service, mirrored.harness.reference)
    token, again = mirrored.token(), mirrored.token()
    first = mirrored.patcher.apply(mirrored.service, "green", patch, token)
    mirrored.patcher.reboot(mirrored.service, "green", again)
    mirrored.settle(lambda: len(mirrored.running("green")) == 2, "green never came back")
    before = mirrored.state()
    assert mirrored.patcher.apply(mirrored.service, "green", patch, token) == first
    mirrored.patcher.reboot(mirrored.service, "green", again)
    assert mirrored.state() == before
    assert len(mirrored.running("green")) == 2

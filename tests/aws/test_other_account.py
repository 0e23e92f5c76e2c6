"""An image of another account: launched where that one lets this one, and else refused before anything is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from providers.base import Denied, Invalid, NotFound, Patch, Provider, ProviderError, Service
from tests.aws.account import Account, in_process, open_provider
from tests.aws.compute_kit import OWNER as OURS
from tests.aws.neighbour import GRANT, HERE, IMAGE, KEY, NAME, OWNER, SERVICE_ROLE, Neighbour
from tests.aws.wire import wire

REFERENCES = (IMAGE, f"name:{OWNER}/{NAME}", "ssm:/golden/web")


@dataclass
class Shop:
    account: Account
    service: Service
    provider: Provider
    neighbour: Neighbour

    def resolve(self, reference: str = IMAGE) -> Patch:
        """What a plan would pin."""
        return self.provider.patcher.resolve(self.service, reference)

    def refused(self, kind: type[ProviderError], reference: str = IMAGE) -> str:
        """Why it is no patch. Nothing was changed."""
        with wire(self.account) as line, pytest.raises(kind) as error:
            self.resolve(reference)
        assert line.writes == []
        assert type(error.value) is kind
        return str(error.value)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A service of this account; a parameter of its own names the neighbour's image, which is shared with it."""
    with in_process() as account:
        service = account.service(on_demand=False, account=HERE)
        account.client("ssm").put_parameter(Name="/golden/web", Type="String", Value=IMAGE)
        yield Shop(account, service, open_provider(tmp_path), Neighbour(account))


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_shared_image_is_pinned_with_whose_it_is(shop: Shop, reference: str) -> None:
    """Golden images of a central account cannot be rolled out, or nobody can tell later whose image it was."""
    patch = shop.resolve(reference)
    assert patch.image == IMAGE
    assert patch.provenance["owner"] == OWNER and patch.provenance["name"] == NAME


def test_a_shared_image_is_mirrored(shop: Shop) -> None:
    """A plan takes the image, and the rollout stops at its first step."""
    shop.provider.compute.mirror(shop.service, "blue", "green", shop.resolve().image, OURS, "mirror-1")
    assert shop.provider.compute.describe(shop.service)["green"].image == IMAGE


@pytest.mark.parametrize("launchable_by", [OWNER, "999999999999"])
@pytest.mark.parametrize("reference", REFERENCES)
def test_an_image_that_is_not_shared_is_refused_before_anything_is_made(
    shop: Shop, reference: str, launchable_by: str
) -> None:
    """A standby is made whose hosts never start, and AWS says only `Not authorized for images`."""
    shop.neighbour.launchable_by = {launchable_by}
    told = shop.refused(NotFound, reference)
    if reference.startswith("name:"):
        assert f"{OWNER} has none that is seen" in told
    else:
        assert f"not shared with account {HERE}" in told and IMAGE in told and "name:self/base-2" in told


def test_a_share_that_ends_after_the_plan_stops_the_mirror(shop: Shop) -> None:
    """Somebody takes the permission away between plan and rollout, and a side is filled that cannot start."""
    image = shop.resolve().image
    shop.neighbour.launchable_by = {OWNER}
    with wire(shop.account) as line, pytest.raises(NotFound, match=IMAGE):
        shop.provider.compute.mirror(shop.service, "blue", "green", image, OURS, "mirror-1")
    assert line.writes == []


def test_a_share_that_ends_while_it_serves_is_said_of_the_way_back(shop: Shop) -> None:
    """The side that is kept warm could replace no host any more, and nobody knows before it has to."""
    shop.provider.compute.mirror(shop.service, "blue", "green", shop.resolve().image, OURS, "mirror-1")
    assert shop.provider.way_back_lacks is not None
    assert shop.provider.way_back_lacks(shop.service, "green", IMAGE) == []
    shop.neighbour.launchable_by = {OWNER}
    (told,) = shop.provider.way_back_lacks(shop.service, "green", IMAGE)
    assert IMAGE in told and "not shared with this account any more" in told


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_shared_image_whose_key_is_granted_is_taken(shop: Shop, reference: str) -> None:
    """Encrypted golden images of a central account cannot be rolled out at all."""
    shop.neighbour.encrypted(GRANT)
    assert shop.resolve(reference).image == IMAGE


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("to", ["", f"arn:aws:iam::{OWNER}:role/builder"])
def test_a_shared_image_whose_key_is_not_granted_is_refused(shop: Shop, reference: str, to: str) -> None:
    """The image may be launched and its volumes not be read: each host ends right after its launch."""
    shop.neighbour.encrypted()
    shop.neighbour.grants = [{**GRANT, "GranteePrincipal": to}] if to else []
    told = shop.refused(Invalid, reference)
    assert f"another account's key {KEY}" in told and SERVICE_ROLE in told and "create-grant" in told


def test_a_key_that_its_owner_hides_is_refused_as_unknown(shop: Shop) -> None:
    """A key policy that does not name this account is taken for one that lets it decrypt."""
    shop.neighbour.encrypted()
    shop.neighbour.lets_see_its_key = False
    told = shop.refused(Denied)
    assert KEY in told and "is unknown" in told and "kms:DescribeKey" in told


def test_snapshots_that_are_not_shared_are_refused_as_unknown(shop: Shop) -> None:
    """An image is shared without its snapshots, and which key they have nobody here can tell."""
    shop.neighbour.encrypted()
    shop.neighbour.readable = False
    told = shop.refused(Denied)
    assert IMAGE in told and "Share its snapshots" in told

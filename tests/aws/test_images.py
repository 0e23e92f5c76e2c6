from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.aws.cloud import Clouds
from providers.aws.encryption import NEEDED, check_keys
from providers.base import Context, Denied, Invalid, NotFound, Patch, Service
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process, open_provider

KEY = "arn:aws:kms:eu-central-1:210987654321:key/00000000-0000-4000-8000-000000000000"
ROLE = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"


@dataclass
class Shop:
    account: Account
    service: Service
    folder: Path

    def resolve(self, reference: str) -> Patch:
        """With a provider that remembers nothing."""
        return open_provider(self.folder).patcher.resolve(self.service, reference)

    def change(self, name: str, **values: Any) -> str:
        """Make one of the account's images different from what it was registered as."""
        from moto.ec2.models import ec2_backends

        image = self.account.images[name]
        for key, value in values.items():
            setattr(ec2_backends["123456789012"][self.account.region].amis[image], key, value)
        return image

    def encrypted(self, grants: list[dict[str, Any]], state: str = "Enabled") -> str:
        """The second image with another account's key."""
        image = self.account.images["base-2"]
        volume = {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "SnapshotId": "snap-0123456789abcdef0"}}
        described = {
            "ImageId": image,
            "State": "available",
            "Architecture": "x86_64",
            "RootDeviceType": "ebs",
            "VirtualizationType": "hvm",
            "BlockDeviceMappings": [volume],
        }
        give = self.account.answers.give
        give("ec2", "DescribeImages", {"Images": [described]})
        give("ec2", "DescribeSnapshots", {"Snapshots": [{"SnapshotId": "snap-1", "KmsKeyId": KEY}]})
        metadata = {"KeyId": KEY, "AWSAccountId": "210987654321", "KeyState": state}
        give("kms", "DescribeKey", {"KeyMetadata": metadata})
        give("kms", "ListGrants", {"Grants": grants})
        return image


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A service that serves `base-1`."""
    with in_process() as account:
        yield Shop(account, account.service(), tmp_path)


def test_an_image_is_pinned_with_where_it_comes_from(shop: Shop) -> None:
    """Otherwise nobody can tell later what was rolled out."""
    patch = shop.resolve(shop.account.images["base-2"])
    assert dict(patch.images) == {"123456789012/eu-central-1/x86_64": shop.account.images["base-2"]}
    assert patch.provenance["name"] == "base-2"
    assert patch.provenance["owner"] == "123456789012"
    assert patch.provenance["created"]


def test_a_parameter_is_pinned_to_its_version(shop: Shop) -> None:
    """Otherwise a parameter that moves on changes a rollout that is under way."""
    ssm, images = shop.account.client("ssm"), shop.account.images
    ssm.put_parameter(Name="/golden/web", Type="String", Value=images["base-1"])
    ssm.put_parameter(Name="/golden/web", Type="String", Value=images["base-2"], Overwrite=True)
    patch = shop.resolve("ssm:/golden/web")
    assert patch.image == images["base-2"]
    assert patch.provenance["parameter_version"] == "2"
    assert patch.provenance["parameter"].endswith(":parameter/golden/web")


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ("i-123", "String", "image id"),
        ('{"image_id": "ami-1"}', "String", "/image_id"),
        ("x", "SecureString", "Secure"),
    ],
)
def test_a_parameter_that_is_no_image_is_refused(shop: Shop, value: str, kind: Any, says: str) -> None:
    """Otherwise a wrong parameter is found out when hosts are launched."""
    shop.account.client("ssm").put_parameter(Name="/golden/web", Type=kind, Value=value)
    with pytest.raises(Invalid, match=says):
        shop.resolve("ssm:/golden/web")


def test_a_missing_parameter_names_its_neighbours(shop: Shop) -> None:
    """Otherwise a slip of the pen costs a search in the console."""
    shop.account.client("ssm").put_parameter(Name="/golden/web", Type="String", Value=shop.account.images["base-1"])
    with pytest.raises(NotFound, match="ssm:/golden/web"):
        shop.resolve("ssm:/golden/wep")


def test_the_newest_of_a_name_and_of_its_architecture_is_taken(shop: Shop) -> None:
    """Otherwise an old image, or one that cannot run, is rolled out."""
    shop.change("base-1", creation_date=datetime(2026, 1, 2, tzinfo=UTC))
    newest = shop.change("base-2", creation_date=datetime(2026, 1, 3, tzinfo=UTC))
    shop.account.image("base-3", "arm64")
    assert shop.resolve("name:self/base-*").image == newest
    same = datetime(2026, 1, 3, tzinfo=UTC)
    other = shop.change("base-1", creation_date=same)
    assert shop.resolve("name:self/base-*").image == max(other, newest)


@pytest.mark.parametrize("reference", ["name:", "name:self", "name:self/", "name:someone/x", "ssm:", "ssm:/"])
def test_half_a_reference_says_what_is_needed(shop: Shop, reference: str) -> None:
    """Otherwise a typing error looks like a missing image."""
    with pytest.raises(Invalid, match=r"OWNER/PATTERN|ssm:/PATH"):
        shop.resolve(reference)


def test_a_name_that_nothing_has_lists_what_the_owner_has(shop: Shop) -> None:
    """Otherwise a person at night has to look up what can be rolled out."""
    with pytest.raises(NotFound, match="name:self/base-2"):
        shop.resolve("name:self/bass-*")


def test_a_word_lists_the_forms_and_what_there_is(shop: Shop) -> None:
    """Otherwise the manual is needed for the first rollout."""
    shop.account.client("ssm").put_parameter(Name="/golden/image", Type="String", Value="ami-1")
    with pytest.raises(NotFound) as error:
        shop.resolve("base-2")
    for known in ("name:OWNER/PATTERN", "name:self/base-2", "ssm:/golden/image"):
        assert known in str(error.value)


def test_an_image_that_is_not_there_lists_ones_own(shop: Shop) -> None:
    """Otherwise an image of another region is searched for in vain."""
    with pytest.raises(NotFound, match=r"not shared.*name:self/base-2"):
        shop.resolve("ami-0123456789abcdef0")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"state": "disabled"}, "state is disabled"),
        ({"architecture": "arm64"}, "architecture is arm64, x86_64"),
        ({"root_device_type": "instance-store"}, "root device"),
        ({"virtualization_type": "paravirtual"}, "hvm"),
    ],
)
def test_an_image_that_cannot_run_here_is_refused(shop: Shop, changes: dict[str, Any], says: str) -> None:
    """Otherwise it is found out after a standby was made."""
    with pytest.raises(Invalid, match=says):
        shop.resolve(shop.change("base-2", **changes))


def test_a_deprecated_image_is_said_to_be_one(shop: Shop) -> None:
    """Otherwise an image that its owner gave up is rolled out unseen."""
    image = shop.account.images["base-2"]
    told: dict[str, Any] = {"ImageId": image, "State": "available", "Architecture": "x86_64"}
    told |= {"RootDeviceType": "ebs", "VirtualizationType": "hvm", "DeprecationTime": "2001-01-01T00:00:00.000Z"}
    shop.account.answers.give("ec2", "DescribeImages", {"Images": [told]})
    assert shop.resolve(image).provenance["deprecated"] == "since 2001-01-01T00:00:00.000Z"


def test_an_encrypted_image_with_a_grant_is_taken(shop: Shop) -> None:
    """Otherwise encrypted golden images cannot be used at all."""
    image = shop.encrypted([{"GranteePrincipal": ROLE, "Operations": list(NEEDED)}])
    assert shop.resolve(image).image == image


@pytest.mark.parametrize(
    "grants",
    [
        [],
        [{"GranteePrincipal": ROLE.replace("Scaling", "Failing"), "Operations": list(NEEDED)}],
        [{"GranteePrincipal": ROLE, "Operations": ["Decrypt"]}],
    ],
)
def test_an_encrypted_image_without_the_grant_says_which(shop: Shop, grants: list[dict[str, Any]]) -> None:
    """Otherwise each host ends right after its launch, and AWS says only `internal error`."""
    image = shop.encrypted(grants)
    with pytest.raises(Invalid, match="create-grant") as error:
        shop.resolve(image)
    assert "CreateGrant" in str(error.value) and ROLE in str(error.value) and KEY in str(error.value)


def test_the_service_role_is_of_the_accounts_own_partition(shop: Shop) -> None:
    """Otherwise an image is refused in China and GovCloud for want of a grant that it has."""
    here = {"Account": "123456789012", "Arn": "arn:aws-cn:iam::123456789012:user/me", "UserId": "me"}
    shop.account.answers.give("sts", "GetCallerIdentity", here)
    role = ROLE.replace("arn:aws:", "arn:aws-cn:")
    shop.encrypted([{"GranteePrincipal": role, "Operations": list(NEEDED)}])
    cloud, _ = Clouds(Context(shop.folder, shop.folder, VirtualClock())).of(shop.service)
    (image,) = cloud.read("ec2", "describe_images")["Images"]
    check_keys(cloud, image, {})  # of a group whose role AWS does not tell
    with pytest.raises(Invalid, match="no grant lets arn:aws:iam"):
        check_keys(cloud, image, {"ServiceLinkedRoleARN": ROLE})


def test_a_disabled_key_is_refused(shop: Shop) -> None:
    """Otherwise no host of the image can start."""
    image = shop.encrypted([{"GranteePrincipal": ROLE, "Operations": list(NEEDED)}], "PendingDeletion")
    with pytest.raises(Invalid, match="PendingDeletion"):
        shop.resolve(image)


def test_a_key_that_cannot_be_read_blocks(shop: Shop) -> None:
    """Otherwise what is not known passes."""
    from tests.aws.stubs import Refused

    def refuse(asked: Any) -> Any:
        raise Refused("AccessDeniedException", "not yours")

    image = shop.encrypted([])
    shop.account.answers.give("kms", "ListGrants", refuse)
    with pytest.raises(Denied, match="unknown"):
        shop.resolve(image)

"""May the Auto Scaling group decrypt an image whose snapshots are encrypted?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.groups import Group
from providers.base import Denied, Invalid, NotFound

NEEDED = (
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
)
SERVICE_ROLE = "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"


def check_keys(cloud: Cloud, image: Mapping[str, Any], group: Group) -> None:
    """Raises Invalid where launches would fail, and Denied where that cannot be read."""
    volumes = [mapping["Ebs"] for mapping in image.get("BlockDeviceMappings", ()) if "Ebs" in mapping]
    encrypted = [volume for volume in volumes if volume.get("Encrypted")]
    keys = {str(volume["KmsKeyId"]) for volume in encrypted if volume.get("KmsKeyId")}
    keys |= _keys_of_snapshots(
        cloud, image, [str(volume["SnapshotId"]) for volume in encrypted if not volume.get("KmsKeyId")]
    )
    for key in sorted(keys):
        _check(cloud, str(image["ImageId"]), key, group)


def _keys_of_snapshots(cloud: Cloud, image: Mapping[str, Any], snapshots: list[str]) -> set[str]:
    if not snapshots:
        return set()
    try:
        found = cloud.pages("ec2", "describe_snapshots", "Snapshots", SnapshotIds=snapshots)
    except (NotFound, Denied) as error:
        raise Denied(
            f"{image['ImageId']} is encrypted, and with which key cannot be read ({error}): that the group may "
            "decrypt it is unknown. Share its snapshots with this account, or copy the image under a key of your own"
        ) from error
    return {str(snapshot["KmsKeyId"]) for snapshot in found if snapshot.get("KmsKeyId")}


def _check(cloud: Cloud, image: str, key: str, group: Group) -> None:
    try:
        told = cloud.read("kms", "describe_key", KeyId=key)["KeyMetadata"]
        if told["KeyState"] != "Enabled":
            raise Invalid(f"{image} is encrypted with {key}, which is {told['KeyState']}: no host of it can start")
        if told.get("AWSAccountId", cloud.account) == cloud.account:
            return  # what its own policy says was the group's owner's to set up
        grants = cloud.pages("kms", "list_grants", "Grants", KeyId=key)
    except (NotFound, Denied) as error:
        raise Denied(
            f"{image} is encrypted with {key}, which cannot be read ({error}): that the group may decrypt it is "
            "unknown. kms:DescribeKey and kms:ListGrants on it are needed"
        ) from error
    role = str(group.get("ServiceLinkedRoleARN") or f"arn:{_partition(cloud)}:iam::{cloud.account}:{SERVICE_ROLE}")
    given = {str(each) for grant in grants if grant.get("GranteePrincipal") == role for each in grant["Operations"]}
    missing = [operation for operation in NEEDED if operation not in given]
    if missing:
        raise Invalid(
            f"{image} is encrypted with another account's key {key}, and no grant lets {role} use it (missing: "
            f"{', '.join(missing)}): no host of it would start. Give it with: aws kms create-grant --region "
            f"{cloud.place.region} --key-id {key} --grantee-principal {role} --operations {' '.join(NEEDED)}"
        )


def _partition(cloud: Cloud) -> str:
    """`aws`, or `aws-cn` and the like: the same for everything of an account."""
    return cloud.caller()["Arn"].split(":")[1]

"""Another account's image, as AWS tells this account of it: there where it is shared, and else as if it were not.

Moto has one account at a time, so what is of the other one is answered here, and checked against botocore's model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.ec2.models import ec2_backends

from providers.aws.encryption import NEEDED
from tests.aws.account import Account
from tests.aws.stubs import Refused

HERE, OWNER = "123456789012", "210987654321"
IMAGE, SNAPSHOT, NAME = "ami-0fedcba9876543210", "snap-0fedcba9876543210", "golden-7"
KEY = f"arn:aws:kms:eu-central-1:{OWNER}:key/00000000-0000-4000-8000-000000000000"
SERVICE_ROLE = f"arn:aws:iam::{HERE}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"
GRANT = {"GranteePrincipal": SERVICE_ROLE, "Operations": list(NEEDED)}


class Neighbour:
    """`launchable_by`: the accounts that its image is shared with. `readable`: are its snapshots shared, too?"""

    def __init__(self, account: Account, *launchable_by: str) -> None:
        self.launchable_by, self.readable = set(launchable_by or (HERE,)), True
        self.grants, self.is_encrypted, self.lets_see_its_key = list[dict[str, Any]](), False, True
        ours = account.client("ec2").describe_images(Owners=["self"])["Images"]
        self._ours: list[dict[str, Any]] = [dict(one) for one in ours]
        launchable = ec2_backends[HERE][account.region].amis  # what moto takes into a launch template
        made = launchable.pop(account.image(NAME))
        made.id, made.owner_id = IMAGE, OWNER
        launchable[IMAGE] = made
        account.answers.give("ec2", "DescribeImages", self._images)
        account.answers.give("ec2", "DescribeSnapshots", self._snapshots)
        account.answers.give("kms", "DescribeKey", self._key)
        account.answers.give("kms", "ListGrants", self._grants)

    def encrypted(self, *grants: dict[str, Any]) -> str:
        """The image, with the neighbour's own key, which grants the group's role all that it needs, or just this."""
        self.is_encrypted, self.grants = True, list(grants or (GRANT,))
        return IMAGE

    def _image(self) -> dict[str, Any]:
        volume: dict[str, Any] = {"SnapshotId": SNAPSHOT, "VolumeSize": 8, "Encrypted": self.is_encrypted}
        return {
            "ImageId": IMAGE,
            "Name": NAME,
            "OwnerId": OWNER,
            "Public": False,
            "CreationDate": "2026-01-01T00:00:00.000Z",
            "State": "available",
            "Architecture": "x86_64",
            "RootDeviceType": "ebs",
            "VirtualizationType": "hvm",
            "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": volume}],
        }

    def _images(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        """Whom an image is not shared with is told what is told of one that does not exist."""
        seen = [*self._ours, *([self._image()] if HERE in self.launchable_by else [])]
        if ids := asked.get("ImageIds"):
            missing = sorted(set(ids) - {one["ImageId"] for one in seen})
            if missing:
                text = f"The image id '[{', '.join(missing)}]' does not exist"
                raise Refused("InvalidAMIID.NotFound", text)
            seen = [one for one in seen if one["ImageId"] in ids]
        owners = {HERE if one == "self" else one for one in asked.get("Owners") or ()}
        wanted = {one["Name"]: one["Values"] for one in asked.get("Filters") or ()}
        names = {"name": "Name", "architecture": "Architecture", "state": "State"}
        assert set(wanted) <= set(names), wanted
        found = [
            one
            for one in seen
            if (not owners or one["OwnerId"] in owners)
            and all(one[names[key]] in values for key, values in wanted.items())
        ]
        return {"Images": found}

    def _snapshots(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self.readable:
            raise Refused("InvalidSnapshot.NotFound", f"The snapshot '{SNAPSHOT}' does not exist.")
        assert asked["SnapshotIds"] == [SNAPSHOT]
        return {"Snapshots": [{"SnapshotId": SNAPSHOT, "OwnerId": OWNER, "Encrypted": True, "KmsKeyId": KEY}]}

    def _key(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        self._raise_if_hidden("kms:DescribeKey")
        return {"KeyMetadata": {"KeyId": KEY.rpartition("/")[2], "Arn": KEY, "AWSAccountId": OWNER, **ENABLED}}

    def _grants(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        self._raise_if_hidden("kms:ListGrants")
        return {"Grants": self.grants, "Truncated": False}

    def _raise_if_hidden(self, action: str) -> None:
        if not self.lets_see_its_key:
            text = f"not authorized to perform: {action} on the resource associated with this ciphertext"
            raise Refused("AccessDeniedException", text)


ENABLED = {"KeyState": "Enabled", "Enabled": True, "KeyManager": "CUSTOMER"}

"""Machine images."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami, AmiBackend
from moto.ec2.responses.amis import AmisResponse

from tests.aws.truer import Correcting


def a_registered_image_is_what_was_registered(correcting: Correcting) -> None:
    """AWS: architecture, virtualization and root device are kept; an image on an EBS volume has root device ebs."""

    def register(original: Any, self: AmisResponse) -> Any:
        asked, known = self._get_params(), set(self.ec2_backend.amis)
        answer = original(self)
        for made in set(self.ec2_backend.amis) - known:
            image = self.ec2_backend.amis[made]
            image.architecture = asked.get("Architecture", "i386")
            image.virtualization_type = asked.get("VirtualizationType", "paravirtual")
            image.root_device_name = asked.get("RootDeviceName")
            image.root_device_type = "ebs" if asked.get("BlockDeviceMappings") else "instance-store"
        return answer

    correcting.around(AmisResponse, "register_image", register)


def an_image_of_a_host_is_on_a_volume(correcting: Correcting) -> None:
    """AWS: create_image makes EBS images; a name is taken once in an account and region."""

    def create(original: Any, self: AmiBackend, instance_id: str, name: str, *more: Any, **named: Any) -> Ami:
        for known in self.amis.values():
            if known.name == name and known.owner_id == self.account_id:  # type: ignore[attr-defined]
                message = f"AMI name {name} is already in use by AMI {known.id}"
                raise EC2ClientError("InvalidAMIName.Duplicate", message)
        specs = named.get("tag_specifications") or []
        named["tag_specifications"] = [one for one in specs if one["ResourceType"] == "image"]  # moto has no others
        made: Ami = original(self, instance_id, name, *more, **named)
        made.root_device_type = "ebs"
        made.virtualization_type = made.virtualization_type or "hvm"
        made.architecture = made.architecture or "x86_64"
        return made

    correcting.around(AmiBackend, "create_image", create)


CORRECTIONS = (a_registered_image_is_what_was_registered, an_image_of_a_host_is_on_a_volume)

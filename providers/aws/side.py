"""What a side runs, as its group, its launch template and its instances tell: the model for images and builders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.groups import Group, read_groups
from providers.aws.instances import Machine, members, read_machines
from providers.aws.options import Options
from providers.aws.routes import read_route
from providers.aws.templates import read_template
from providers.base import SLOTS, Invalid, NotFound, Slot

IMAGES_A_CALL = 100
PATCH_GROUP_TAGS = ("PatchGroup", "Patch Group")


@dataclass(frozen=True, slots=True)
class Side:
    """One group. `image` is what it launches, `template` the rest of its launch template; `hosts` are EC2's."""

    slot: Slot
    group: Group
    image: str
    template: Mapping[str, Any]
    hosts: Sequence[Machine]

    @property
    def patch_group(self) -> str:
        """By which its hosts get their patch baseline; empty where they have none."""
        tags = [*self.group.get("Tags", ()), *(tag for host in self.hosts for tag in host.get("Tags", ()))]
        for spec in self.template.get("TagSpecifications", ()):
            tags += spec.get("Tags", ()) if spec.get("ResourceType") == "instance" else ()
        return next((str(tag["Value"]) for tag in tags if tag["Key"] in PATCH_GROUP_TAGS), "")


def serving_slot(cloud: Cloud, options: Options) -> Slot:
    """The slot with the most traffic."""
    route = read_route(cloud, options)
    return max(SLOTS, key=route.share)


def serving_side(cloud: Cloud, options: Options) -> Side:
    """Raises NotFound where the group is not there, Invalid where it has no launch template."""
    return read_side(cloud, options, serving_slot(cloud, options))


def read_side(cloud: Cloud, options: Options, slot: Slot) -> Side:
    name = options.group(slot)
    group = read_groups(cloud, [options.group(each) for each in SLOTS]).get(name)  # as whoever asks for both
    if group is None:
        raise NotFound(f"there is no Auto Scaling group {name} ({slot}) in {cloud.place.region}")
    template, ids = read_template(cloud, group), [str(member["InstanceId"]) for member in members(group)]
    found = read_machines(cloud, ids)
    return Side(slot, group, template.image, template.data, [found[host] for host in ids if host in found])


def architecture_of(cloud: Cloud, side: Side) -> str:
    """Of its hosts; of its image where none runs. Raises Invalid where they differ."""
    found = {str(host["Architecture"]) for host in side.hosts if host.get("Architecture")}
    if not found:
        found = {str(image["Architecture"]) for image in describe_images(cloud, [side.image])}
    if len(found) != 1:
        raise Invalid(f"{side.slot}: its architecture is not known" + (f": {sorted(found)}" if found else ""))
    return found.pop()


def describe_images(cloud: Cloud, ids: Sequence[str]) -> list[Mapping[str, Any]]:
    """Images by id, those that are deprecated or disabled too. Raises NotFound."""
    more = {"IncludeDeprecated": True, "IncludeDisabled": True}
    return cloud.batches("ec2", "describe_images", "Images", "ImageIds", ids, IMAGES_A_CALL, **more)

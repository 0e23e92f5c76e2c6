"""What the parts of a look ahead share: the service's groups as they are, and how a finding is put."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.groups import Group
from providers.aws.options import Options
from providers.aws.units import most_hosts
from providers.aws.whole import Whole
from providers.base import Concern, Invalid, Slot, other

TEXT = 600  # characters of one concern
SHOWN = 8  # names of a kind in one concern


@dataclass(frozen=True, slots=True)
class Ahead:
    """`capacity` more units like those of `original`, with this image, are to run beside it until `until`. Absent
    groups are not in `groups`."""

    cloud: Cloud
    options: Options
    original: Slot
    capacity: int
    until: float
    groups: Mapping[str, Group]
    whole: Whole
    image: str = ""

    @property
    def standby(self) -> Slot:
        return other(self.original)

    @property
    def source(self) -> Group:
        return self.groups[self.options.group(self.original)]

    @property
    def target(self) -> Group | None:
        return self.groups.get(self.options.group(self.standby))

    @property
    def hosts(self) -> int:
        """As many as that capacity is at most."""
        return most_hosts(self.source, self.capacity)

    @property
    def given_up(self) -> Mapping[str, str]:
        """Hosts that the standby still has, such as those of a way back that ends first: id → zone. They make room."""
        hosts = (self.target or {}).get("Instances") or ()
        return {one["InstanceId"]: str(one.get("AvailabilityZone", "")) for one in hosts}


def template_specs(group: Group) -> list[dict[str, str]]:
    """All launch templates that a group launches from, the main one first."""
    mixed = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    specs = [group.get("LaunchTemplate"), mixed.get("LaunchTemplateSpecification")]
    specs += [one.get("LaunchTemplateSpecification") for one in mixed.get("Overrides") or []]
    return [spec for spec in specs if spec]


def template_data(cloud: Cloud, group: Group) -> dict[str, Any]:
    """What the group's main launch template says."""
    specs = template_specs(group)
    if not specs:
        raise Invalid(f"{group['AutoScalingGroupName']} has no launch template")
    spec = specs[0]
    key = "LaunchTemplateId" if spec.get("LaunchTemplateId") else "LaunchTemplateName"
    answer = cloud.read(  # asked as `read_template` does: at one look once
        "ec2",
        "describe_launch_template_versions",
        **{key: spec[key], "Versions": [spec.get("Version") or "$Default"], "ResolveAlias": True},
    )
    data: dict[str, Any] = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return data


def blocks(text: str) -> Concern:
    return Concern("blocks", _bounded(text))


def unknown(text: str) -> Concern:
    return Concern("unknown", _bounded(text))


def notice(text: str) -> Concern:
    return Concern("notice", _bounded(text))


def named(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _bounded(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= TEXT else plain[: TEXT - 1] + "…"

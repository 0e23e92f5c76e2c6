"""How many units of its group's capacity a host is. Pure, and only the standard library: the emergency path is built
on it, too.

Where the overrides of a mixed group have weights (`WeightedCapacity`, 1 to 999), Auto Scaling's sizes are in units,
each host counts for as many as its type does, and there may be up to the largest weight less one above what is
desired. Source: Amazon EC2 Auto Scaling user guide, instance weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

Group = Mapping[str, Any]


def units_of(said: Mapping[str, Any]) -> int:
    """Of one host of a group, or of an override's type: 1 where nothing is said."""
    return int(said.get("WeightedCapacity") or 1)


def units_by_host(groups: Iterable[Group]) -> dict[str, int]:
    """By the id of each host that the groups have."""
    return {each["InstanceId"]: units_of(each) for group in groups for each in group.get("Instances") or ()}


def weights_of(group: Group) -> dict[str, int]:
    """By the instance types that the group may launch; none where it takes the launch template's."""
    mixed = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    return {str(each.get("InstanceType", "")): units_of(each) for each in mixed.get("Overrides") or ()}


def most_hosts(group: Group, units: int) -> int:
    """How many hosts so many units are at most: all of the type that counts for least."""
    return ceil(units / min(weights_of(group).values(), default=1))

"""Hosts at AWS by their id, an address or a name, and the Auto Scaling groups that they are of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws.quick.calls import Place, open_client
from providers.contract.errors import NotFound

ADDRESS = re.compile(r"[0-9]+(\.[0-9]+){3}")
HOST = re.compile(rf"i-[0-9a-f]+|{ADDRESS.pattern}|[A-Za-z0-9-]+\..+")
"""An instance's id, an IPv4 address, or a name with a dot in it."""
GROUP_TAG = "aws:autoscaling:groupName"
AS_ADDRESS, AS_NAME = ("private-ip-address", "ip-address"), ("private-dns-name", "dns-name")
"""EC2's filters."""
MOST_GROUPS = 100
"""AWS tells fifty, unless it is asked for more."""


def is_balancers_name(named: str) -> bool:
    return ".elb." in named.lower()


def is_host(named: str) -> bool:
    return HOST.fullmatch(named) is not None and not is_balancers_name(named)


def instances(place: Place, named: str) -> list[Mapping[str, Any]]:
    """Of this id, address or name; one that does not exist is none."""
    from providers.aws.errors import translated

    client, what = open_client(place, "ec2"), f"ec2 describe_instances in {place.region}"
    asked_as = AS_ADDRESS if ADDRESS.fullmatch(named) else AS_NAME
    by_name = [{"Filters": [{"Name": name, "Values": [named]}]} for name in asked_as]
    asked: list[dict[str, Any]] = [{"InstanceIds": [named]}] if named.startswith("i-") else by_name
    found: list[Mapping[str, Any]] = []

    for each in asked:
        try:
            with translated(what, place.who):
                answer = client.describe_instances(**each)
        except NotFound:
            continue
        found += [one for reservation in answer["Reservations"] for one in reservation["Instances"]]
        if found:
            break
    return found


def group_of(instance: Mapping[str, Any]) -> str:
    return next((each["Value"] for each in instance.get("Tags", ()) if each["Key"] == GROUP_TAG), "")


def autoscaling_groups(place: Place, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Of these names, at most `MOST_GROUPS`."""
    from providers.aws.errors import translated

    with translated(f"autoscaling describe_auto_scaling_groups in {place.region}", place.who):
        client = open_client(place, "autoscaling")
        asked = {"AutoScalingGroupNames": list(names), "MaxRecords": MOST_GROUPS}
        return list(client.describe_auto_scaling_groups(**asked)["AutoScalingGroups"])

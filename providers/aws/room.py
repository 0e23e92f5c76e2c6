"""Is there room for the standby: in its own group's bounds, in what both sides share, in the subnets?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from providers.aws.groups import owner_of
from providers.aws.outlook import Ahead, blocks, notice, template_data
from providers.aws.units import most_hosts
from providers.base import Concern

SUBNETS_A_CALL = 100


def sizes(ahead: Ahead) -> list[Concern]:
    """The largest size of a user's group, where the rollout raises it. A group made on demand gets the original's."""
    if ahead.target is None or owner_of(ahead.target) is not None:
        return []
    name, largest = ahead.target["AutoScalingGroupName"], int(ahead.target["MaxSize"])
    needed = max(int(ahead.source["MaxSize"]), ahead.capacity)
    return [notice(f"{name}: its MaxSize of {largest} is raised to {needed}, and stays so")] if largest < needed else []


def shared(ahead: Ahead) -> list[Concern]:
    """What the user declared that all hosts of both sides take from."""
    hosts = most_hosts(ahead.source, int(ahead.source["DesiredCapacity"])) + ahead.hosts
    return [
        blocks(
            f"shared limit {one.name}: {hosts} hosts on both sides take {hosts * one.each} ({one.each} each), "
            f"the limit is {one.limit}; raise it, or let each host take less"
        )
        for one in ahead.options.shared_limits
        if hosts * one.each > one.limit
    ]


def addresses(ahead: Ahead) -> list[Concern]:
    """Hosts are spread evenly over the zones; each zone's subnets must have its share, beyond the reserve."""
    ids = [part.strip() for part in str(ahead.source.get("VPCZoneIdentifier") or "").split(",") if part.strip()]
    if not ids:
        return []
    found = ahead.cloud.batches("ec2", "describe_subnets", "Subnets", "SubnetIds", ids, SUBNETS_A_CALL)
    if missing := sorted(set(ids) - {subnet["SubnetId"] for subnet in found}):
        return [blocks(f"{ahead.source['AutoScalingGroupName']}: subnet {missing[0]} does not exist; take it out")]
    each = _addresses_of_one_host(ahead)
    reserve = ahead.options.subnet_reserve
    free, zones = dict[str, int](), defaultdict[str, list[str]](list)
    for subnet in found:
        zone, left = subnet["AvailabilityZone"], int(subnet["AvailableIpAddressCount"])
        zones[zone].append(f"{subnet['SubnetId']} ({left} free)")
        room = max(0, left - reserve) // each
        if subnet.get("Ipv6Native"):
            room = ahead.hosts  # has no IPv4 addresses to run out of
        free[zone] = free.get(zone, 0) + room
    for zone in ahead.given_up.values():
        if zone in free:
            free[zone] += 1
    return _judge(ahead, free, zones, each)


def _judge(ahead: Ahead, free: dict[str, int], zones: dict[str, list[str]], each: int) -> list[Concern]:
    hosts, reserve = ahead.hosts, ahead.options.subnet_reserve
    share, more = divmod(hosts, len(free))
    tight = [zone for zone, room in sorted(free.items()) if room < share]
    roomy = sum(room > share for room in free.values())
    if not tight and roomy < more:
        tight = [zone for zone, room in sorted(free.items()) if room <= share]
    several = f", {each} addresses each" if each > 1 else ""
    return [
        blocks(
            f"zone {zone}: its subnets {', '.join(zones[zone])} have room for {free[zone]} more hosts beyond the "
            f"reserve of {reserve} addresses in each, {share + (1 if more else 0)} of {hosts} fall to it{several}; "
            "free addresses, add a subnet, or lower subnet_reserve"
        )
        for zone in tight
    ]


def _addresses_of_one_host(ahead: Ahead) -> int:
    interfaces: list[dict[str, Any]] = template_data(ahead.cloud, ahead.source).get("NetworkInterfaces") or []
    extra = sum(int(one.get("SecondaryPrivateIpAddressCount") or 0) for one in interfaces)
    return max(1, len(interfaces)) + extra

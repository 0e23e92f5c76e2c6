"""Is this host, address, target group or balancer one of a card's?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from providers.aws.quick.calls import Calls, Place, calls_of
from providers.aws.quick.hosts import group_of, instances, is_balancers_name, is_host
from providers.contract.errors import Denied, NotFound

Target = Mapping[str, Any]


def matches(target: Target, named: str) -> bool:
    """See providers.aws.rollback."""
    if named in _names_of(target):
        return True
    if not is_host(named) and not is_balancers_name(named):
        return False
    place = Place(**target["place"])
    call = calls_of(place)
    if is_balancers_name(named):
        found = call.pages("describe_load_balancers", "LoadBalancers", LoadBalancerArns=_balancers_of(target))
        return any(is_called(each, named) for each in found)
    groups = groups_of(target)
    if named in (hosts := _hosts(call, groups)):
        return True
    try:
        found = instances(place, named)
    except Denied:
        return False  # a role for the way back alone may lack it
    ids, ours = {each["InstanceId"] for each in found}, set(target["groups"].values())
    return bool({group_of(each) for each in found} & ours or ids & hosts)


def _names_of(target: Target) -> set[str]:
    """All that the card itself says that it is of."""
    arns = [arn for route in target["routes"] for arn in (route["listener"], route["rule"]) if arn] + groups_of(target)
    balancers = _balancers_of(target)
    short = [arn.split("/")[1] for arn in groups_of(target)] + [arn.split("/")[2] for arn in balancers]
    return {*arns, *balancers, *short, *target["groups"].values()}


def groups_of(target: Target) -> list[str]:
    return list(dict.fromkeys(arn for route in target["routes"] for arn in (route["blue"], route["green"])))


def _balancers_of(target: Target) -> list[str]:
    """`…:listener/app/name/id/id` is of `…:loadbalancer/app/name/id`."""
    listeners = [route["listener"].rpartition("/")[0] for route in target["routes"]]
    return list(dict.fromkeys(each.replace(":listener/", ":loadbalancer/") for each in listeners))


def _hosts(call: Calls, groups: Iterable[str]) -> set[str]:
    """The ids of all targets; a target group that is gone has none."""

    def ask(group: str) -> list[Mapping[str, Any]]:
        try:
            return call.health(group)
        except NotFound:
            return []

    return {each["Target"]["Id"] for listed in call.each(ask, groups) for each in listed}


def is_called(balancer: Mapping[str, Any], named: str) -> bool:
    """AWS's own names for it are the same with `dualstack.` before them, and in any case."""
    told = named.lower().removeprefix("dualstack.").rstrip(".")
    return told == str(balancer.get("DNSName", "")).lower()

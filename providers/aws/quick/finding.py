"""The rollback cards that the platform itself keeps, for a night with credentials and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws.quick import kept
from providers.aws.quick.belonging import groups_of, is_called
from providers.aws.quick.calls import Calls, Place, calls_of
from providers.aws.quick.hosts import autoscaling_groups, group_of, instances, is_balancers_name, is_host
from providers.contract.errors import NotFound

KIND = re.compile(r"arn:[a-z-]+:elasticloadbalancing:[a-z0-9-]+:\d{12}:([a-z-]+)/.+")


def find(named: str, place: Mapping[str, str]) -> list[dict[str, Any]]:
    """See providers.aws.rollback."""
    where = Place(**place)
    call, plain = calls_of(where), where._asdict()
    kind = match[1] if (match := KIND.fullmatch(named)) else ""
    if kind in ("listener", "listener-rule"):
        return _open_ones(_cards(call.tags_of([named]), plain))
    balancers, groups = _where_to_look(call, where, named, kind)
    cards = _cards(call.tags_of(_resources(call, balancers)), plain)
    if groups:
        cards = [card for card in cards if groups & set(groups_of(card["target"]))]
    elif not _is_balancer(call, named, kind, balancers):
        cards = [card for card in cards if card["service"] == named]
    return _open_ones(cards)


def _where_to_look(call: Calls, place: Place, named: str, kind: str) -> tuple[list[str], set[str]]:
    """Balancers, and the target groups that are meant (none: whatever these balancers have)."""
    if kind == "loadbalancer":
        return [named], set()
    if kind == "targetgroup":
        return _behind(call, TargetGroupArns=[named])
    if is_host(named):
        return _behind_host(call, place, named)
    every = call.pages("describe_load_balancers", "LoadBalancers")
    called = [each["LoadBalancerArn"] for each in every if each["LoadBalancerName"] == named or is_called(each, named)]
    if called:
        return called, set()
    try:
        return _behind(call, Names=[named])
    except NotFound:
        return [each["LoadBalancerArn"] for each in every], set()


def _behind(call: Calls, **asked: Any) -> tuple[list[str], set[str]]:
    """The balancers in front of target groups."""
    found = call.pages("describe_target_groups", "TargetGroups", **asked)
    balancers = dict.fromkeys(arn for each in found for arn in each.get("LoadBalancerArns", ()))
    return list(balancers), {each["TargetGroupArn"] for each in found}


def _behind_host(call: Calls, place: Place, named: str) -> tuple[list[str], set[str]]:
    found = instances(place, named)
    if not found:
        raise NotFound(f"no host in {place.region} is called {named} (asked as {place.who})")
    names = sorted({name for each in found if (name := group_of(each))})
    listed = autoscaling_groups(place, names) if names else []
    groups = [arn for each in listed for arn in each.get("TargetGroupARNs", ())]
    if not groups:
        which = (
            f"of the Auto Scaling group {', '.join(names)}, which has"
            if names
            else "of no Auto Scaling group, so it has"
        )
        raise NotFound(f"{named} is {which} no target groups now: name the balancer or the service instead")
    return _behind(call, TargetGroupArns=groups)


def _is_balancer(call: Calls, named: str, kind: str, balancers: Sequence[str]) -> bool:
    return kind == "loadbalancer" or is_balancers_name(named) or named in {arn.split("/")[2] for arn in balancers}


def _resources(call: Calls, balancers: Sequence[str]) -> list[str]:
    """All listeners and rules: a card is kept with the last route, whichever that is."""

    def listeners(balancer: str) -> list[str]:
        try:
            found = call.pages("describe_listeners", "Listeners", LoadBalancerArn=balancer)
        except NotFound:
            return []
        return [each["ListenerArn"] for each in found]

    def rules(listener: str) -> list[str]:
        try:
            found = call.pages("describe_rules", "Rules", ListenerArn=listener)
        except NotFound:
            return []
        return [each["RuleArn"] for each in found if not each.get("IsDefault")]

    found = [arn for each in call.each(listeners, balancers) for arn in each]
    return [*found, *(arn for each in call.each(rules, found) for arn in each)]


def _cards(tags: Mapping[str, Mapping[str, str]], place: Mapping[str, str]) -> list[dict[str, Any]]:
    return [card for resource, found in tags.items() if (card := kept.card_of(found, resource, place))]


def _open_ones(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose way back is not closed, if there are any."""
    return [card for card in cards if not card["closed"]] or cards

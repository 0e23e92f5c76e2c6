"""Would the standby's hosts exceed what the account may run, counted in vCPUs for each family of types and market?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Literal

from providers.aws.groups import Group
from providers.aws.outlook import Ahead, blocks, notice, template_data, unknown
from providers.aws.units import weights_of
from providers.aws.whole import AGAIN_S, REMEMBERED_S
from providers.base import Concern

Market = Literal["on-demand", "spot"]
CODES: Mapping[str, Mapping[Market, str]] = {
    "standard": {"on-demand": "L-1216C47A", "spot": "L-34B43A08"},
    "g": {"on-demand": "L-DB2E81BA", "spot": "L-3819A6DF"},
    "p": {"on-demand": "L-417A185B", "spot": "L-7212CCBC"},
    "p5": {"on-demand": "L-417A185B"},  # on spot they count for quotas of their own
    "f": {"on-demand": "L-74FC7D96", "spot": "L-88CF9481"},
    "x": {"on-demand": "L-7295265B", "spot": "L-E3A00192"},
    "inf": {"on-demand": "L-1945791B", "spot": "L-B5D1601B"},
    "trn": {"on-demand": "L-2C3B7624"},
    "dl": {"on-demand": "L-6E869C2A", "spot": "L-85EED4F7"},
    "u": {"on-demand": "L-43DA4232"},
    "hpc": {"on-demand": "L-F7808C92"},
}
STANDARD = {"a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"}
ALIASES = {"vt": "g", "gr": "g"}


def family_of(kind: str) -> str:
    """Which quota an instance type counts for; "" where that is not known."""
    match = re.match(r"([a-z]+)-?(\d*)", kind)
    letters, generation = match.groups() if match else ("", "")
    if letters == "p" and int(generation or 0) >= 5:
        return "p5"
    found = "standard" if letters in STANDARD else ALIASES.get(letters, letters)
    return found if found in CODES else ""


def vcpus(ahead: Ahead) -> list[Concern]:
    data, group = template_data(ahead.cloud, ahead.source), ahead.source
    if (data.get("Placement") or {}).get("Tenancy") == "host":
        return []  # on hosts of one's own, which are paid for already
    if data.get("InstanceRequirements") or _by_requirements(group):
        return [unknown(f"{_name(group)}: its types are chosen by requirements: compare the vCPU quotas yourself")]
    default = str(data.get("InstanceType", ""))
    offered = {kind or default: units for kind, units in weights_of(group).items()} or {default: 1}
    if strange := sorted({kind for kind in offered if not family_of(kind)}):
        return [unknown(f"{_name(group)}: it is not known which vCPU quota {strange[0]!r} counts for; look it up")]
    bought = _markets(group, data, ahead.capacity)
    return _all(ahead, bought, offered, REMEMBERED_S) and _all(ahead, bought, offered, AGAIN_S)


def _all(ahead: Ahead, bought: Mapping[Market, int], offered: Mapping[str, int], within_s: float) -> list[Concern]:
    running = _running(ahead, within_s)
    sizes = ahead.whole.vcpus(ahead.cloud, {*offered, *(kind for kind, _ in running)})
    found = []
    for market, units in bought.items():
        if units:
            found += _judge(ahead, market, units, offered, running, sizes, within_s)
    return found


def _judge(
    ahead: Ahead,
    market: Market,
    units: int,
    offered: Mapping[str, int],
    running: Sequence[tuple[str, Market]],
    sizes: Mapping[str, int],
    within_s: float,
) -> list[Concern]:
    """`offered`: how many units each type is."""
    families, found = sorted({family_of(kind) for kind in offered}), []
    hosts = {kind: ceil(units / each) for kind, each in offered.items()}
    for family in families:
        needs = [hosts[kind] * sizes[kind] for kind in offered if family_of(kind) == family]
        least, most = min(needs) if len(families) == 1 else 0, max(needs)
        code = CODES[family].get(market)
        if code is None:
            found.append(
                unknown(f"{_name(ahead.source)}: the {market} quota of {family} types is not known; look it up")
            )
            continue
        quota = ahead.whole.quota(ahead.cloud, code, within_s)
        counted = {each for each, codes in CODES.items() if codes.get(market) == code}
        used = sum(sizes.get(kind, 0) for kind, how in running if how == market and family_of(kind) in counted)
        limit = int(quota["Value"])
        if used + most <= limit:
            continue
        told = (
            f"vCPU quota {quota.get('QuotaName') or family} ({code}): {limit} in {ahead.cloud.place.region}, {used} "
            f"in use, {{}} more for {max(hosts.values())} hosts beside {_name(ahead.source)}; raise it in Service "
            "Quotas first"
        )
        short = used + least > limit
        found.append(
            blocks(told.format(least))
            if short
            else notice(f"{told.format(f'up to {most}')}, or see that smaller types are chosen")
        )
    return found


def _name(group: Group) -> str:
    return str(group["AutoScalingGroupName"])


def _by_requirements(group: Group) -> bool:
    overrides = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate", {}).get("Overrides") or []
    return any(one.get("InstanceRequirements") for one in overrides)


def _markets(group: Group, data: Mapping[str, Any], capacity: int) -> dict[Market, int]:
    """How many of these units are bought how."""
    mixed = group.get("MixedInstancesPolicy")
    if not mixed:
        spot = (data.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
        return {"spot": capacity} if spot else {"on-demand": capacity}
    policy = mixed.get("InstancesDistribution") or {}
    base = min(capacity, int(policy.get("OnDemandBaseCapacity") or 0))
    share = policy.get("OnDemandPercentageAboveBaseCapacity")
    bought = base + ceil((capacity - base) * (100 if share is None else int(share)) / 100)
    return {"on-demand": bought, "spot": capacity - bought}


def _running(ahead: Ahead, within_s: float) -> list[tuple[str, Market]]:
    """Type and market of each instance that counts for a quota, but for those that the standby will have given up."""
    return [
        (str(one["InstanceType"]), "spot" if one.get("InstanceLifecycle") == "spot" else "on-demand")
        for one in ahead.whole.instances(ahead.cloud, within_s)
        if (one.get("Placement") or {}).get("Tenancy") != "host" and one["InstanceId"] not in ahead.given_up
    ]

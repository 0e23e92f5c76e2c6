"""The kinds of Auto Scaling group that users have: one type of host, several, and hosts that wait in a warm pool."""

from __future__ import annotations

from typing import Any

from providers.base import SLOTS
from tests.aws.account import Account

SHAPES = ("plain", "mixed", "warm_pool")
KINDS = ("t3.micro", "t3a.micro")
UNITS = {"t3.micro": 2, "t3a.micro": 4}
"""How much of the capacity a host of each type is, in a group whose hosts have weights."""
WEIGHED = 3
"""Units that two hosts carry: AWS launches one more rather than half a one."""
DISTRIBUTION = {
    "OnDemandBaseCapacity": 1,
    "OnDemandPercentageAboveBaseCapacity": 100,  # moto rounds a part of a host down, and launches one too few
    "SpotAllocationStrategy": "capacity-optimized",
}
POOL = {"MinSize": 0, "PoolState": "Stopped", "MaxGroupPreparedCapacity": 4}


def shaped(account: Account, shape: str, service: str = "shop") -> None:
    """Make the groups of a service, as many as there are, of this shape. A warm pool has the serving one alone, for a
    standby that is there for good may have none. Weighed: two hosts for `WEIGHED` units."""
    auto = account.client("autoscaling")
    for slot in SLOTS if shape in ("mixed", "weighed") else ():
        name = f"{service}-{slot}"
        found = auto.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        for group in found:
            policy = {"MixedInstancesPolicy": weighed(group) if shape == "weighed" else mixed(group)}
            more = {"DesiredCapacity": WEIGHED} if (shape, slot) == ("weighed", "blue") else {}
            auto.update_auto_scaling_group(AutoScalingGroupName=name, **policy, **more)
    if shape == "warm_pool":
        auto.put_warm_pool(AutoScalingGroupName=f"{service}-blue", **POOL)


def weighed(group: dict[str, Any]) -> dict[str, Any]:
    """The same, and each type has its weight."""
    policy = mixed(group)
    policy["LaunchTemplate"]["Overrides"] = [
        {"InstanceType": kind, "WeightedCapacity": str(units)} for kind, units in UNITS.items()
    ]
    return policy


def mixed(group: dict[str, Any]) -> dict[str, Any]:
    """The policy of a group with two overrides, which launches from the template that the group had."""
    launch = {
        "LaunchTemplateSpecification": {
            "LaunchTemplateId": group["LaunchTemplate"]["LaunchTemplateId"],
            "Version": group["LaunchTemplate"]["Version"],
        },
        "Overrides": [{"InstanceType": kind} for kind in KINDS],
    }
    return {"LaunchTemplate": launch, "InstancesDistribution": DISTRIBUTION}

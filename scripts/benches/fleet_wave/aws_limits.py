"""The simulated cloud with the limits of AWS: what each call is made of there, and the buckets that AWS publishes.

Counted with the AWS provider against moto, one service with a side on each of two groups (scripts/bench aws shows the
same by operation): what is read of many services at a time is read by pages, but target health by target group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import ceil
from typing import Any

from providers.aws.quotas import bucket_of
from providers.base import EVERYTHING, Parts
from providers.memory.limits import Limits, Rate

LISTENERS, TAGS = "elbv2.DescribeListeners", "elbv2.DescribeTags"
HEALTH, MODIFY = "elbv2.DescribeTargetHealth", "elbv2.ModifyListener"
GROUPS, GROUP = "autoscaling.DescribeAutoScalingGroups", "autoscaling.UpdateAutoScalingGroup"
TEMPLATES, HOSTS, IMAGES = "ec2.DescribeLaunchTemplateVersions", "ec2.DescribeInstances", "ec2.DescribeImages"
METRICS = "cloudwatch.GetMetricData"

ALONE: Mapping[str, Mapping[str, int]] = {
    "compute.describe": {
        GROUPS: 1,
        "autoscaling.DescribeLifecycleHooks": 2,
        "autoscaling.DescribeNotificationConfigurations": 1,
        "autoscaling.DescribePolicies": 2,
        "autoscaling.DescribeScheduledActions": 2,
        TEMPLATES: 2,
    },
    "compute.sizes": {GROUPS: 1},
    "compute.mirror": {
        GROUPS: 1,
        GROUP: 1,
        "autoscaling.CreateOrUpdateTags": 1,
        "ec2.CreateLaunchTemplateVersion": 1,
        IMAGES: 1,
        TEMPLATES: 1,
        LISTENERS: 1,
    },
    "compute.set_floor": {GROUP: 1},
    "compute.scale": {"autoscaling.SetDesiredCapacity": 1},
    "compute.park": {GROUPS: 1, "autoscaling.DescribeScheduledActions": 1, GROUP: 1, LISTENERS: 1},
    "compute.delete_if_owned": {GROUPS: 1},
    "insight.foresee": {
        GROUPS: 1,
        "autoscaling.DescribeInstanceRefreshes": 2,
        "cloudwatch.DescribeAlarms": 1,
        "ec2.DescribeInstanceTypes": 1,
        HOSTS: 1,
        TEMPLATES: 1,
        "ec2.DescribeSubnets": 1,
        "elbv2.DescribeAccountLimits": 1,
        "elbv2.DescribeTargetGroupAttributes": 2,
        "elbv2.DescribeTargetGroups": 1,
        HEALTH: 2,
    },
    "patcher.resolve": {IMAGES: 1},
    "patcher.apply": {GROUPS: 1, TEMPLATES: 1, LISTENERS: 1},
    "traffic.route": {LISTENERS: 1, TAGS: 1},
    "traffic.attach": {"autoscaling.AttachLoadBalancerTargetGroups": 1, GROUPS: 1, LISTENERS: 1, HEALTH: 2, MODIFY: 1},
    "traffic.detach": {"autoscaling.DetachLoadBalancerTargetGroups": 1, GROUPS: 1, LISTENERS: 1, HEALTH: 1, MODIFY: 1},
    "traffic.set_weights": {LISTENERS: 1, TAGS: 1, HEALTH: 1, MODIFY: 1},
    "traffic.mark": {"elbv2.AddTags": 1},
    "traffic.card_target": {LISTENERS: 1},
}
LISTENERS_A_PAGE, GROUPS_A_PAGE, HOSTS_A_PAGE, METRICS_A_PAGE, METRICS_OF_A_SIDE = 20, 100, 1000, 500, 6
HOSTS_OF_A_SERVICE = 6


def requests(call: str, services: int, detail: tuple[Any, ...]) -> Counter[str]:
    """The operations of AWS that a call of the simulated cloud stands for."""
    if call == "compute.observe":
        groups = ceil(2 * services / GROUPS_A_PAGE)
        return Counter({GROUPS: groups, HOSTS: ceil(HOSTS_OF_A_SERVICE * services / HOSTS_A_PAGE)})
    if call == "traffic.observe":
        parts: Parts = detail[0] if detail else EVERYTHING
        pages, found = ceil(services / LISTENERS_A_PAGE), Counter[str]()
        if parts.route or parts.counters:
            found[LISTENERS] = pages
        if parts.route and parts.mark:
            found[TAGS] = pages
        found[HEALTH] = services * len(parts.targets)
        found[METRICS] = ceil(METRICS_OF_A_SIDE * services * len(parts.counters) / METRICS_A_PAGE)
        return +found
    return Counter(ALONE.get(call, {}))


def of_buckets(operations: Mapping[str, int]) -> Counter[str]:
    """The same by the buckets that they draw from."""
    found = Counter[str]()
    for operation, count in operations.items():
        found[bucket_of(*operation.split("."))[0]] += count
    return found


def costs(call: str, services: int, detail: tuple[Any, ...]) -> Mapping[str, int]:
    return of_buckets(requests(call, services, detail))


def _rates() -> dict[str, Rate]:
    named = [*{operation for made in ALONE.values() for operation in made}, HOSTS, METRICS]
    found = (bucket_of(*operation.split(".")) for operation in named)
    return {name: Rate(limit.size, limit.refill) for name, limit in found}


def aws_limits() -> Limits:
    """Those of providers/aws/quotas.py, which says where each is published."""
    return Limits(_rates(), costs)


def unlimited() -> Limits:
    """The same buckets, to count with."""
    return Limits(dict.fromkeys(_rates(), Rate(1e9, 1e9)), costs)

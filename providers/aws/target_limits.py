"""May the balancers have as many targets as both sides are together?"""

from __future__ import annotations

from providers.aws.outlook import Ahead, blocks, notice
from providers.aws.whole import AGAIN_S, REMEMBERED_S
from providers.base import Concern

COUNTED = 30
"""Target groups of one balancer that are counted, a call each; a balancer that many services share has more."""
LIMITS = {"app": "targets-per-application-load-balancer", "net": "targets-per-network-load-balancer"}
OF_A_GROUP = "targets-per-target-group"


def targets(ahead: Ahead) -> list[Concern]:
    """Each target group of the standby, and each balancer, with the standby's hosts as targets, too."""
    counts = dict[str, int]()
    return _all(ahead, counts, REMEMBERED_S) and _all(ahead, counts, AGAIN_S)


def _all(ahead: Ahead, counts: dict[str, int], within_s: float) -> list[Concern]:
    limits, found = ahead.whole.balancing(ahead.cloud, within_s), list[Concern]()
    for arn in ahead.options.target_groups(ahead.standby):
        largest = limits.get(OF_A_GROUP)
        there = _count(ahead, arn, counts)
        if largest is not None and there + ahead.hosts > largest:
            found.append(
                blocks(
                    f"target group {arn.split('/')[1]}: {there} targets and {ahead.hosts} more are above "
                    f"{OF_A_GROUP}, which is {largest}; raise it in Service Quotas, or take targets out"
                )
            )
    for balancer, groups in _behind(ahead).items():
        found += _judge(ahead, balancer, groups, limits, counts)
    return found


def balancer_of(listener: str) -> str:
    """The ARN of a listener's balancer."""
    return listener.replace(":listener/", ":loadbalancer/", 1).rpartition("/")[0]


def _behind(ahead: Ahead) -> dict[str, set[str]]:
    """The standby's target groups behind each balancer; each host becomes a target in each of them."""
    found = dict[str, set[str]]()
    for route in ahead.options.routes:
        found.setdefault(balancer_of(route.listener), set()).add(route.target_group(ahead.standby))
    return found


def _judge(
    ahead: Ahead, balancer: str, groups: set[str], limits: dict[str, int], counts: dict[str, int]
) -> list[Concern]:
    _, kind, name, *_ = balancer.split("/")
    limit = LIMITS.get(kind, "")
    if limit not in limits:
        return []
    known = ahead.cloud.pages("elbv2", "describe_target_groups", "TargetGroups", LoadBalancerArn=balancer)
    all_groups = {one["TargetGroupArn"] for one in known} | groups
    if len(all_groups) > COUNTED:
        return [
            notice(
                f"balancer {name}: its targets were not counted, it has {len(all_groups)} target groups; "
                f"see that {len(groups) * ahead.hosts} more stay within {limit}, which is {limits[limit]}"
            )
        ]
    there = sum(_count(ahead, arn, counts) for arn in sorted(all_groups))
    more = len(groups) * ahead.hosts
    if there + more <= limits[limit]:
        return []
    return [
        blocks(
            f"balancer {name}: {there} targets and {more} more are above {limit}, which is {limits[limit]}; "
            "raise it in Service Quotas, or take targets out"
        )
    ]


def _count(ahead: Ahead, arn: str, counts: dict[str, int]) -> int:
    """Targets of one group, each once, without those that the standby will have given up."""
    if arn not in counts:
        answer = ahead.cloud.read("elbv2", "describe_target_health", TargetGroupArn=arn)
        ids = {one["Target"]["Id"] for one in answer.get("TargetHealthDescriptions", ())}
        counts[arn] = len(ids - set(ahead.given_up))
    return counts[arn]

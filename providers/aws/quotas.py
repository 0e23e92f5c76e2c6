"""How many calls AWS allows, reviewed by hand: for each bucket its size, its refill a second, and where that is said.

AWS counts for each account and region, and so does the budget. Limits can be raised for an account, and others call in
it, too: what AWS answers counts more than this table (see `budget`). Where AWS gives no figure, it is a careful guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """`size` calls at once, `refill` a second. Of the size, `reserve` is kept for what puts traffic back."""

    size: float
    refill: float

    @property
    def reserve(self) -> float:
        return max(1.0, self.size / 4)


EC2_PAGE = "docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html"
ELB_PAGE = "docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-throttling.html"
SSM_PAGE = "docs.aws.amazon.com/general/latest/gr/ssm.html"
CLOUDWATCH_PAGE = "docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html"
KMS_PAGE = "docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html"

ALONE = "*"
"""In place of a bucket's name: each operation has one of its own."""

READS = r"Describe|Get|List|Lookup|BatchGet|Simulate|Verify"

Row = tuple[str, str, Limit, str]
TABLE: Mapping[str, tuple[Row, ...]] = {
    # operations (a pattern), their bucket, its limit, where it is said
    "ec2": (
        ("RunInstances", ALONE, Limit(5, 2), EC2_PAGE),
        ("TerminateInstances|StartInstances|StopInstances|CreateTags|DeleteTags", ALONE, Limit(50, 5), EC2_PAGE),
        (READS, ALONE, Limit(100, 20), EC2_PAGE),
        ("", ALONE, Limit(50, 5), EC2_PAGE),
    ),
    "autoscaling": (("", "all", Limit(40, 8), "one bucket for all operations, of a size that is not told: a guess"),),
    "elbv2": (
        (READS, "reads", Limit(40, 10), ELB_PAGE),
        ("RegisterTargets|DeregisterTargets", "targets", Limit(20, 4), "its own bucket, of a size not told: a guess"),
        ("", "writes", Limit(20, 3), "its own bucket, of a size that is not told: a guess"),
    ),
    "ssm": (
        ("GetParameter", "parameters", Limit(40, 40), SSM_PAGE),
        ("SendCommand", ALONE, Limit(5, 5), "a guess"),
        ("", ALONE, Limit(10, 5), "a guess"),
    ),
    "sts": (("", "all", Limit(50, 50), "a tenth of the default of 600 a second for an account: others log in, too"),),
    "cloudwatch": (
        ("GetMetricData", ALONE, Limit(50, 50), CLOUDWATCH_PAGE),
        ("DescribeAlarms", ALONE, Limit(9, 9), CLOUDWATCH_PAGE),
        ("", ALONE, Limit(10, 10), "a guess"),
    ),
    "kms": (("", "all", Limit(100, 100), KMS_PAGE),),
}
OTHERWISE: Row = ("", ALONE, Limit(5, 1), "no entry: careful")

URGENT: Mapping[str, frozenset[str]] = {
    "elbv2": frozenset({"ModifyListener", "ModifyRule", "AddTags", "RemoveTags", "RegisterTargets"}),
    "autoscaling": frozenset({"UpdateAutoScalingGroup", "SetDesiredCapacity", "AttachLoadBalancerTargetGroups"}),
}
"""What may use the reserve. A provider is not told which way traffic goes, so the rule is what a call does: it moves
traffic or marks it, or gives a side its capacity or its targets. Reads may, too, where `urgent()` surrounds them: that
is the direct read of a route before it is written. Everything that polls may not."""


def bucket_of(api: str, operation: str) -> tuple[str, Limit]:
    """Which bucket a call (`DescribeListeners`) draws from; the name tells it apart from all others of the place."""
    for pattern, name, limit, _ in (*TABLE.get(api, ()), OTHERWISE):
        if re.match(pattern, operation):
            return f"{api}.{operation if name == ALONE else name}", limit
    raise AssertionError(operation)  # the last row matches everything


def is_read(operation: str) -> bool:
    return re.match(READS, operation) is not None


def is_urgent(api: str, operation: str) -> bool:
    return operation in URGENT.get(api, ())

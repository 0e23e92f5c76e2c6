"""What goes wrong in an account behind AWS's calls: launches, health, and reads that lag behind writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import EndpointConnectionError
from moto.autoscaling.models import FakeAutoScalingGroup
from moto.elbv2.models import FakeTargetGroup

from providers.base import Slot
from tests.aws.calls import Answer, Call, answer_to
from tests.aws.fault_kit import Story
from tests.aws.wire import Apply


def launches_end(shop: Story, why: str, *, launched: int = 0) -> None:
    """Green gets so many hosts and no more; its scaling activities say why."""
    original = FakeAutoScalingGroup.replace_autoscaling_group_instances
    account = shop.account

    def launch(self: FakeAutoScalingGroup, count_needed: int, propagated_tags: dict[str, str]) -> None:
        if self.name != "shop-green":
            original(self, count_needed, propagated_tags)
            return
        now = datetime.fromtimestamp(shop.clock.now(), UTC)
        if (possible := max(launched - len(self.instance_states), 0)) > 0:
            original(self, min(possible, count_needed), propagated_tags)
        if count_needed > possible:
            account.answers.activities.setdefault("shop-green", []).insert(
                0,
                {
                    "Description": f"Launching a new EC2 instance.  Status Reason: {why}",
                    "StatusCode": "Failed",
                    "StatusMessage": why,
                    "StartTime": now,
                    "EndTime": now,
                },
            )

    shop.patched.setattr(FakeAutoScalingGroup, "replace_autoscaling_group_instances", launch)


def never_healthy(shop: Story, slot: Slot, reason: str, description: str) -> None:
    """The balancer judges the slot's targets, and finds them unhealthy, from now on."""
    original = FakeTargetGroup.health_for
    arns = [one.target_group(slot) for one in shop.routes]

    def health(self: FakeTargetGroup, target: dict[str, Any], ec2_backend: Any) -> Any:
        found = original(self, target, ec2_backend)
        if self.arn in arns and found.status == "healthy":
            found.status, found.reason, found.description = "unhealthy", reason, description
        return found

    shop.patched.setattr(FakeTargetGroup, "health_for", health)


def only_in_words(shop: Story, operation: str) -> None:
    """AWS says that it is done, and it is not."""
    shop.line.plan(operation, lambda call, apply: answer_to(call, {}), 1_000_000)


@dataclass
class Lag:
    """How many answers were given that were not true any more."""

    stale: int = 0
    left: int = 0


def lag(shop: Story, read: str, write: str, times: int, *, number: int = 0) -> Lag:
    """After such a write (the first, or the one of this number from 0), this read answers what it answered before it,
    for so many calls."""
    counted = Lag()
    seen: dict[str, Answer] = {}

    def behind(call: Call, apply: Apply) -> Answer:
        asked = f"{call.name} {sorted(call.parameters.items(), key=str)}"
        true = apply()
        if counted.left and asked in seen:
            counted.left -= 1
            counted.stale += _said(seen[asked]) != _said(true)
            return seen[asked]
        seen[asked] = true
        return true

    def written(call: Call, apply: Apply) -> Answer:
        counted.left = times
        return apply()

    shop.line.plan(read, behind, 1_000_000)
    shop.line.plan(write, written, 1, number)
    return counted


def _said(answer: Answer) -> bytes:
    """Without what is another one in each answer."""
    return re.sub(rb"<[rR]equestId>[^<]*</[rR]equestId>", b"", answer[2])


def no_such_host(shop: Story) -> None:
    """No name server knows AWS's address."""

    def unknown(call: Call, apply: Apply) -> Answer:
        raise EndpointConnectionError(endpoint_url="https://nowhere.amazonaws.com/")

    shop.line.plan("*", unknown, 1_000_000)

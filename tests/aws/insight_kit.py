"""What the tests of what AWS knows ahead stand on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.base import Concern, Insight, Patch, Service
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process, open_provider

STANDARD, SPOT = ("ec2", "L-1216C47A"), ("ec2", "L-34B43A08")
DAY = 86400.0


@dataclass
class Scene:
    """`shop` with two hosts of two vCPUs on blue; green is a parked group of the user's, or absent."""

    account: Account
    service: Service
    insight: Insight
    clock: VirtualClock

    def foresee(self, capacity: int = 2, ahead_s: float = DAY) -> list[Concern]:
        return list(
            self.insight.foresee(self.service, "blue", Patch("base-2", {}), capacity, self.clock.now() + ahead_s)
        )

    def texts(self, kind: str, **how: Any) -> list[str]:
        return [concern.text for concern in self.foresee(**how) if concern.kind == kind]

    def group(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.account.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[name]
        )["AutoScalingGroups"][0]
        return found

    def change(self, name: str = "shop-blue", **what: Any) -> None:
        self.account.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, **what)

    def target_group(self, slot: str) -> str:
        return str(self.service.options["routes"][0][slot])


@contextmanager
def scene(folder: Path, *, on_demand: bool = False, capacity: int = 2, **options: Any) -> Iterator[Scene]:
    """Nothing is in the way of two more hosts."""
    with in_process() as account:
        service = account.service("shop", capacity, on_demand=on_demand, **options)
        clock = VirtualClock()
        provider = open_provider(folder, clock)
        assert provider.insight is not None
        account.answers.quotas |= {STANDARD: 100.0, SPOT: 100.0}
        yield Scene(account, service, provider.insight, clock)

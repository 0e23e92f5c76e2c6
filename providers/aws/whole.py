"""What has to be read of a whole account, and what is the same for all of its services: once for all who look ahead
within a minute, for a fleet is planned in one go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from providers.aws.cloud import Cloud, Place
from providers.aws.groups import NAMES_A_CALL, Group
from providers.base import Clock

REMEMBERED_S = 60.0
AGAIN_S = 5.0
"""Nothing is refused for what was seen longer ago: somebody may just have put it right."""
INSTANCES_A_PAGE = 1000
TYPES_A_CALL = 100
PLACES = 400


class Whole:
    """Thread-safe. An answer is at most `within_s` old."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._known: dict[tuple[Place, str], tuple[float, list[Any]]] = {}

    def groups(self, cloud: Cloud, within_s: float = REMEMBERED_S) -> list[Group]:
        """All Auto Scaling groups of account and region."""

        def read() -> list[Group]:
            size = {"PageSize": NAMES_A_CALL}
            return cloud.pages(
                "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", PaginationConfig=size
            )

        return self._remembered(cloud, "groups", within_s, read)

    def instances(self, cloud: Cloud, within_s: float = REMEMBERED_S) -> list[dict[str, Any]]:
        """All instances of account and region that run or start."""

        def read() -> list[dict[str, Any]]:
            reservations = cloud.pages(
                "ec2",
                "describe_instances",
                "Reservations",
                Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}],
                PaginationConfig={"PageSize": INSTANCES_A_PAGE},
            )
            return [one for reservation in reservations for one in reservation.get("Instances", ())]

        return self._remembered(cloud, "instances", within_s, read)

    def balancing(self, cloud: Cloud, within_s: float = REMEMBERED_S) -> dict[str, int]:
        """The account's limits for load balancers, by name."""

        def read() -> list[dict[str, Any]]:
            return cloud.pages("elbv2", "describe_account_limits", "Limits")

        return {one["Name"]: int(one["Max"]) for one in self._remembered(cloud, "balancing", within_s, read)}

    def quota(self, cloud: Cloud, code: str, within_s: float = REMEMBERED_S) -> dict[str, Any]:
        """One of EC2's quotas."""

        def read() -> list[dict[str, Any]]:
            return [cloud.read("service-quotas", "get_service_quota", ServiceCode="ec2", QuotaCode=code)["Quota"]]

        return dict(self._remembered(cloud, f"quota {code}", within_s, read)[0])

    def vcpus(self, cloud: Cloud, kinds: Iterable[str]) -> dict[str, int]:
        """How many each of these instance types has; that never changes."""
        asked = sorted(set(kinds))

        def read() -> list[dict[str, Any]]:
            each = ("InstanceTypes", "InstanceTypes", asked, TYPES_A_CALL)
            return cloud.batches("ec2", "describe_instance_types", *each)

        found = self._remembered(cloud, f"types {' '.join(asked)}", REMEMBERED_S, read)
        return {one["InstanceType"]: int(one["VCpuInfo"]["DefaultVCpus"]) for one in found}

    def _remembered(self, cloud: Cloud, what: str, within_s: float, read: Callable[[], list[Any]]) -> list[Any]:
        key, now = (cloud.place, what), self._clock.now()
        with self._lock:
            read_at, known = self._known.get(key, (0.0, []))
            if key in self._known and now - read_at < within_s:
                return known
        found = read()
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = (now, found)
            if len(self._known) > PLACES:
                del self._known[next(iter(self._known))]
        return found

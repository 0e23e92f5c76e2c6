"""A service on moto for the tests of its traffic, with every request that was sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from providers.aws.cloud import Cloud, Clouds
from providers.aws.identity import open_session
from providers.aws.options import Options
from providers.aws.traffic import AwsTraffic
from providers.base import Context, Instance, Service, Slot, Weights
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process


class Scene:
    """`sent` has operation and parameters of each request in its order. `broken` names operations, and what comes
    instead of their answer: an exception that botocore raises."""

    def __init__(self, account: Account, folder: Path) -> None:
        self.account, self.clock = account, VirtualClock()
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.broken: dict[str, Exception] = {}
        self.clouds = Clouds(Context(folder, folder, self.clock), self.open)
        self.traffic = AwsTraffic(self.clouds)
        self.elbv2 = account.client("elbv2")
        account.manner.fresh_for = 0

    def open(self, place: Any) -> Any:
        session = open_session(place)
        session.register("before-parameter-build.*.*", self._record)
        return session

    def _record(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.sent.append((model.name, dict(params)))
        if model.name in self.broken:
            raise self.broken[model.name]

    def of(self, service: Service) -> tuple[Cloud, Options]:
        return self.clouds.of(service)

    def permanent(self, name: str = "shop", capacity: int = 2) -> Service:
        """Blue serves, green has as many hosts and is in no route."""
        service = self.account.service(name, capacity, on_demand=False)
        self.size(service, "green", capacity)
        return service

    def size(self, service: Service, slot: Slot, capacity: int) -> None:
        self.account.client("autoscaling").set_desired_capacity(
            AutoScalingGroupName=service.options[slot], DesiredCapacity=capacity
        )

    def hosts(self, service: Service, slot: Slot) -> list[Instance]:
        (group,) = self.account.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[service.options[slot]]
        )["AutoScalingGroups"]
        return [Instance(each["InstanceId"], slot, "running", None, "10.0.0.1:80") for each in group["Instances"]]

    def targets(self, target_group: str) -> set[str]:
        found = self.elbv2.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
        return {each["Target"]["Id"] for each in found}

    def with_two_routes(self, service: Service) -> Service:
        """The same service behind a second listener with target groups of its own, which moves last."""
        first = dict(service.options["routes"][0])
        second = {slot: self.account.target_group(f"{service.name}-{slot}-2") for slot in ("blue", "green")}
        second["listener"], second["rule"] = self.account.listener([(second["blue"], 100)]), ""
        return Service(service.name, {**service.options, "routes": [first, second]})

    def edit(self, listener: str, groups: Sequence[tuple[str, int]], **forward: Any) -> None:
        """A person changes a listener past us."""
        entries = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": entries, **forward}}]
        self.elbv2.modify_listener(ListenerArn=listener, DefaultActions=actions)

    def shared(self, service: Service, weights: Weights) -> None:
        for route in service.options["routes"]:
            self.edit(route["listener"], [(route[slot], weights[slot]) for slot in ("blue", "green")])

    def weights(self, listener: str) -> dict[str, int]:
        (found,) = self.elbv2.describe_listeners(ListenerArns=[listener])["Listeners"]
        (action,) = [each for each in found["DefaultActions"] if each["Type"] == "forward"]
        return {each["TargetGroupArn"]: each.get("Weight", 1) for each in action["ForwardConfig"]["TargetGroups"]}

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for name, parameters in self.sent if name == operation]


@contextmanager
def open_scene(folder: Path) -> Iterator[Scene]:
    with in_process() as account:
        yield Scene(account, folder)

"""The AWS provider in the contract suite, on an account inside of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from providers.aws import rollback
from providers.aws.options import Options
from providers.base import SLOTS, Instance, Service, Slot, TestRoute, Weights, plain
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process, open_provider
from tests.aws.patch_agent import Agents
from tests.aws.paths import target_group_of
from tests.providers.harness import Harness

REFERENCE = "/images/base/latest"
PACKAGES = {"base-1": "3.0.8-1.amzn2023", "base-2": "3.0.8-2.amzn2023"}
FRESH_S = 10


class AwsHarness(Harness):
    reference, has_cas = f"ssm:{REFERENCE}", False
    exact_targets = False  # Auto Scaling registers whom it keeps in service, and would not do it a second time
    rollback = rollback

    def __init__(self, account: Account, folder: Path) -> None:
        self.account, self.clock = account, VirtualClock()
        account.manner.now, account.manner.sleep, account.manner.fresh_for = self.clock.now, self.clock.sleep, FRESH_S
        account.answers.inventory_of = self._installed
        self.agents = Agents(account)
        self.base_image, self.patched_image = account.images["base-1"], account.images["base-2"]
        account.client("ssm").put_parameter(
            Name=REFERENCE, Type="String", DataType="text", Value=self.patched_image, Overwrite=True
        )
        self.provider = open_provider(folder, self.clock)
        self._ruled: set[str] = set()

    def service(self, name: str = "shop", capacity: int = 2) -> Service:
        return self.account.service(name, capacity)

    def unknown_service(self) -> Service:
        balancing = f"arn:aws:elasticloadbalancing:{self.account.region}:123456789012"
        route = {
            "listener": f"{balancing}:listener/app/front/{'0' * 16}/{'0' * 16}",
            "blue": f"{balancing}:targetgroup/nobody-blue/{'0' * 16}",
            "green": f"{balancing}:targetgroup/nobody-green/{'0' * 16}",
        }
        where = {"region": self.account.region, "endpoint_url": self.account.endpoint_url}
        options = {**where, "blue": "nobody-blue", "green": "nobody-green", "routes": [route]}
        return Service("nobody", plain(Options.of(Service("nobody", options))))

    def settle(self, fact: Callable[[], bool], why: str) -> None:
        until = self.clock.now() + 600
        while not fact():
            assert self.clock.now() < until, why
            self.clock.sleep(1)

    def kill(self, service: Service, instance: Instance) -> None:
        self.account.client("ec2").terminate_instances(InstanceIds=[instance.id])

    def edit_route(self, service: Service, weights: Weights) -> None:
        elbv2 = self.account.client("elbv2")
        for route in Options.of(service).routes:
            groups = [{"TargetGroupArn": route.target_group(slot), "Weight": weights[slot]} for slot in SLOTS]
            actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
            if route.rule:
                elbv2.modify_rule(RuleArn=route.rule, Actions=actions)
            else:
                elbv2.modify_listener(ListenerArn=route.listener, DefaultActions=actions)

    def existing(self, service: Service) -> set[Slot]:
        options = Options.of(service)
        asked = self.account.client("autoscaling").get_paginator("describe_auto_scaling_groups").paginate()
        groups = [group for page in asked for group in page["AutoScalingGroups"]]
        names = {group["AutoScalingGroupName"] for group in groups if not group.get("Status")}
        return {slot for slot in SLOTS if options.group(slot) in names}

    def reached(self, route: TestRoute) -> Slot | None:
        """The rules for checks are made only now, so that nothing but `attach` makes a target healthy."""
        service = self._service_of("shop")
        if service.name not in self._ruled:
            self.account.test_rules(service)
            self._ruled.add(service.name)
        reached = target_group_of(self.account, route.url, route.headers)
        options = Options.of(service)
        return next((slot for slot in SLOTS if reached in options.target_groups(slot)), None)

    def _service_of(self, name: str) -> Service:
        return self.account.services[name]

    def _installed(self, instance: str) -> Mapping[str, str] | None:
        """What the image of an instance has installed."""
        found: Any = self.account.client("ec2").describe_instances(InstanceIds=[instance])
        image = found["Reservations"][0]["Instances"][0]["ImageId"]
        name = next(name for name, known in self.account.images.items() if known == image)
        return {"openssl": PACKAGES[name], "bash": "5.2.15-1.amzn2023"}


@contextmanager
def open_harness(tmp_path: Path) -> Iterator[Harness]:
    with in_process() as account:
        yield AwsHarness(account, tmp_path)

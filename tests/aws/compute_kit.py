"""A service on an account inside of this process, and what the tests of compute do with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from providers.aws.adapter import build
from providers.aws.cloud import Cloud, Clouds
from providers.aws.compute import AwsCompute
from providers.aws.options import Options
from providers.base import Context, Instance, Provider, Service, Slot
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process

OWNER = "rollout-manager/shop"


@dataclass
class Scene:
    account: Account
    clock: VirtualClock
    provider: Provider
    clouds: Clouds

    @property
    def compute(self) -> AwsCompute:
        found = self.provider.compute
        assert isinstance(found, AwsCompute)
        return found

    @property
    def autoscaling(self) -> Any:
        return self.account.client("autoscaling")

    def cloud(self, service: Service) -> tuple[Cloud, Options]:
        return self.clouds.of(service)

    def mirror(self, service: Service, token: str = "mirror-1", image: str = "base-2") -> None:  # noqa: S107 - no password
        self.compute.mirror(service, "blue", "green", self.account.images.get(image, image), OWNER, token)

    def group(self, name: str) -> dict[str, Any]:
        found = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(found[0]) if found else {}

    def versions(self, template: str) -> list[dict[str, Any]]:
        ec2 = self.account.client("ec2")
        found: list[dict[str, Any]] = ec2.describe_launch_template_versions(LaunchTemplateName=template)[
            "LaunchTemplateVersions"
        ]
        return sorted(found, key=lambda each: int(each["VersionNumber"]))

    def instances(self, service: Service, slot: Slot) -> list[Instance]:
        return [each for each in self.compute.observe([service])[service.name] if each.slot == slot]

    def update(self, name: str, **fields: Any) -> None:
        self.autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, **fields)

    def tags(self, name: str) -> Mapping[str, str]:
        return {each["Key"]: each["Value"] for each in self.group(name)["Tags"]}

    def weigh(self, service: Service, blue: int) -> None:
        options = Options.of(service)
        groups = [
            {"TargetGroupArn": options.routes[0].blue, "Weight": blue},
            {"TargetGroupArn": options.routes[0].green, "Weight": 100 - blue},
        ]
        self.account.client("elbv2").modify_listener(
            ListenerArn=options.routes[0].listener,
            DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
        )


@pytest.fixture(name="scene")
def a_scene(tmp_path: Path) -> Iterator[Scene]:
    clock = VirtualClock()
    with in_process() as account:
        context = Context(tmp_path, tmp_path, clock)
        yield Scene(account, clock, build(context), Clouds(context))

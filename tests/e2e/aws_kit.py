"""Services of `provider: aws` on the test cloud over HTTP, with the program as a process that has its own credentials.

The server runs in the test's process, so that a test can say what goes wrong on the wire; everything that is tested
runs outside of it. Where traffic and hosts are is read with a person's own client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from providers.aws.options import Options
from providers.base import SLOTS, Service
from tests.aws.account import CREDENTIALS, Account
from tests.aws.wire import Line
from tests.e2e.kit import PROGRAM, Done, Running, Told, environment

NO_BOTO3 = "raise ModuleNotFoundError(\"No module named '{name}'\", name='{name}')\n"


class AwsFleet(Told):
    """One service in a folder of its own. `line`: what goes wrong between the program and the account."""

    def __init__(self, account: Account, line: Line, folder: Path, service: Service, **changes: Any) -> None:
        self.account, self.line, self.folder, self.service = account, line, folder, service
        self.name, self.options = service.name, Options.of(service)
        self.config, self.state = folder / "fleet.yaml", folder / ".rollout"
        self.children: list[Running] = []
        options = {key: value for key, value in service.options.items() if value not in ("", [], {})}
        self.document: dict[str, Any] = {
            "version": 1,
            "services": {
                self.name: {
                    "provider": "aws",
                    "coexist": "safe",
                    "options": {**options, "account": "123456789012"},
                    "traffic": {"steps": [50, 100], "soak": "600ms", "interval": "300ms", "drain_limit": "1s"},
                    "settle": "0s",
                    "bake": "300ms",
                    "keep_warm": "1h",
                    "gates": {
                        "preflight": {"passes": 1},
                        "replacement": {"passes": 1, "deadline": "30s"},
                        "live": {"passes": 2, "failures": 2, "deadline": "60s"},
                    },
                    "deadlines": {"running": "60s", "healthy": "60s"},
                    "checks": {
                        "preflight": ["balancer"],
                        "replacement": ["balancer", "fidelity"],
                        "live": ["balancer"],
                    },
                    **changes,
                }
            },
        }
        self.write()

    def write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(self.document, sort_keys=False))

    # The program

    def begin(self, *arguments: str, **variables: str) -> Running:
        own = {**environment(self.folder), **CREDENTIALS, **variables}
        running = Running([*PROGRAM, *arguments, "--config", str(self.config)], self.folder, own)
        self.children.append(running)
        return running

    def rollout(self, *arguments: str, **variables: str) -> Done:
        return self.begin(*arguments, **variables).wait()

    def promoted(self) -> dict[str, Any]:
        done = self.rollout("start", self.name, "--image", self.image("base-2"), "--json")
        assert done.code == 0, done
        return done.last

    def status(self) -> dict[str, Any]:
        done = self.rollout("status", self.name, "--json")
        assert done.code == 0, done
        return done.last

    def without_boto3(self) -> Mapping[str, str]:
        """Variables of a program that was installed without the extra."""
        for name in ("boto3", "botocore"):
            (self.folder / "absent" / name).mkdir(parents=True, exist_ok=True)
            (self.folder / "absent" / name / "__init__.py").write_text(NO_BOTO3.format(name=name))
        return {"PYTHONPATH": str(self.folder / "absent")}

    # The truth

    def image(self, name: str) -> str:
        return f"name:self/{name}"

    @property
    def weights(self) -> dict[str, int]:
        route = self.options.routes[0]
        (listener,) = self.account.client("elbv2").describe_listeners(ListenerArns=[route.listener])["Listeners"]
        groups = listener["DefaultActions"][0]["ForwardConfig"]["TargetGroups"]
        found = {each["TargetGroupArn"]: each["Weight"] for each in groups}
        return {slot: found.get(route.target_group(slot), 0) for slot in SLOTS}

    @property
    def hosts(self) -> dict[str, list[str]]:
        """The images of the running hosts of each group that exists."""
        asked = self.account.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.options.blue, self.options.green]
        )
        found: dict[str, list[str]] = {}
        called = {image: name for name, image in self.account.images.items()}
        for group in asked["AutoScalingGroups"]:
            ids = [one["InstanceId"] for one in group["Instances"]]
            told = self.account.client("ec2").describe_instances(InstanceIds=ids)["Reservations"] if ids else []
            images = [called[one["ImageId"]] for each in told for one in each["Instances"]]
            found[self.options.slot_of(group["AutoScalingGroupName"])] = images
        return found

    def close(self) -> None:
        for child in self.children:
            child.kill()


@contextmanager
def open_aws_fleet(account: Account, line: Line, folder: Path, name: str, **more: Any) -> Iterator[AwsFleet]:
    """`on_demand`: the other side is created for a rollout; the rest are settings of the service."""
    service = account.service(name, 2, on_demand=more.pop("on_demand", True))
    fleet = AwsFleet(account, line, folder, service, **more)
    try:
        yield fleet
    finally:
        fleet.close()
        line.clear()

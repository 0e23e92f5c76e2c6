"""A small AWS account on moto, made with boto3 as a user's infrastructure code would make it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from botocore.config import Config
from botocore.loaders import create_loader
from moto import mock_aws

from providers.aws.options import Options
from providers.base import SLOTS, Context, Provider, Service, plain
from providers.memory.clock import VirtualClock
from tests.aws.stubs import Answers
from tests.aws.truer import Manner, truer
from tests.aws.wire import BY_HAND, Wire, in_process_wire

_LOADER = create_loader()
REGION = "eu-central-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # thousands of images that no test asks for, made anew for each
}
PATH: Mapping[str, Any] = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/shop/*", "/cart/*"]}}
HOST: Mapping[str, Any] = {"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.example.com"]}}
"""Conditions of rules."""


@dataclass
class Account:
    """Network, one balancer of this `kind`, two images; services are added to it.

    `manner`: how slow it is and how small its pages are; `answers`: what moto lacks; `wire`: for `wire.wire(account)`.
    """

    endpoint_url: str = ""
    region: str = REGION
    kind: Literal["application", "network"] = "application"
    subnets: list[str] = field(default_factory=list)
    balancer: str = ""
    vpc: str = ""
    images: dict[str, str] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    ports: int = 8000
    manner: Manner = field(default_factory=Manner)
    answers: Answers = field(default_factory=Answers)
    wire: Wire = field(default_factory=lambda: Wire(Answers()))

    def __post_init__(self) -> None:
        ec2, elbv2 = self.client("ec2"), self.client("elbv2")
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        for number, zone in enumerate("ab"):
            made = ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"{self.region}{zone}"
            )
            self.subnets.append(made["Subnet"]["SubnetId"])
        made = elbv2.create_load_balancer(Name="front", Subnets=self.subnets, Scheme="internal", Type=self.kind)
        self.balancer = made["LoadBalancers"][0]["LoadBalancerArn"]
        for name in ("base-1", "base-2"):
            self.images[name] = self.image(name)

    def client(self, api: str) -> Any:
        """A person's own client: lines on the wire neither see nor disturb it."""
        config = Config(user_agent_extra=BY_HAND)
        return boto3.client(api, region_name=self.region, endpoint_url=self.endpoint_url or None, config=config)

    def image(self, name: str, architecture: str = "x86_64") -> str:
        """A registered image."""
        ec2 = self.client("ec2")
        return str(
            ec2.register_image(
                Name=name,
                Architecture=architecture,
                RootDeviceName="/dev/xvda",
                BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8}}],
                VirtualizationType="hvm",
            )["ImageId"]
        )

    def target_group(self, name: str) -> str:
        judged = {"Protocol": "TCP"} if self.kind == "network" else {"Protocol": "HTTP", "HealthCheckPath": "/health"}
        made = self.client("elbv2").create_target_group(
            Name=name, Port=80, VpcId=self.vpc, TargetType="instance", **judged
        )
        return str(made["TargetGroups"][0]["TargetGroupArn"])

    def listener(self, groups: list[tuple[str, int]], protocol: str = "") -> str:
        """A listener on a port of its own whose default action splits traffic like this. `protocol`: another one than
        HTTP or TCP; HTTPS and TLS have a certificate."""
        forward = {"TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in groups]}
        return self._listener([{"Type": "forward", "ForwardConfig": forward}], protocol)

    def _listener(self, actions: list[dict[str, Any]], protocol: str = "") -> str:
        self.ports += 1
        certificates = (
            {"Certificates": [{"CertificateArn": self.certificate()}]} if protocol in ("HTTPS", "TLS") else {}
        )
        made = self.client("elbv2").create_listener(
            LoadBalancerArn=self.balancer,
            Protocol=protocol or ("TCP" if self.kind == "network" else "HTTP"),
            Port=self.ports,
            DefaultActions=actions,
            **certificates,
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def certificate(self) -> str:
        """A server certificate's ARN. Nobody looks at what is in it."""
        names = {"ServerCertificateName": f"front-{self.ports}", "CertificateBody": "body", "PrivateKey": "key"}
        made = self.client("iam").upload_server_certificate(**names)
        return str(made["ServerCertificateMetadata"]["Arn"])

    def rule(self, conditions: Sequence[Mapping[str, Any]], actions: list[dict[str, Any]], protocol: str = "") -> Any:
        """Listener and rule (priority 7): what meets all of these conditions is dealt with so, and all else is lost."""
        lost = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
        listener = self._listener([lost], protocol)
        made = self.client("elbv2").create_rule(
            ListenerArn=listener, Priority=7, Conditions=list(conditions), Actions=actions
        )
        return listener, str(made["Rules"][0]["RuleArn"])

    def template(self, name: str, image: str) -> str:
        made = self.client("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": image,
                "InstanceType": "t3.micro",
                "UserData": "IyEvYmluL3NoCg==",
                "MetadataOptions": {"HttpTokens": "required"},
                "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "service", "Value": name}]}],
            },
        )
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def group(self, name: str, template: str, capacity: int, target_groups: list[str], *, largest: int = 6) -> None:
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            MinSize=min(capacity, 1),
            MaxSize=largest,
            DesiredCapacity=capacity,
            VPCZoneIdentifier=",".join(self.subnets),
            TargetGroupARNs=target_groups,
            HealthCheckType="ELB",
            HealthCheckGracePeriod=60,
            Tags=[{"Key": "team", "Value": "shop", "PropagateAtLaunch": True}],
        )

    def until_healthy(self, target_group: str, targets: int) -> None:
        """Let the account take the time that fresh targets need."""
        asked = self.client("elbv2")
        for _ in range(100):
            found = asked.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
            if sum(one["TargetHealth"]["State"] == "healthy" for one in found) == targets:
                return
            self.manner.pass_time()
        raise AssertionError(f"never {targets} healthy targets in {target_group}: {found}")

    def test_listener(self, port: int) -> str:
        """A listener that has no answer but what `test_rules` gives it."""
        lost = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
        made = self.client("elbv2").create_listener(
            LoadBalancerArn=self.balancer, Protocol="HTTP", Port=port, DefaultActions=[lost]
        )
        return str(made["Listeners"][0]["ListenerArn"])

    def test_rules(self, service: Service, listener: str = "") -> None:
        """Rules by which the test header chooses the slot, on this listener, else on the first route's."""
        options, elbv2 = Options.of(service), self.client("elbv2")
        for priority, slot in enumerate(SLOTS, 1):
            elbv2.create_rule(
                ListenerArn=listener or options.routes[0].listener,
                Priority=priority,
                Conditions=[
                    {
                        "Field": "http-header",
                        "HttpHeaderConfig": {"HttpHeaderName": options.test_header, "Values": [slot]},
                    }
                ],
                Actions=[{"Type": "forward", "TargetGroupArn": options.routes[0].target_group(slot)}],
            )

    def service(
        self,
        name: str = "shop",
        capacity: int = 2,
        *,
        on_demand: bool = True,
        ruled: Sequence[Mapping[str, Any]] = (),
        before: Sequence[Mapping[str, Any]] = (),
        protocol: str = "",
        **more: Any,
    ) -> Service:
        """Blue serves `base-1`; green is there as a parked slot, or (on demand) only as an empty target group.

        Its route is a listener's default action, or a rule with the conditions `ruled`, which has the actions `before`
        ahead of the one that forwards. `protocol`: the listener's.
        """
        blue, green = self.target_group(f"{name}-blue"), self.target_group(f"{name}-green")
        if ruled:
            forward = {"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": blue, "Weight": 1}]}}
            listener, rule = self.rule(ruled, [*map(dict, before), forward], protocol)
        else:
            listener, rule = self.listener([(blue, 100)], protocol), ""
        self.group(f"{name}-blue", self.template(f"{name}-blue", self.images["base-1"]), capacity, [blue])
        if not on_demand:
            self.group(f"{name}-green", self.template(f"{name}-green", self.images["base-1"]), 0, [])
        self.until_healthy(blue, capacity)
        options = {
            "region": self.region,
            "blue": f"{name}-blue",
            "green": f"{name}-green",
            "standby": "on_demand" if on_demand else "permanent",
            "routes": [{"listener": listener, "rule": rule, "blue": blue, "green": green}],
            "endpoint_url": self.endpoint_url,
            "test_url": f"http://front.internal:{self.ports}",
            **more,
        }
        self.services[name] = Service(name, plain(Options.of(Service(name, options))))
        return self.services[name]


def open_provider(folder: Path, clock: Any = None) -> Provider:
    from providers.aws.adapter import build

    return build(Context(folder, folder, clock or VirtualClock()))


@contextmanager
def credentials() -> Iterator[None]:
    """This process has those of the account meanwhile, and nothing of the machine's."""
    with pytest.MonkeyPatch.context() as patched:
        for key, value in CREDENTIALS.items():
            patched.setenv(key, value)
        # Each session would read Amazon's models from disk again.
        patched.setattr("botocore.session.create_loader", lambda data_path=None: _LOADER)
        yield


@contextmanager
def in_process(**account: Any) -> Iterator[Account]:
    """An account on moto inside of this process; `account`: fields of Account."""
    answers = Answers()
    with credentials(), mock_aws(), truer() as manner, in_process_wire(answers) as between:
        yield Account(manner=manner, answers=answers, wire=between, **account)

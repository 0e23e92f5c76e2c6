"""A laptop with credentials and nothing else: no fleet file, no card, no store; the name in an alarm is enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.aws.quick import kept
from tests.aws.account import CREDENTIALS, Account
from tests.aws.server import server
from tests.aws.wire import Line, wire
from tests.e2e.aws_kit import AwsFleet, open_aws_fleet
from tests.e2e.kit import PROGRAM, Done, Running, environment

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("aws-server")]
BACK = {"blue": 100, "green": 0}
FORWARD = {"blue": 0, "green": 100}
T = "1"
"""Seconds that a write in flight may still land: no test waits for fifteen."""


class Laptop:
    """A folder with nothing in it, and an account in which somebody else has promoted a service."""

    def __init__(self, fleet: AwsFleet, folder: Path) -> None:
        self.fleet, self.folder, self.children = fleet, folder, list[Running]()
        folder.mkdir()
        fleet.promoted()
        self.listener = fleet.options.routes[0].listener
        self.elbv2 = fleet.account.client("elbv2")
        head = self.tags[kept.HEAD].split(" ")
        self.elbv2.add_tags(
            ResourceArns=[self.listener], Tags=[{"Key": kept.HEAD, "Value": " ".join([*head[:3], T, *head[4:]])}]
        )

    @property
    def tags(self) -> dict[str, str]:
        """Of the listener."""
        (told,) = self.elbv2.describe_tags(ResourceArns=[self.listener])["TagDescriptions"]
        return {each["Key"]: each["Value"] for each in told["Tags"]}

    def forward(self, blue: int = 0, green: int = 100) -> None:
        """Somebody moves traffic by hand."""
        route = self.fleet.options.routes[0]
        groups = [
            {"TargetGroupArn": arn, "Weight": weight} for arn, weight in ((route.blue, blue), (route.green, green))
        ]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
        self.elbv2.modify_listener(ListenerArn=self.listener, DefaultActions=actions)

    def begin(self, named: str, *more: str, region: str = "", **variables: str) -> Running:
        """`rollout rollback NAMED --provider aws --region R`."""
        where = ["--region", region or self.fleet.account.region, "--endpoint-url", self.fleet.account.endpoint_url]
        own = {**environment(self.folder), **CREDENTIALS, **variables}
        command = [*PROGRAM, "rollback", named, "--provider", "aws", *where, *more]
        self.children.append(Running(command, self.folder, own))
        return self.children[-1]

    def names(self) -> dict[str, str]:
        """All that people may call what the service has."""
        account, options = self.fleet.account, self.fleet.options
        (group,) = account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[options.green])[
            "AutoScalingGroups"
        ]
        (found,) = account.client("ec2").describe_instances(InstanceIds=[group["Instances"][0]["InstanceId"]])[
            "Reservations"
        ]
        (host,), (balancer,) = found["Instances"], self.elbv2.describe_load_balancers()["LoadBalancers"]
        return {
            "an instance": host["InstanceId"],
            "its address": host["PrivateIpAddress"],
            "a target group": options.routes[0].green.split("/")[1],
            "its ARN": options.routes[0].green,
            "the balancer": balancer["LoadBalancerName"],
            "the balancer's ARN": balancer["LoadBalancerArn"],
            "the balancer's DNS name": balancer["DNSName"],
            "the listener": self.listener,
            "the service": self.fleet.name,
        }


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """An account of its own: a balancer is named, and is to have one service."""
    with server() as served:
        account: Account = served.account()
        with wire(account, time.sleep) as line, open_aws_fleet(account, line, tmp_path / "fleet", "shop") as fleet:
            made = Laptop(fleet, tmp_path / "laptop")
            try:
                yield made
            finally:
                for child in made.children:
                    child.kill()


def line_of(laptop: Laptop) -> Line:
    """Between the program and the account."""
    return laptop.fleet.line


def test_whatever_name_an_alarm_has_leads_there(laptop: Laptop) -> None:
    """At night somebody with a phone call and an instance id has to find a fleet file first."""
    for said, named in laptop.names().items():
        drilled = laptop.begin(named, "--drill").wait()
        assert drilled.code == 0 and "shop: drill: all but the change itself worked" in drilled.err, (said, drilled)
    assert laptop.fleet.weights == FORWARD
    done = laptop.begin(laptop.names()["an instance"]).wait()
    assert done.code == 0 and f"all new traffic is on blue, marked and read back for {T} s" in done.err, done
    assert laptop.fleet.weights == BACK and "rollout-manager:mark" in laptop.tags
    laptop.forward(blue=30, green=70)
    done = laptop.begin(laptop.names()["its address"]).wait()
    assert done.code == 0 and "now blue 30 %, green 70 %" in done.err and laptop.fleet.weights == BACK, done


def test_what_leads_nowhere_changes_nothing(laptop: Laptop) -> None:
    """The wrong region is told as something else; or a login that ended, without saying whose."""
    wrong = laptop.begin(laptop.names()["an instance"], region="us-east-1").wait()
    assert wrong.code == 5 and "in us-east-1" in wrong.err and "Nothing was changed" in wrong.err, wrong
    config = laptop.folder / "config"
    config.write_text("[profile prod]\naws_access_key_id = a\naws_secret_access_key = b\n")
    line_of(laptop).expire()
    expired = laptop.begin("shop", "--profile", "prod", AWS_CONFIG_FILE=str(config)).wait()
    assert expired.code == 5 and "as profile prod" in expired.err, expired
    assert "aws sso login --profile prod" in expired.err and "Traceback" not in expired.err
    assert laptop.fleet.weights == FORWARD


def test_two_at_once_and_one_who_may_not_tag(laptop: Laptop) -> None:
    """Two people press the button, and one of them undoes the other; or tags decide whether traffic is put back."""
    both: list[Done] = [each.wait() for each in [laptop.begin("shop"), laptop.begin("shop")]]
    assert [each.code for each in both] == [0, 0] and laptop.fleet.weights == BACK, both
    laptop.forward()
    line_of(laptop).deny("AddTags")
    denied = laptop.begin("shop").wait()
    assert denied.code == 5 and laptop.fleet.weights == BACK, denied
    assert "all new traffic is on blue" in denied.err and "AccessDenied" in denied.err, denied

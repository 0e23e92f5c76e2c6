"""Faults between a caller and AWS do what they say, and to whom they say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from providers.aws.options import Options
from tests.aws.account import Account, in_process
from tests.aws.wire import Line, wire


@pytest.fixture
def account() -> Iterator[Account]:
    """With one service."""
    with in_process() as opened:
        opened.service("shop", 1)
        yield opened


def client(account: Account, api: str, attempts: int = 1) -> Any:
    """As the product has it: not a person's own."""
    config = Config(retries={"total_max_attempts": attempts})
    return boto3.client(api, region_name=account.region, endpoint_url=account.endpoint_url or None, config=config)


def move(account: Account, blue: int, attempts: int = 1) -> Any:
    """Write this weight to the listener, by whoever is not a person."""
    route = Options.of(account.services["shop"]).routes[0]
    groups = [{"TargetGroupArn": route.blue, "Weight": blue}, {"TargetGroupArn": route.green, "Weight": 100 - blue}]
    actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
    return client(account, "elbv2", attempts).modify_listener(ListenerArn=route.listener, DefaultActions=actions)


def seen(account: Account, asked: Any = None) -> int:
    """Blue's weight, by a person's own client."""
    listener = Options.of(account.services["shop"]).routes[0].listener
    asked = asked or account.client("elbv2")
    (found,) = asked.describe_listeners(ListenerArns=[listener])["Listeners"]
    return int(found["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][0]["Weight"])


@pytest.fixture
def line(account: Account) -> Iterator[Line]:
    """To the account."""
    with wire(account) as opened:
        yield opened


def test_a_throttled_write_is_not_applied(account: Account, line: Line) -> None:
    """Otherwise a retry after throttling is tested with a write that had landed."""
    line.fail("ModifyListener", code="Throttling", times=1)
    with pytest.raises(ClientError, match="Throttling"):
        move(account, 10)
    assert seen(account) == 100
    move(account, 10)
    assert seen(account) == 10


def test_a_lost_answer_is_of_an_applied_write(account: Account, line: Line) -> None:
    """Otherwise nobody knows what a repeated write does."""
    line.lose("ModifyListener")
    with pytest.raises(ConnectionClosedError):
        move(account, 10)
    assert seen(account) == 10


def test_a_dropped_write_is_not_applied(account: Account, line: Line) -> None:
    """Otherwise the two ways of losing a write look the same."""
    line.drop("ModifyListener")
    with pytest.raises(ConnectionClosedError):
        move(account, 10)
    assert seen(account) == 100


def test_only_the_nth_call_goes_wrong(account: Account, line: Line) -> None:
    """Otherwise a write of several calls cannot be broken in its middle."""
    line.error("ModifyListener", after=1)
    move(account, 90)
    with pytest.raises(ClientError, match="InternalFailure") as error:
        move(account, 80)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    move(account, 70)
    assert seen(account) == 70


@pytest.mark.parametrize(
    "api, operation, named, code",
    [
        ("ec2", "describe_instances", "ec2.DescribeInstances", "UnauthorizedOperation"),
        ("ssm", "describe_parameters", "DescribeParameters", "AccessDenied"),
        ("inspector2", "list_coverage", "ListCoverage", "AccessDenied"),
        ("cloudwatch", "describe_alarms", "DescribeAlarms", "AccessDenied"),
    ],
)
def test_denied(account: Account, line: Line, api: str, operation: str, named: str, code: str) -> None:
    """Otherwise a missing permission of one service is never met in its own wording."""
    line.deny(named)
    for _ in range(2):
        with pytest.raises(ClientError) as error:
            getattr(client(account, api), operation)()
        assert error.value.response["Error"]["Code"] == code


def test_credentials_expire_until_somebody_logs_in(account: Account, line: Line) -> None:
    """Otherwise a rollout that outlives a login is never tested."""
    line.expire()
    for api, operation in (("sts", "get_caller_identity"), ("ec2", "describe_instances")):
        with pytest.raises(ClientError, match="ExpiredToken"):
            getattr(client(account, api), operation)()
    line.login()
    assert client(account, "sts").get_caller_identity()["Account"]


def test_a_stale_answer_is_the_one_before(account: Account, line: Line) -> None:
    """Otherwise reads always follow writes at once, as they do not in the account."""
    asked = client(account, "elbv2")
    assert seen(account, asked) == 100
    line.stale("DescribeListeners")
    move(account, 10)
    assert [seen(account, asked) for _ in range(2)] == [100, 10]


def test_slow_and_somebody_else(account: Account) -> None:
    """Otherwise neither a late answer nor a person's edit in between can be told."""
    waited: list[float] = []
    with wire(account, waited.append) as line:
        line.slow("ModifyListener", 4.0)
        move(account, 90)
        line.before("ModifyListener", lambda: waited.append(float(seen(account))))
        move(account, 50)
    assert waited == [4.0, 90.0] and seen(account) == 50


def test_calls_are_counted_and_a_persons_are_not(account: Account, line: Line) -> None:
    """Otherwise a test that counts calls counts its own."""
    move(account, 10)
    seen(account)
    assert (line.count("ModifyListener"), line.count("elbv2.ModifyListener"), line.count("DescribeListeners")) == (
        1,
        1,
        0,
    )
    (call,) = line.writes
    assert call.name == "elbv2.ModifyListener"
    assert call.parameters["DefaultActions"][0]["ForwardConfig"]["TargetGroups"][0]["Weight"] == 10


def test_sdk_retries_meet_the_same_line(account: Account, line: Line) -> None:
    """Otherwise it would not be seen if the SDK's own retries were on again."""
    line.fail("ModifyListener", times=1)
    move(account, 10, attempts=2)
    assert line.count("ModifyListener") == 2 and seen(account) == 10


def test_faults_end_with_the_line(account: Account) -> None:
    """Otherwise one test's faults are the next one's."""
    with wire(account) as line:
        line.deny("*")
    move(account, 10)
    assert seen(account) == 10

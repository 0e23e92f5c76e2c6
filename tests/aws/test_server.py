"""The test cloud over HTTP: on this machine only, with the same corrections, stubs and faults."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.aws.account import CREDENTIALS, Account
from tests.aws.server import server
from tests.aws.test_wire import client, move, seen
from tests.aws.wire import wire


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    """On a server."""
    with server() as served:
        made = served.account()
        made.service("shop", 1)
        yield made


def test_it_serves_this_machine_only(account: Account) -> None:
    """Otherwise a test run opens a cloud to the whole network."""
    assert urlsplit(account.endpoint_url).hostname == "127.0.0.1"


def test_it_is_as_true(account: Account) -> None:
    """Otherwise what holds in process does not hold for programs."""
    with pytest.raises(ClientError, match="name not found"):
        account.client("autoscaling").set_desired_capacity(AutoScalingGroupName="nobody", DesiredCapacity=1)


@pytest.mark.parametrize("api, operation", [("cloudwatch", "describe_alarms"), ("inspector2", "list_coverage")])
def test_it_answers_what_moto_lacks(account: Account, api: str, operation: str) -> None:
    """Otherwise programs meet errors that AWS does not have."""
    assert getattr(account.client(api), operation)()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_faults_over_http(account: Account) -> None:
    """Otherwise a connection that is really cut is never met."""
    with wire(account) as line:
        line.lose("ModifyListener")
        with pytest.raises(ConnectionClosedError):
            move(account, 40)
        assert seen(account) == 40
        line.fail("ModifyListener")
        with pytest.raises(ClientError, match="Throttling"):
            move(account, 30)
        line.expire()
        with pytest.raises(ClientError, match="ExpiredToken"):
            client(account, "cloudwatch").describe_alarms()
        assert seen(account) == 40


def test_as_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise scripts and end-to-end tests have no cloud."""
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    running = subprocess.Popen([sys.executable, "-m", "tests.aws.server"], stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        url = running.stdout.readline().strip()
        _post(url, "/_line", {"deed": "fail", "operation": "DescribeVpcs", "code": "RequestLimitExceeded"})
        _post(url, "/_answers", {"inventory": {"i-1": {"bash": "5.2"}}})
        made = Account(url)
        with pytest.raises(ClientError, match="RequestLimitExceeded"):
            client(made, "ec2").describe_vpcs()
        assert _post(url, "/_line", {"deed": "login"}) == {"ec2.DescribeVpcs": 1}
        told = made.client("ssm").list_inventory_entries(InstanceId="i-0123456789abcdef0", TypeName="AWS:Application")
        assert told["Entries"] == []
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


def _post(url: str, path: str, asked: object) -> object:
    request = urllib.request.Request(f"{url}{path}", json.dumps(asked).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)

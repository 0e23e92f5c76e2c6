"""Hosts as Auto Scaling and EC2 together tell them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from providers.aws.instances import VALUES_A_CALL, base_image, composite, hosts, read_machines
from providers.base import Instance
from tests.aws.compute_kit import Scene, a_scene  # noqa: F401 - a fixture
from tests.aws.wire import wire

LAUNCHED = datetime(2026, 1, 1, tzinfo=UTC)
PATCHED = "ami-1+pb-0123456789abcdef0@2026-01-01"


def machine(power: str = "running", **more: Any) -> dict[str, Any]:
    """A host as EC2 tells it."""
    known = {"ImageId": "ami-1", "PrivateIpAddress": "10.0.0.7", "LaunchTime": LAUNCHED}
    return {"InstanceId": "i-1", "State": {"Name": power}, **known, **more}


def seen(lifecycle: str = "InService", found: dict[str, Any] | None = None, health: str = "Healthy") -> list[Instance]:
    """What becomes of one member of a group."""
    member = {"InstanceId": "i-1", "LifecycleState": lifecycle, "HealthStatus": health}
    return hosts({"Instances": [member]}, "blue", {"i-1": found} if found else {})


@pytest.mark.parametrize(
    ("lifecycle", "power", "health", "state"),
    [
        ("InService", "running", "Healthy", "running"),
        ("InService", "pending", "Healthy", "starting"),
        ("InService", "running", "Unhealthy", "failed"),
        ("InService", "stopped", "Healthy", "failed"),
        ("InService", "terminated", "Healthy", "failed"),
        ("Pending", "pending", "Healthy", "starting"),
        ("Pending:Wait", "running", "Healthy", "starting"),
        ("Pending", "shutting-down", "Healthy", "failed"),
        ("Terminating:Wait", "running", "Unhealthy", "starting"),
        ("Terminating", "shutting-down", "Healthy", "starting"),
        ("Standby", "running", "Healthy", "starting"),
    ],
)
def test_the_state_of_a_host(lifecycle: str, power: str, health: str, state: str) -> None:
    """Otherwise a rollout counts on hosts that do not serve, or turns back for one that is only leaving."""
    (host,) = seen(lifecycle, machine(power), health)
    assert (host.state, host.own_fault) == (state, False)
    assert host.reason or (lifecycle, state) in {("InService", "running"), ("Pending", "starting")}


def test_one_that_has_left_is_not_listed() -> None:
    """Otherwise a side that is empty is never called empty."""
    assert seen("Terminating", machine("terminated")) == seen("Terminating:Proceed") == []
    assert seen("Warmed:Stopped", machine("stopped")) == [], "it serves nobody yet"


def test_one_that_ec2_does_not_show_yet_is_starting() -> None:
    """Otherwise a rollout turns back for a host that was launched a second ago."""
    assert [host.state for host in seen("Pending")] == ["starting"]
    assert [(host.state, host.reason) for host in seen("InService")] == [("failed", "EC2 does not know it")]


def test_what_is_told_of_a_host() -> None:
    """Otherwise nobody finds the host that a check failed on."""
    (host,) = seen(found=machine())
    assert (host.id, host.slot, host.image, host.address) == ("i-1", "blue", "ami-1", "10.0.0.7:80")
    assert host.started_at == LAUNCHED.timestamp()
    (host,) = seen(found=machine(PrivateIpAddress=None, Ipv6Address="2001:db8::1"))
    assert host.address == "[2001:db8::1]:80"
    (host,) = seen(found=machine("terminated", StateReason={"Message": "Server.SpotInstanceTermination"}))
    assert "SpotInstanceTermination" in host.reason


def test_a_host_patched_in_place_is_its_composite_image() -> None:
    """Otherwise a proven host is called a stranger, or an unpatched one is called proven."""
    (host,) = seen(found=machine(Tags=[{"Key": "rollout-manager:patched", "Value": PATCHED}]))
    assert host.image == PATCHED
    assert composite("ami-2", PATCHED) == "ami-2", "the tag came with a template or from another host"
    assert composite("ami-1", None) == "ami-1" and composite(None, PATCHED) is None
    assert (base_image(PATCHED), base_image("ami-1")) == ("ami-1", "ami-1")


def test_an_unknown_id_harms_no_other(scene: Scene) -> None:
    """Otherwise one host that has gone makes a whole fleet unseen."""
    service = scene.account.service()
    cloud, _ = scene.cloud(service)
    known = [each.id for each in scene.instances(service, "blue")]
    ids = [*known, *(f"i-{number:017x}" for number in range(VALUES_A_CALL))]
    with wire(scene.account) as line:
        assert set(read_machines(cloud, ids)) == set(known)
        assert line.count("DescribeInstances") == 2


def test_many_services_are_two_calls(scene: Scene) -> None:
    """Otherwise watching a fleet is throttled."""
    services = [scene.account.service(name) for name in ("shop", "till", "desk")]
    with wire(scene.account) as line:
        found = scene.compute.observe(services)
        assert [len(found[name]) for name in ("shop", "till", "desk")] == [2, 2, 2]
        assert len(line.calls) == 2

"""What the balancers say of targets, and who should be one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from providers.aws.members import plan_exactly, plan_none
from providers.aws.targets import health, health_of, read_health, registered
from providers.base import Conflict, NotFound, TargetHealth, Transient
from tests.aws.traffic_kit import Scene


def told(host: str, state: str, reason: str = "", description: str = "", port: int = 80) -> dict[str, Any]:
    """One target as AWS describes it."""
    said = {"State": state, **({"Reason": reason, "Description": description} if reason else {})}
    return {"Target": {"Id": host, "Port": port}, "TargetHealth": said}


@pytest.mark.parametrize(
    "state, expected",
    [
        ("healthy", (1, 0, 0)),
        ("unhealthy", (0, 1, 0)),
        ("unhealthy.draining", (0, 1, 0)),
        ("initial", (0, 0, 1)),
        ("unused", (0, 0, 1)),
        ("unavailable", (0, 0, 1)),
        ("something new", (0, 0, 1)),
        ("draining", (0, 0, 0)),
    ],
)
def test_each_state_has_a_meaning(state: str, expected: tuple[int, int, int]) -> None:
    """Otherwise a host that nobody judged counts as healthy, or one that leaves blocks a rollout."""
    found = health([[told("i-1", state)]])
    assert (found.healthy, found.unhealthy, found.unknown) == expected


def test_a_host_is_healthy_only_where_all_say_so() -> None:
    """Otherwise half of the clients reach a port on which nothing answers."""
    one = [told("i-1", "healthy"), told("i-2", "healthy"), told("i-3", "healthy"), told("i-4", "draining")]
    two = [told("i-1", "healthy"), told("i-2", "unhealthy", "Target.Timeout", "Request timed out")]
    assert health([one, two]) == TargetHealth(1, 1, 1, ("Target.Timeout: Request timed out",), draining=1)


def test_the_worst_port_counts() -> None:
    """Otherwise a host with one dead port passes."""
    assert health([[told("i-1", "healthy"), told("i-1", "unhealthy", port=81)]]).unhealthy == 1
    assert health([[told("i-1", "initial", port=81), told("i-1", "healthy")]]).unknown == 1


def test_reasons_are_bounded() -> None:
    """Otherwise a thousand targets fill the journal with the same sentence."""
    many = [told(f"i-{n}", "unhealthy", "Target.ResponseCodeMismatch", f"{n} " + "x" * 900) for n in range(50)]
    found = health([many])
    assert found.unhealthy == 50 and len(found.reasons) == 5
    assert all(len(reason) <= 200 and reason.startswith("Target.ResponseCodeMismatch: ") for reason in found.reasons)


def test_who_drains_is_told_beside_the_targets() -> None:
    """Otherwise hosts are ended while they still answer."""
    found = health(
        [[told("i-1", "healthy"), told("i-2", "draining")], [told("i-1", "healthy"), told("i-2", "draining")]]
    )
    assert (found.draining, found.total) == (1, 1)
    assert health([[told("i-1", "unhealthy.draining")]]).draining == 0, "that one is a target still"


def test_who_leaves_is_not_registered() -> None:
    """Otherwise a draining host keeps a side from being attached."""
    left = told("i-2", "unused", "Target.NotRegistered", "x")
    assert registered([told("i-1", "unused"), told("i-3", "draining"), left]) == {"i-1"}


def test_a_missing_target_group_is_told_apart_from_an_empty_one(scene: Scene) -> None:
    """Otherwise a deleted target group looks like a side without hosts."""
    service = scene.permanent()
    one = service.options["routes"][0]
    cloud, _ = scene.of(service)
    gone = f"{one['green']}0"
    found = read_health(cloud, [one["blue"], one["green"], gone])
    assert len(registered(found[one["blue"]])) == 2 and found[one["green"]] == []  # type: ignore[arg-type]
    assert isinstance(found[gone], NotFound)
    with pytest.raises(NotFound):
        health_of(cloud, [gone])


class Hosts:
    """Only what `members` asks of a Cloud: hosts by launch time and state."""

    def __init__(self, **hosts: tuple[float, str]) -> None:
        self.hosts = hosts

    def pages(self, api: str, operation: str, key: str, *, Filters: list[dict[str, Any]]) -> list[Any]:
        """Reservations by the filter."""
        assert (api, operation) == ("ec2", "describe_instances")
        wanted = Filters[0]["Values"]
        start = datetime(2026, 1, 1, tzinfo=UTC)
        return [
            {"Instances": [{"InstanceId": n, "LaunchTime": start + timedelta(seconds=at), "State": {"Name": state}}]}
            for n, (at, state) in self.hosts.items()
            if n in wanted
        ]


def group(*members: str) -> dict[str, Any]:
    """A group with these members."""
    return {"AutoScalingGroupName": "shop-green", "Instances": [{"InstanceId": member} for member in members]}


def plan(cloud: Hosts, members: dict[str, Any], named: list[str], *there: str) -> tuple[list[str], list[str]]:
    """Who comes and who goes."""
    listed = {"tg": [told(host, "healthy") for host in there]}
    made = plan_exactly(cloud, "green", members, named, listed)  # type: ignore[arg-type]
    return made.register["tg"], made.deregister["tg"]


def test_the_named_ones_join() -> None:
    """Otherwise a side serves with fewer hosts than were proven."""
    cloud = Hosts(a=(1, "running"), b=(1, "running"))
    assert plan(cloud, group("a", "b"), ["a", "b"], "b") == (["a"], [])


def test_who_came_into_service_after_the_look_stays() -> None:
    """Otherwise a serving side loses a host for good: Auto Scaling registers each of its hosts once."""
    cloud = Hosts(a=(1, "running"), old=(0, "running"), young=(9, "running"))
    assert plan(cloud, group("a", "old", "young"), ["a"], "a", "old", "young") == ([], [])


@pytest.mark.parametrize("state", ["Terminating:Wait", "Terminated", "Detaching", "EnteringStandby", "Standby"])
def test_a_member_that_is_set_aside_leaves(state: str) -> None:
    """Otherwise a host that is on its way out goes on getting requests."""
    members = group("a", "b")
    members["Instances"][1]["LifecycleState"] = state
    assert plan(Hosts(), members, ["a"], "a", "b") == ([], ["b"])
    members["Instances"][1]["LifecycleState"] = "Pending:Wait"
    assert plan(Hosts(), members, ["a"], "a", "b") == ([], [])


def test_who_is_gone_leaves() -> None:
    """Otherwise a dead host stays a target for ever."""
    cloud = Hosts(a=(1, "running"), dead=(9, "terminated"))
    assert plan(cloud, group("a"), ["a"], "a", "dead", "never") == ([], ["dead", "never"])


def test_a_stranger_is_named() -> None:
    """Otherwise somebody's host is thrown out, or stays beside a side that was proven without it."""
    with pytest.raises(Conflict, match=r"i-9.*shop-green"):
        plan(Hosts(**{"a": (1, "running"), "i-9": (0, "running")}), group("a"), ["a"], "a", "i-9")


@pytest.mark.parametrize("state, kind", [("terminated", Transient), ("running", Conflict), ("", NotFound)])
def test_a_named_host_that_is_not_of_the_group(state: str, kind: type[Exception]) -> None:
    """Otherwise a host that died between look and write ends the rollout, or somebody else's gets our traffic."""
    cloud = Hosts(**({"b": (1, state)} if state else {}), a=(1, "running"))
    with pytest.raises(kind, match="b"):
        plan(cloud, group("a"), ["a", "b"])


def test_giving_up_leaves_strangers_alone() -> None:
    """Otherwise we take out what somebody else put there."""
    cloud = Hosts(mine=(1, "running"), dead=(1, "terminated"), other=(1, "running"))
    listed = {"tg": [told(host, "healthy") for host in ("mine", "dead", "other")]}
    assert plan_none(cloud, group("mine"), listed).deregister == {"tg": ["dead", "mine"]}  # type: ignore[arg-type]
    assert plan_none(cloud, None, listed).deregister == {"tg": ["dead"]}  # type: ignore[arg-type]

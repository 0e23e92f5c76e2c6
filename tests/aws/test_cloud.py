"""The one way to AWS: the right account, whole answers, writes that end in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest

from providers.aws.cloud import BEGIN_WITHIN_S, WRITE_S, Cloud, Clouds, Place, at_one_look
from providers.aws.identity import CONNECT_S, READ_S
from providers.base import Context, Denied, Invalid, Service, Transient
from providers.memory.clock import VirtualClock
from tests.aws.account import REGION, Account, in_process
from tests.aws.wire import wire


@pytest.fixture
def account() -> Iterator[Account]:
    """A small account."""
    with in_process() as made:
        yield made


@pytest.fixture
def clock() -> VirtualClock:
    """Time that passes when it is told to."""
    return VirtualClock()


@pytest.fixture
def clouds(tmp_path: Path, clock: VirtualClock) -> Clouds:
    """All places of a provider."""
    return Clouds(Context(tmp_path, tmp_path, clock))


def tag(account: Account, cloud: Cloud, **more: Any) -> dict[str, Any]:
    """A small write."""
    return {"ResourceArns": [account.balancer], "Tags": [{"Key": "a", "Value": "b"}], **more}


def test_another_account_than_the_declared_one_is_refused_before_anything(account: Account, clouds: Clouds) -> None:
    """A wrong profile changes the shop of another account that has the same names."""
    cloud = clouds.at(Place(REGION, account="999999999999"))
    with wire(account) as line:
        with pytest.raises(Denied, match="999999999999"):
            cloud.writing().call("elbv2", "add_tags", **tag(account, cloud))
        assert [call.name for call in line.calls] == ["sts.GetCallerIdentity"]


def test_the_account_is_asked_for_once(account: Account, clouds: Clouds) -> None:
    """Each call costs two."""
    cloud = clouds.at(Place(REGION, account="123456789012"))
    with wire(account) as line:
        for _ in range(3):
            cloud.read("elbv2", "describe_load_balancers")
        assert line.count("GetCallerIdentity") == 1
    assert cloud.account == "123456789012"


def test_no_write_can_land_after_its_time_out() -> None:
    """A second engine goes on, and the first one's write lands then."""
    assert BEGIN_WITHIN_S + CONNECT_S + READ_S <= WRITE_S == 15.0


def test_a_write_of_many_calls_begins_none_of_them_too_late(
    account: Account, clouds: Clouds, clock: VirtualClock
) -> None:
    """A write goes on for as long as AWS is slow."""
    cloud = clouds.at(Place(REGION))
    writing = cloud.writing()
    writing.call("elbv2", "add_tags", **tag(account, cloud))
    clock.sleep(BEGIN_WITHIN_S + 0.1)
    with wire(account) as line:
        with pytest.raises(Transient, match="it will go on"):
            writing.call("elbv2", "add_tags", **tag(account, cloud))
        assert line.calls == []
    cloud.writing().call("elbv2", "add_tags", **tag(account, cloud))


def test_nothing_is_repeated_by_the_sdk(account: Account, clouds: Clouds) -> None:
    """What the journal says was tried once was tried five times."""
    cloud = clouds.at(Place(REGION))
    with wire(account) as line:
        line.error("AddTags", times=9)
        with pytest.raises(Transient):
            cloud.writing().call("elbv2", "add_tags", **tag(account, cloud))
        assert line.count("AddTags") == 1


def test_batches_ask_in_parts_and_each_name_once(account: Account, clouds: Clouds) -> None:
    """A service of a hundred groups cannot be read, or is read a hundred times."""
    cloud, names = clouds.at(Place(REGION)), [f"g{number}" for number in range(5)]
    with wire(account) as line:
        arguments = ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", "AutoScalingGroupNames")
        assert cloud.batches(*arguments, [*names, "g0"], 2) == []
        asked = [call.parameters["AutoScalingGroupNames"] for call in line.asked("DescribeAutoScalingGroups")]
    assert asked == [["g0", "g1"], ["g2", "g3"], ["g4"]]


def test_an_operation_that_this_sdk_does_not_know_is_said(account: Account, clouds: Clouds) -> None:
    """An older boto3 ends a rollout with a stack of Python lines."""
    with pytest.raises(Invalid, match="newer"):
        clouds.at(Place(REGION)).read("elbv2", "describe_the_future")
    with pytest.raises(Invalid):
        clouds.at(Place(REGION)).read("no-such-api", "describe")


def test_services_of_one_place_share_a_session(account: Account, clouds: Clouds) -> None:
    """A thousand services of an account need a thousand sessions."""
    one, two = clouds.of(account.service("one"))[0], clouds.of(account.service("two"))[0]
    assert one is two
    assert one is not clouds.at(Place("us-east-1"))
    grouped = clouds.grouped([account.service("three"), account.service("four")])
    assert [sorted(named) for _, named in grouped] == [["four", "three"]]


def test_many_threads_open_one_session(account: Account, tmp_path: Path) -> None:
    """Thirty rollouts that begin at once log in thirty times."""
    opened = list[Place]()

    def opening(place: Place) -> Any:
        from providers.aws.identity import open_session

        opened.append(place)
        return open_session(place)

    clouds = Clouds(Context(tmp_path, tmp_path, VirtualClock()), opening)
    cloud = clouds.at(Place(REGION))
    threads = [threading.Thread(target=cloud.caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_who_calls_is_said(account: Account, clouds: Clouds) -> None:
    """The journal cannot say as whom something was done."""
    assert Place(REGION, role="arn:r", profile="p").who == "arn:r"
    assert Place(REGION, profile="p").who == "profile p"
    service: Service = account.service()
    assert clouds.of(service)[0].caller()["Arn"].startswith("arn:aws:")


def test_at_one_look_equal_reads_are_made_once(account: Account, clouds: Clouds) -> None:
    """Planning a service asks three times for the same groups, a fleet of them three times as much as AWS allows."""
    cloud, other = clouds.at(Place(REGION)), clouds.at(Place("eu-west-1"))
    with wire(account) as line, at_one_look():
        for _ in range(3):
            cloud.pages("elbv2", "describe_load_balancers", "LoadBalancers")
            cloud.read("elbv2", "describe_load_balancers")
        assert line.count("DescribeLoadBalancers") == 2, "all pages are another question than one"
        cloud.read("elbv2", "describe_load_balancers", PageSize=1)
        other.read("elbv2", "describe_load_balancers")
        assert line.count("DescribeLoadBalancers") == 4


def test_after_the_look_and_for_writes_nothing_is_remembered(account: Account, clouds: Clouds) -> None:
    """A decision is made by what was so a while ago, or a write is not sent."""
    cloud = clouds.at(Place(REGION))
    with wire(account) as line:
        with at_one_look():
            cloud.read("elbv2", "describe_load_balancers")
            cloud.writing().call("elbv2", "add_tags", **tag(account, cloud))
            cloud.writing().call("elbv2", "add_tags", **tag(account, cloud))
        cloud.read("elbv2", "describe_load_balancers")
        assert (line.count("DescribeLoadBalancers"), line.count("AddTags")) == (2, 2)


def test_a_write_inside_of_a_look_reads_for_itself(account: Account, clouds: Clouds) -> None:
    """Somebody edits a listener while a plan is made, and what follows overwrites it by what was seen before."""
    service = account.service()
    cloud = clouds.of(service)[0]
    with wire(account) as line, at_one_look():
        cloud.read("elbv2", "describe_load_balancers")
        with clouds.writing(service) as (writing, _):
            for _ in range(2):
                writing.cloud.read("elbv2", "describe_load_balancers")
        assert line.count("DescribeLoadBalancers") == 3
        cloud.read("elbv2", "describe_load_balancers")
        assert line.count("DescribeLoadBalancers") == 3, "and the look goes on"


def test_a_look_is_of_one_thread_whatever_context_others_begin_with(account: Account, clouds: Clouds) -> None:
    """A job that was begun meanwhile decides by what somebody who plans has seen."""
    cloud = clouds.at(Place(REGION))
    with wire(account) as line, at_one_look():
        cloud.read("elbv2", "describe_load_balancers")
        context = copy_context()
        other = threading.Thread(target=context.run, args=(cloud.read, "elbv2", "describe_load_balancers"))
        other.start()
        other.join()
        assert line.count("DescribeLoadBalancers") == 2


def test_a_read_that_failed_is_made_again(account: Account, clouds: Clouds) -> None:
    """One lost answer fails every question of the look."""
    cloud = clouds.at(Place(REGION))
    with wire(account) as line, at_one_look():
        line.lose("DescribeLoadBalancers")
        with pytest.raises(Transient):
            cloud.read("elbv2", "describe_load_balancers")
        assert cloud.read("elbv2", "describe_load_balancers")["LoadBalancers"]

"""What an account can do to a rollout: credentials, regions, images and hosts that are not what they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.base import ProviderError, Service, Transient
from rollout.plan import changes_nothing
from tests.aws.fault_causes import lag, launches_end, never_healthy, no_such_host, only_in_words
from tests.aws.fault_kit import Story, story

PHASES = ("preparing", "patching", "shifting", "warm")
OUT_OF_CAPACITY = (
    "We currently do not have sufficient t3.micro capacity in the Availability Zone you requested (eu-central-1a). "
    "Launching EC2 instance failed."
)


@pytest.fixture(params=["on_demand", "permanent"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    """With a standby of each kind."""
    with story(tmp_path, request.param) as opened:
        yield opened


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Story]:
    """Where it does not matter how the standby comes to be."""
    with story(tmp_path) as opened:
        yield opened


# ---- where, and as whom -----------------------------------------------------------------------------------------


def test_a_region_that_is_none(one: Story) -> None:
    """A slip of a letter reads like a broken network."""
    no_such_host(one)
    there = json.loads(json.dumps(one.service.options).replace("eu-central-1", "eu-central-9"))
    with pytest.raises(Transient, match=r"knows no region eu-central-9 \(did you mean eu-central-"):
        one.provider.compute.describe(Service("shop", there))
    with pytest.raises(Transient) as told:
        one.provider.compute.describe(one.service)
    assert "knows no region" not in str(told.value)


@pytest.mark.parametrize("phase", PHASES)
def test_credentials_that_end_and_come_back(one: Story, phase: str) -> None:
    """A session ends after an hour, somebody logs in again, and everything begins anew, or nothing goes on."""
    one.open()
    one.until_phase(phase)
    one.line.expire()
    until = one.clock.now() + 12
    one.drive(lambda row: one.clock.now() >= until)
    one.line.login()
    one.drive()
    one.raise_if_not_promoted()
    one.raise_if_anything_twice()


@pytest.mark.parametrize("phase", ["patching", "shifting", "baking"])
def test_credentials_that_end_for_good(one: Story, phase: str) -> None:
    """Nobody is told what to log in to, or traffic is left between two sides as if all were well."""
    one.open()
    one.until_phase(phase)
    one.line.expire()
    row = one.drive(lambda row: row.outcome in ("halted", "rolled_back"))
    assert row.outcome == "halted"
    assert "ExpiredToken" in one.told and "log in again" in one.told and "default credentials" in one.told
    one.raise_if_unserved()
    one.line.login()
    one.roll_back()
    one.drive()
    one.raise_if_not_rolled_back()


# ---- images -------------------------------------------------------------------------------------------------------


def test_an_image_of_another_architecture(one: Story) -> None:
    """Hosts are launched that can never start."""
    one.account.images["arm"] = one.account.image("arm", "arm64")
    with pytest.raises(ProviderError, match=r"arm64.*x86_64|x86_64.*arm64"):
        one.plan("arm")


def test_an_image_that_is_gone_before_it_begins(one: Story) -> None:
    """The plan of yesterday is begun with an image that somebody has removed since."""
    one.open()
    one.client("ec2").deregister_image(ImageId=one.account.images["base-2"])
    one.drive()
    assert one.account.images["base-2"] in one.told and "there is no image" in one.told, one.told
    one.raise_if_not_rolled_back()


def test_an_image_that_is_gone_before_the_launch(shop: Story) -> None:
    """Auto Scaling tries to launch for ever, and nobody is told why no host comes."""
    shop.open()
    image = shop.account.images["base-2"]
    shop.line.before("SetDesiredCapacity", lambda: shop.client("ec2").deregister_image(ImageId=image))
    launches_end(shop, f"The image id '[{image}]' does not exist. Launching EC2 instance failed.")
    shop.drive()
    assert image in shop.told and "launch failed" in shop.told, shop.told
    shop.raise_if_not_rolled_back()


# ---- hosts --------------------------------------------------------------------------------------------------------


def test_a_launch_that_stalls_at_one_of_two(shop: Story) -> None:
    """The wait ends with a time-out, where AWS has said all along that it has no hosts of that type."""
    shop.open()
    launches_end(shop, OUT_OF_CAPACITY, launched=1)
    shop.drive()
    assert "1 of 2 running" in shop.told and "sufficient t3.micro capacity" in shop.told, shop.told
    shop.raise_if_not_rolled_back()
    assert not shop.store.denials("shop"), "want of capacity is not the image's fault"


def test_hosts_that_never_become_healthy(one: Story) -> None:
    """They get traffic nevertheless, or the wait has no end, or nobody learns which ones, and why."""
    one.open()
    never_healthy(one, "green", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]")
    row = one.drive()
    assert "0 of 2 healthy" in one.told and "2 unhealthy" in one.told, one.told
    assert "[503]" in one.told, one.told
    assert row.phase == "rolled_back"
    one.raise_if_not_rolled_back()


def test_a_target_group_that_nobody_joins(one: Story) -> None:
    """Traffic is moved to a target group without targets."""
    one.open()
    only_in_words(one, "AttachLoadBalancerTargetGroups")
    only_in_words(one, "RegisterTargets")
    one.drive()
    assert "0 of 2 healthy" in one.told, one.told
    one.raise_if_not_rolled_back()


# ---- what is not shown yet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operation, write",
    [
        ("DescribeAutoScalingGroups", "CreateAutoScalingGroup"),
        ("DescribeLaunchTemplates", "CreateLaunchTemplate"),
        ("DescribeAutoScalingGroups", "SetDesiredCapacity"),
        ("DescribeAutoScalingGroups", "UpdateAutoScalingGroup"),
        ("DescribeInstances", "SetDesiredCapacity"),
        ("DescribeTargetHealth", "AttachLoadBalancerTargetGroups"),
        ("DescribeListeners", "ModifyListener"),
    ],
)
def test_reads_that_lag_behind_a_write(one: Story, operation: str, write: str) -> None:
    """AWS shows for some seconds what was there before, and a step is done twice or taken for failed."""
    one.open()
    lag(one, operation, write, 3)
    one.drive()
    one.raise_if_not_promoted()
    one.raise_if_anything_twice()


# ---- again ----------------------------------------------------------------------------------------------------------


def test_the_same_image_again_is_nothing_to_do(shop: Story) -> None:
    """What other tools do then: the side that serves is set to the size of the side that does not, which is 0."""
    shop.open()
    shop.drive()
    before, plan = shop.state(), shop.plan()
    assert changes_nothing(plan) and plan.original == "green"
    assert shop.state() == before


def test_another_image_goes_the_other_way_round(shop: Story) -> None:
    """The second rollout destroys the service that the first one made."""
    shop.open()
    shop.drive()
    shop.raise_if_not_promoted()
    shop.clock.sleep(86400)
    shop.open("base-1", "shop-2")
    shop.drive(rollout="shop-2")
    shop.raise_if_not_promoted("blue", "base-1", "shop-2")
    on_demand = shop.standby == "on_demand"
    assert shop.listed() == ({"shop-blue"} if on_demand else {"shop-blue", "shop-green"})
    assert ("shop-green" in shop.templates()) is not on_demand

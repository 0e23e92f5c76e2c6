"""What an earlier side needs to serve again is asked of AWS, and what is gone is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.base import Provider, Service, Transient
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process, open_provider
from tests.aws.wire import wire


def lacks(provider: Provider, service: Service, image: str) -> list[str]:
    """Of blue."""
    assert provider.way_back_lacks is not None
    return list(provider.way_back_lacks(service, "blue", image))


def image_of(account: Account, service: Service, provider: Provider) -> str:
    """What blue launches."""
    image = provider.compute.describe(service)["blue"].image
    assert image is not None
    return image


def test_a_whole_way_back_lacks_nothing(tmp_path: Path) -> None:
    """An alarm at every look, and soon nobody reads it."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        assert lacks(provider, service, image_of(account, service, provider)) == []
        assert lacks(provider, service, "in-place:baseline@7") == [], "what was patched in place has another name"


def test_an_image_that_was_deregistered(tmp_path: Path) -> None:
    """Somebody cleans images up, and the first host that dies at night is not replaced."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        image = image_of(account, service, provider)
        account.client("ec2").deregister_image(ImageId=image)
        (told,) = lacks(provider, service, image)
        assert f"image {image} was deregistered" in told and "no host can be replaced" in told


def test_an_image_that_cannot_be_launched(tmp_path: Path) -> None:
    """It is there, and disabled: that is as good as gone."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        image = image_of(account, service, provider)
        found = account.client("ec2").describe_images(ImageIds=[image])["Images"][0]
        account.answers.give("ec2", "DescribeImages", {"Images": [{**found, "State": "disabled"}]})
        assert lacks(provider, service, image) == [f"image {image} is disabled: no host can be replaced"]


def test_a_group_that_launches_something_else(tmp_path: Path) -> None:
    """Somebody points the old group at the new image, and the way back leads to the same fault."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        now = image_of(account, service, provider)
        assert lacks(provider, service, "ami-0123456789abcdef0") == [
            f"shop-blue launches {now} now, not ami-0123456789abcdef0"
        ]


def test_a_group_that_is_gone(tmp_path: Path) -> None:
    """The way back is a name in a file."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        image = image_of(account, service, provider)
        account.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName="shop-blue", ForceDelete=True)
        assert lacks(provider, service, image) == ["the Auto Scaling group shop-blue is gone, or being deleted"]


def test_a_target_group_that_is_gone(tmp_path: Path) -> None:
    """Weights are written to a target group that does not exist, at night."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        image = image_of(account, service, provider)
        gone = str(service.options["routes"][0]["blue"])
        with wire(account) as line:
            line.fail("DescribeTargetGroups", code="TargetGroupNotFound", status=400, times=9)
            assert lacks(provider, service, image) == [f"target group {gone} is gone"]


def test_a_platform_that_does_not_answer_is_no_loss(tmp_path: Path) -> None:
    """A slow moment of the API is told as a deleted image."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        image = image_of(account, service, provider)
        with wire(account) as line, pytest.raises(Transient):
            line.fail("DescribeImages", code="InternalError", times=9)
            lacks(provider, service, image)

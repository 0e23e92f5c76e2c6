from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.aws.adapter import bake
from providers.base import Context, Invalid, NotFound, Service
from providers.memory.clock import VirtualClock
from tests.aws.account import Account, in_process, open_provider
from tests.aws.patch_agent import BASELINE, OF_GROUP, Agents
from tests.aws.wire import Line, wire


class Cut(BaseException):
    """The program is killed."""


class Hours(VirtualClock):
    """Each sleep is a moment in which the world goes on; `at` says what happens in which."""

    def __init__(self, start: float) -> None:
        super().__init__(start)
        self.at: dict[int, Any] = {}
        self.always: Any = None
        self.sleeps = 0

    def sleep(self, seconds: float) -> None:
        """What is due in this moment happens."""
        super().sleep(seconds)
        self.sleeps += 1
        for happening in filter(None, (self.at.get(self.sleeps), self.always)):
            happening()


@dataclass
class Shop:
    account: Account
    agents: Agents
    clock: Hours
    folder: Path
    service: Service
    said: list[str] = field(default_factory=list)

    def bake(self, reference: str = "active", fresh: str = "") -> dict[str, Any]:
        """As the command does it."""
        context = Context(self.folder, self.folder, self.clock)
        return bake(context, self.service, reference, fresh=fresh, say=self.said.append)

    def find(self, reference: str) -> str:
        """What a plan would pin."""
        return open_provider(self.folder, self.clock).patcher.resolve(self.service, reference).image

    def builders(self, *states: str) -> list[dict[str, Any]]:
        """The hosts that images are made on."""
        filters = [{"Name": "tag-key", "Values": ["rollout-manager:bake"]}]
        found = self.account.client("ec2").describe_instances(Filters=filters)["Reservations"]
        hosts = [host for each in found for host in each["Instances"]]
        return [host for host in hosts if not states or host["State"]["Name"] in states]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A service whose agents do all they are told, unless a test says otherwise."""
    with in_process() as account:
        agents, clock = Agents(account), Hours(datetime.now(UTC).timestamp())
        clock.always = agents.finish
        yield Shop(account, agents, clock, tmp_path, account.service())


def _writes(line: Line) -> list[str]:
    return [call.operation for call in line.calls if not call.reads]


def test_an_image_is_made_proven_and_found(shop: Shop) -> None:
    """Otherwise there is no way to patch what scales by itself, but to make images elsewhere."""
    with pytest.raises(NotFound, match="rollout bake shop --from active"):
        shop.find("bake:active")
    with wire(shop.account) as line:
        made = shop.bake()
    assert _writes(line) == ["RunInstances", "SendCommand", "CreateImage", "TerminateInstances"]
    assert (made["made"], made["reference"], made["baseline"]) == (True, "bake:active", BASELINE)
    assert shop.find("bake:active") == made["image"]
    assert shop.builders("running") == []


def test_what_is_there_is_not_made_again(shop: Shop) -> None:
    """Otherwise each night's pipeline makes another image of the same."""
    first = shop.bake()
    with wire(shop.account) as line:
        again = shop.bake()
    assert (again["image"], again["made"]) == (first["image"], False)
    assert _writes(line) == []


def test_another_label_or_day_is_another_image(shop: Shop) -> None:
    """Otherwise newer patches never get into an image."""
    first, labelled = shop.bake(), shop.bake(fresh="2026-w48")
    assert labelled["image"] != first["image"]
    assert shop.find("bake:active@2026-w48") == labelled["image"]
    shop.clock.sleep(86_400)
    with pytest.raises(NotFound):
        shop.find("bake:active")
    assert shop.find("bake:active@2026-w48") == labelled["image"]


def test_the_builder_is_like_a_host_and_serves_nobody(shop: Shop) -> None:
    """Otherwise the service itself starts on it, or nobody can tell whose it is."""
    with wire(shop.account) as line:
        shop.bake()
    (asked,) = (call.parameters for call in line.calls if call.operation == "RunInstances")
    assert "UserData" not in asked
    assert (asked["InstanceType"], asked["MaxCount"]) == ("t3.micro", 1)
    assert asked["NetworkInterfaces"][0]["SubnetId"] == shop.account.subnets[0]
    tags = {tag["Key"]: tag["Value"] for tag in asked["TagSpecifications"][0]["Tags"]}
    assert tags["rollout-manager:owner"] == "rollout-manager/shop"


@pytest.mark.parametrize("operation", ["RunInstances", "SendCommand", "CreateImage", "TerminateInstances"])
def test_a_lost_answer_makes_nothing_twice(shop: Shop, operation: str) -> None:
    """Otherwise a bad minute leaves a second builder running, or two images of one name."""
    with wire(shop.account) as line:
        line.lose(operation)
        made = shop.bake()
    assert shop.find("bake:active") == made["image"]
    assert len(shop.builders()) == 1
    assert len(shop.agents.sent) == 1
    assert _writes(line).count("CreateImage") == 1


@pytest.mark.parametrize("moment", [1, 2, 3, 4])
def test_killed_at_any_moment_it_goes_on(shop: Shop, moment: int) -> None:
    """Otherwise a closed terminal leaves a builder behind that nobody knows of."""

    def kill() -> None:
        raise Cut

    shop.clock.at[moment] = kill
    try:
        shop.bake()
    except Cut:
        made = shop.bake()
        assert shop.find("bake:active") == made["image"]
    assert len(shop.builders()) == 1
    assert len(shop.agents.sent) == 1
    assert shop.builders("running") == []


def test_what_waits_for_a_reboot_is_patched_once_more(shop: Shop) -> None:
    """Otherwise an image has a kernel that no host ever ran."""
    shop.clock.always = lambda: shop.agents.finish(InstalledPendingRebootCount=1 if len(shop.agents.sent) < 2 else 0)
    assert shop.bake()["made"]
    assert len(shop.agents.sent) == 2


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        ({"status": "Failed"}, "Failed: it went well"),
        ({"MissingCount": 2}, "after 3 rounds: 2 missing"),
        ({"FailedCount": 1}, "1 failed"),
        ({"InstalledPendingRebootCount": 1}, "1 wait for a reboot"),
        ({"BaselineId": OF_GROUP}, f"baseline {OF_GROUP}"),
    ],
)
def test_what_cannot_be_proven_becomes_no_image(shop: Shop, ends: dict[str, Any], says: str) -> None:
    """Otherwise an unpatched image is rolled out as a patched one, or its builder costs money for ever."""
    shop.clock.always = lambda: shop.agents.finish(**ends)
    with pytest.raises(Invalid, match="was terminated") as error:
        shop.bake()
    assert says in str(error.value)
    assert shop.builders("running", "pending") == []
    with pytest.raises(NotFound):
        shop.find("bake:active")


def test_after_a_failure_a_new_builder_is_tried(shop: Shop) -> None:
    """Otherwise one full disk forbids all images of a day."""
    shop.clock.always = lambda: shop.agents.finish("Failed")
    with pytest.raises(Invalid):
        shop.bake()
    shop.clock.always = shop.agents.finish
    assert shop.bake()["made"]


def test_a_builder_that_is_never_reached_is_given_up(shop: Shop) -> None:
    """Otherwise a missing profile is waited for until somebody looks."""
    recognised = shop.account.answers.given["ssm.DescribeInstanceInformation"]

    def silent(asked: Any) -> Any:
        builders = {host["InstanceId"] for host in shop.builders()}
        assert callable(recognised)
        told = recognised(asked)["InstanceInformationList"]
        return {"InstanceInformationList": [one for one in told if one["InstanceId"] not in builders]}

    shop.account.answers.give("ssm", "DescribeInstanceInformation", silent)
    with pytest.raises(Invalid, match=r"does not reach it after 15 minutes"):
        shop.bake()
    assert shop.builders("running") == []


@pytest.mark.parametrize("reference", ["bake:active", "in-place", ""])
def test_only_images_are_baked(shop: Shop, reference: str) -> None:
    """Otherwise a slip of the pen makes an image of an image for ever."""
    with pytest.raises(Invalid, match="what is baked is"):
        shop.find(f"bake:{reference}")

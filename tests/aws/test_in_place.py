from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from providers.aws.in_place import LAUNCHING
from providers.base import Applied, Invalid, NotFound, Patch, Provider, Service, Transient
from tests.aws.account import Account, in_process, open_provider
from tests.aws.patch_agent import BASELINE, OF_GROUP, Agents
from tests.aws.wire import wire


@dataclass
class Shop:
    account: Account
    agents: Agents
    provider: Provider
    service: Service

    @property
    def patch(self) -> Patch:
        """What `in-place` is now."""
        return self.provider.patcher.resolve(self.service, "in-place")

    def mirrored(self) -> Patch:
        """Green is a mirror without hosts, as the story has it before `apply`."""
        patch = self.patch
        self.provider.compute.mirror(self.service, "blue", "green", patch.image, "rollout-manager/shop", "mirror-1")
        return patch

    def apply(self, patch: Patch) -> Applied:
        """Once, on green."""
        return self.provider.patcher.apply(self.service, "green", patch, "patch-1")

    def until(self, patch: Patch, says: str) -> None:
        """As the engine does: again and again."""
        said = []
        for _ in range(6):
            with pytest.raises(Transient) as error:
                self.apply(patch)
            said.append(str(error.value))
            if says in said[-1]:
                return
        raise AssertionError(said)

    def group(self) -> dict[str, Any]:
        """Green's, as Auto Scaling tells it."""
        found = self.account.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["shop-green"])
        group: dict[str, Any] = found["AutoScalingGroups"][0]
        return group

    def images(self) -> set[str | None]:
        """What green's hosts run."""
        hosts = self.provider.compute.observe([self.service])["shop"]
        return {host.image for host in hosts if host.slot == "green"}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A service with a permanent standby."""
    with in_process() as account:
        service = account.service(on_demand=False)
        yield Shop(account, Agents(account), open_provider(tmp_path), service)


def test_it_is_pinned_to_image_baseline_and_day(shop: Shop) -> None:
    """Otherwise two halves of a rollout install different patches."""
    patch = shop.patch
    assert patch.image == f"{shop.account.images['base-1']}+{BASELINE}@2026-01-01"
    assert shop.provider.patcher.resolve(shop.service, patch.image).images == patch.images
    assert shop.provider.patcher.resolve(shop.service, f"in-place:{BASELINE}").images == patch.images


def test_another_baseline_than_the_platform_would_take_is_refused(shop: Shop) -> None:
    """Otherwise other patches are installed than the plan says."""
    with pytest.raises(Invalid, match=BASELINE):
        shop.provider.patcher.resolve(shop.service, f"in-place:{OF_GROUP}")


def test_hosts_are_launched_held_patched_and_proven(shop: Shop) -> None:
    """Otherwise an in-place patch is not possible, or nobody knows whether it was done."""
    patch = shop.mirrored()
    shop.until(patch, "being installed")
    assert {one["ProcessName"] for one in shop.group()["SuspendedProcesses"]} == set(LAUNCHING)
    shop.until(patch, "0 of 2 hosts")
    assert shop.images() == {shop.account.images["base-1"]}
    shop.agents.finish()
    assert shop.apply(patch).reboot_needed is False
    assert shop.images() == {patch.image}
    assert shop.provider.compute.describe(shop.service)["green"].image == patch.image
    assert shop.apply(patch).reboot_needed is False, "a repeat proves it again"
    assert len(shop.agents.sent) == 1, "patched once, however often it is asked for"


def test_a_pending_reboot_is_told_and_done_once_for_a_token(shop: Shop) -> None:
    """Otherwise hosts serve with the old kernel, or are rebooted again and again."""
    patch = shop.mirrored()
    shop.until(patch, "being installed")
    shop.agents.finish(InstalledPendingRebootCount=1)
    assert shop.apply(patch).reboot_needed is True
    with wire(shop.account) as line:
        for _ in range(2):
            shop.provider.patcher.reboot(shop.service, "green", "reboot-1")
    rebooted = [call.parameters["InstanceIds"] for call in line.calls if call.operation == "RebootInstances"]
    assert [len(hosts) for hosts in rebooted] == [2]
    assert [command["Parameters"]["Operation"] for command in shop.agents.sent] == [["Install"], ["Scan"]]


@pytest.mark.parametrize("counts", [{"MissingCount": 1}, {"FailedCount": 1}, {"BaselineId": OF_GROUP}])
def test_a_success_that_is_not_observed_is_none(shop: Shop, counts: dict[str, Any]) -> None:
    """Otherwise the agent's word is taken for proof."""
    patch = shop.mirrored()
    shop.until(patch, "being installed")
    shop.agents.finish(**counts)
    with pytest.raises(Invalid, match="are not patched"):
        shop.apply(patch)
    assert patch.image not in shop.images()


def test_a_command_that_fails_ends_with_what_the_agent_said(shop: Shop) -> None:
    """Otherwise the phase's whole deadline is waited for nothing."""
    patch = shop.mirrored()
    shop.until(patch, "being installed")
    shop.agents.output = "no space left on device"
    shop.agents.finish("Failed")
    with pytest.raises(Invalid, match="no space left"):
        shop.apply(patch)


def test_what_was_observed_before_the_command_proves_nothing(shop: Shop) -> None:
    """Otherwise last week's finding counts for today's patches."""
    patch = shop.mirrored()
    shop.until(patch, "being installed")
    shop.agents.finish(
        SnapshotId="00000000-0000-4000-8000-000000000000", OperationEndTime=datetime(2026, 1, 1, tzinfo=UTC)
    )
    shop.until(patch, "0 of 2 hosts")


def test_silent_agents_are_waited_for_by_name(shop: Shop) -> None:
    """Otherwise a missing profile looks like a slow patch."""
    patch = shop.mirrored()
    shop.agents.online = False
    shop.until(patch, "does not reach 2 of 2")
    assert shop.agents.sent == []


def test_a_standby_that_scales_by_itself_is_refused(shop: Shop) -> None:
    """Otherwise unpatched hosts join what was proven."""
    shop.account.client("autoscaling").put_scaling_policy(
        AutoScalingGroupName="shop-green",
        PolicyName="by-load",
        PolicyType="SimpleScaling",
        AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=1,
    )
    with pytest.raises(Invalid, match=r"by-load.*rollout bake"):
        _ = shop.patch


def test_a_standby_on_demand_is_refused(shop: Shop) -> None:
    """Otherwise the side that is created later has nothing of the patch."""
    service = replace(shop.service, options={**shop.service.options, "standby": "on_demand"})
    with pytest.raises(Invalid, match="permanent"):
        shop.provider.patcher.resolve(service, "in-place")


def test_a_slot_with_another_image_is_refused(shop: Shop) -> None:
    """Otherwise something else than the mirror is patched and given traffic."""
    patch = shop.mirrored()
    shop.provider.compute.mirror(shop.service, "blue", "green", shop.account.images["base-2"], "o", "mirror-2")
    with pytest.raises(Invalid, match="not the mirror"):
        shop.apply(patch)


def test_what_serves_is_neither_patched_nor_rebooted(shop: Shop) -> None:
    """Otherwise a live system is changed."""
    with pytest.raises(Invalid, match="100 %"):
        shop.provider.patcher.apply(shop.service, "blue", shop.patch, "patch-1")
    with pytest.raises(Invalid, match="100 %"):
        shop.provider.patcher.reboot(shop.service, "blue", "reboot-1")


def test_hosts_that_nobody_manages_have_no_baseline(shop: Shop) -> None:
    """Otherwise a baseline is guessed."""
    shop.account.answers.give("ssm", "DescribeInstanceInformation", {"InstanceInformationList": []})
    with pytest.raises((Invalid, NotFound), match="AmazonSSMManagedInstanceCore"):
        _ = shop.patch

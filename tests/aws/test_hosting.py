"""Which groups have hosts is remembered only where they have some."""

from __future__ import annotations

from pathlib import Path

from providers.aws.hosting import REMEMBERED_S, Hosting
from providers.memory.clock import VirtualClock
from tests.aws.account import in_process, open_provider
from tests.aws.canned import CannedClouds, services

ASKED = "autoscaling.describe_auto_scaling_groups"


class Fleet:
    """Groups of a service that have hosts, or none."""

    def __init__(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.clouds = CannedClouds(folder, self.clock)
        (self.cloud, options) = self.clouds.of(services(1)[0])
        self.names = [options.blue, options.green]
        self.hosting = Hosting(self.clock)


def test_who_had_hosts_is_not_asked_about_at_each_look(tmp_path: Path) -> None:
    """Each look of a gate costs a call more, for an answer that does not change."""
    fleet = Fleet(tmp_path)
    for _ in range(3):
        assert fleet.hosting.among(fleet.cloud, fleet.names) == set(fleet.names)
    assert fleet.clouds.made[ASKED] == 1
    fleet.clock.sleep(REMEMBERED_S)
    assert fleet.hosting.among(fleet.cloud, fleet.names[:1]) == {fleet.names[0]}
    assert fleet.clouds.made[ASKED] == 2


def test_a_clock_that_was_set_back_is_no_reason_to_believe(tmp_path: Path) -> None:
    """A group that was emptied is asked about for as long as the clock was set back."""
    fleet = Fleet(tmp_path)
    fleet.hosting.among(fleet.cloud, fleet.names)
    fleet.clock._now -= 3600.0
    fleet.hosting.among(fleet.cloud, fleet.names)
    assert fleet.clouds.made[ASKED] == 2


def test_that_a_group_has_none_is_asked_each_time(tmp_path: Path) -> None:
    """A standby is filled, and its targets are called nothing for a minute."""
    fleet = Fleet(tmp_path)
    read = fleet.cloud.read
    fleet.cloud.read = lambda *asked, **more: {  # type: ignore[method-assign]
        key: [{**group, "Instances": []} for group in groups] for key, groups in read(*asked, **more).items()
    }
    for _ in range(3):
        assert fleet.hosting.among(fleet.cloud, fleet.names) == set()
    assert fleet.clouds.made[ASKED] == 3


def test_hosts_that_a_person_ended_are_seen_at_once(tmp_path: Path) -> None:
    """For a minute a side that was emptied is called what it was before."""
    with in_process() as account:
        service, provider = account.service("shop", 2), open_provider(tmp_path, VirtualClock())
        assert provider.traffic.observe([service])["shop"].targets["blue"].total == 2
        client = account.client("autoscaling")
        client.update_auto_scaling_group(AutoScalingGroupName="shop-blue", MinSize=0, DesiredCapacity=0)
        seen = provider.traffic.observe([service])["shop"].targets["blue"]
        assert (seen.healthy, provider.compute.sizes(service)["blue"].alive) == (0, 0)

"""Groups whose types have weights: capacity, hosts and targets are counted in the same units."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.aws import rollback, templates, units
from providers.aws.judging import health
from providers.aws.options import Options
from providers.aws.quick import finding
from providers.base import Denied, Invalid, Parts, Service
from rollout.observer import Fact, answer_to
from tests.aws.compute_kit import Scene, a_scene  # noqa: F401 - a fixture
from tests.aws.insight_kit import STANDARD
from tests.aws.insight_kit import scene as insight_scene
from tests.aws.shapes import UNITS, WEIGHED, shaped
from tests.aws.thin_kit import CARD, keep, night
from tests.aws.traffic_kit import Scene as Traffic
from tests.aws.traffic_kit import open_scene
from tests.aws.wire import Line, wire

ALIVE = 4
"""Two hosts of two units, for three that are wanted."""


@pytest.fixture
def service(scene: Scene) -> Service:
    """Three units on blue, by two hosts."""
    made = scene.account.service(on_demand=False, instance_weights=True)
    shaped(scene.account, "weighed")
    return made


@pytest.fixture
def traffic(tmp_path: Path) -> Iterator[Traffic]:
    """A service's traffic alone."""
    with open_scene(tmp_path) as opened:
        yield opened


@pytest.fixture
def line(traffic: Traffic) -> Iterator[Line]:
    """What is asked at night."""
    with night(traffic) as opened:
        yield opened


def standing(traffic: Traffic) -> tuple[Service, dict[str, Any]]:
    """Both sides with two hosts, which are four units each; and the card's target."""
    made = traffic.account.service(on_demand=False, instance_weights=True)
    shaped(traffic.account, "weighed")
    traffic.size(made, "green", WEIGHED)
    for slot in ("blue", "green"):
        traffic.traffic.attach(made, slot, traffic.hosts(made, slot), "t")
    return made, dict(traffic.traffic.card_target(made))


def group(*weights: int) -> dict[str, Any]:
    """Of as many types."""
    kinds = [{"InstanceType": f"t{number}.micro", "WeightedCapacity": str(each)} for number, each in enumerate(weights)]
    return {"AutoScalingGroupName": "g", "MixedInstancesPolicy": {"LaunchTemplate": {"Overrides": kinds}}}


@given(st.lists(st.integers(1, 999), min_size=1, max_size=20), st.integers(0, 10_000))
def test_as_many_hosts_as_there_can_be(weights: list[int], wanted: int) -> None:
    """The plan finds room for half of the hosts that come."""
    most = units.most_hosts(group(*weights), wanted)
    assert (most - 1) * min(weights) < wanted <= most * min(weights) or most == wanted == 0
    assert units.most_hosts({}, wanted) == wanted


def test_a_host_without_a_weight_is_one() -> None:
    """Every group without weights is empty."""
    listed = [{"InstanceId": "i-1"}, {"InstanceId": "i-2", "WeightedCapacity": "7"}]
    assert units.units_by_host([{"Instances": listed}, {}]) == {"i-1": 1, "i-2": 7}
    assert units.weights_of({}) == {}


def test_targets_are_as_many_as_their_units() -> None:
    """Two large hosts are called too few for six units, or six small ones enough for twelve."""
    listed = [{"Target": {"Id": each}, "TargetHealth": {"State": state}} for each, state in STATES.items()]
    found = health([listed], {"i-1": 4, "i-2": 2})
    assert (found.healthy, found.unhealthy, found.unknown, found.total) == (4, 2, 1, 7)


STATES = {"i-1": "healthy", "i-2": "unhealthy", "i-3": "initial"}


def test_weights_that_nobody_declared_are_refused(scene: Scene, service: Service) -> None:
    """Three hosts are taken for three units, and the other half of the fleet is missing."""
    silent = Service("shop", {**service.options, "instance_weights": False})
    with pytest.raises(Invalid, match=r"t3.micro counts for 2 units; say so by .instance_weights: true."):
        scene.compute.describe(silent)
    plain = scene.account.service("plain")
    assert scene.compute.describe(plain)["blue"].capacity == 2
    templates.raise_if_weighed(Options.of(plain), group(1, 1))


def test_hosts_are_counted_in_units(scene: Scene, service: Service) -> None:
    """A side that is whole is waited for until the deadline, or half of one is believed to be whole."""
    blue, size = scene.compute.describe(service)["blue"], scene.compute.sizes(service)["blue"]
    assert (blue.capacity, size.capacity, size.alive) == (WEIGHED, WEIGHED, ALIVE)
    assert [each.units for each in scene.instances(service, "blue")] == [2, 2]
    image = scene.account.images["base-1"]
    asked = [answer_to(scene.provider, service, Fact("running", "blue", count, image)) for count in (ALIVE, ALIVE + 1)]
    assert [(each.state, each.seen) for each in asked] == [("met", "4 of 4 running"), ("not_yet", "4 of 5 running")]


def test_the_two_sides_differ_by_a_weight(scene: Scene, service: Service) -> None:
    """A replacement whose hosts count for more than they carry passes for a faithful copy."""
    policy = scene.group("shop-green")["MixedInstancesPolicy"]
    template = policy["LaunchTemplate"]["LaunchTemplateSpecification"]
    del template["LaunchTemplateName"]
    policy["LaunchTemplate"]["Overrides"][0]["WeightedCapacity"] = "3"
    scene.update("shop-green", MixedInstancesPolicy=policy)
    sides = [each.fingerprint for each in scene.compute.describe(service).values()]
    differing = {key for key in sides[0] if sides[0][key] != sides[1].get(key)}
    assert differing and all(key.startswith("mixed.Overrides") for key in differing)


def test_a_launch_that_stalls_is_known_by_its_units(scene: Scene, service: Service) -> None:
    """Two hosts of three are there, four units of five; nobody is told why there is no more."""
    scene.autoscaling.suspend_processes(AutoScalingGroupName="shop-blue", ScalingProcesses=["Launch"])
    for wanted, times in ((ALIVE, 0), (ALIVE + 1, 1)):
        scene.update("shop-blue", DesiredCapacity=wanted)
        with wire(scene.account) as asked:
            assert [each.units for each in scene.instances(service, "blue")] == [2, 2]
            assert asked.count("autoscaling.DescribeScalingActivities") == times


def test_the_balancer_is_read_in_units(traffic: Traffic) -> None:
    """Gates compare hosts with units, and nothing is ever promoted."""
    service, _ = standing(traffic)
    other = traffic.account.service("plain")
    found = traffic.traffic.observe([service, other])
    assert [found["shop"].targets[slot].healthy for slot in ("blue", "green")] == [ALIVE, ALIVE]
    assert found["plain"].targets["blue"].healthy == 2


def test_groups_that_cannot_be_read_blind_only_who_has_weights(traffic: Traffic) -> None:
    """One service with weights, and Auto Scaling out of order: ten thousand others are not seen any more."""
    service, _ = standing(traffic)
    plain = traffic.account.service("plain")
    traffic.broken["DescribeAutoScalingGroups"] = Denied("you may not")
    found = traffic.traffic.observe([service, plain], Parts(route=False, targets=("blue",), counters=()))
    assert list(found) == ["plain"] and found["plain"].targets["blue"].healthy == 2


def test_who_has_no_weights_costs_no_call_more(traffic: Traffic) -> None:
    """Ten thousand services without weights are asked for their groups at every tick."""
    plain = traffic.account.service("plain")
    with wire(traffic.account) as asked:
        traffic.traffic.observe([plain])
        before = asked.count("autoscaling.DescribeAutoScalingGroups")
        service, _ = standing(traffic)
        asked.clear()
        traffic.traffic.observe([service, plain])
        assert asked.count("autoscaling.DescribeAutoScalingGroups") <= before + 1


def test_the_night_counts_in_units(traffic: Traffic, line: Line) -> None:
    """The old side is called too small at three o'clock, and the command asks whether you mean it."""
    service, target = standing(traffic)
    alone = rollback.read(target)
    assert alone["healthy"] == {"blue": ALIVE, "green": ALIVE}
    many = rollback.one_of_many("blue", WEIGHED)
    assert many.read(target)["healthy"] == alone["healthy"]
    card = keep(traffic, service, target, capacity=WEIGHED)
    (kept,) = finding.find("shop", {"region": target["place"]["region"]})
    assert kept["target"]["groups"] == target["groups"] and kept["capacity"] == card.capacity
    assert rollback.read(kept["target"])["healthy"] == alone["healthy"]


@pytest.mark.parametrize("why", ["denied", "gone"])
def test_a_night_in_which_nobody_can_weigh(traffic: Traffic, line: Line, why: str) -> None:
    """The command ends with a traceback, or believes that there is more than there is."""
    _, target = standing(traffic)
    if why == "denied":
        line.plan("autoscaling.DescribeAutoScalingGroups", denied, 10)
    else:
        target["groups"] = {"blue": "none", "green": "none"}
    assert rollback.read(target)["healthy"] == {"blue": 2, "green": 2}, "each host is at least one"


def denied(*_: Any) -> Any:
    """What the role may not ask."""
    raise Denied("you may not")


def test_a_card_of_hosts_without_weights_is_as_it_was(traffic: Traffic) -> None:
    """Cards that were kept before are read in another way than they were written."""
    made = traffic.account.service()
    assert "instance_weights" not in traffic.traffic.card_target(made)
    assert CARD.target == {}


def test_vcpus_and_addresses_are_those_of_the_hosts(tmp_path: Path) -> None:
    """Twelve units of three hosts are refused for twelve hosts' vCPUs, or many of a small type run out of addresses."""
    with insight_scene(tmp_path, capacity=2, instance_weights=True) as seen:
        shaped(seen.account, "weighed")
        kinds = {kind: -(-12 // each) * 2 for kind, each in UNITS.items()}
        seen.account.answers.quotas[STANDARD] = 4.0 + max(kinds.values())
        assert seen.texts("blocks", capacity=12) == []
        seen.account.answers.quotas[STANDARD] = 4.0 + min(kinds.values()) - 1
        seen.clock.sleep(3600)
        (text,) = seen.texts("blocks", capacity=12)
        assert f"4 in use, {min(kinds.values())} more for 6 hosts" in text


def test_what_both_sides_share_is_taken_by_hosts(tmp_path: Path) -> None:
    """The database is believed to have too few connections for units that no host opens."""
    limits = [{"name": "database", "each": 25, "limit": 100}]
    with insight_scene(tmp_path, shared_limits=limits, instance_weights=True) as seen:
        shaped(seen.account, "weighed")
        assert seen.texts("blocks", capacity=WEIGHED) == []
        (text,) = seen.texts("blocks", capacity=ALIVE + 1)
        assert "5 hosts on both sides take 125" in text

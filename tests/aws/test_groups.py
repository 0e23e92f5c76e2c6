"""Groups as AWS tells them, and the names that they have inside of their configuration."""

from __future__ import annotations

from providers.aws import groups
from providers.aws.naming import Naming, tracked
from providers.aws.options import Options
from providers.base import Service
from tests.aws.compute_kit import Scene, a_scene  # noqa: F401 - a fixture

BALANCING = "arn:aws:elasticloadbalancing:eu-central-1:123456789012"
BLUE, GREEN = (f"{BALANCING}:targetgroup/shop-{slot}/{'0' * 15}{slot[0]}" for slot in ("blue", "green"))


def options(blue: str = "shop-blue", green: str = "shop-green") -> Options:
    """Of a service with groups of these names."""
    route = {"listener": f"{BALANCING}:listener/app/front/1/2", "blue": BLUE, "green": GREEN}
    return Options.of(Service("shop", {"region": "eu-central-1", "blue": blue, "green": green, "routes": [route]}))


def test_groups_are_read_by_the_hundred(scene: Scene) -> None:
    """Otherwise watching a fleet takes one call for each group, and is throttled."""
    service = scene.account.service()
    cloud, _ = scene.cloud(service)
    found = groups.read_groups(cloud, ["shop-blue", *(f"none-{number}" for number in range(150))])
    assert set(found) == {"shop-blue"}
    assert scene.clouds.calls["autoscaling.DescribeAutoScalingGroups"] == 2


def test_a_group_that_is_being_deleted_counts_as_gone(scene: Scene) -> None:
    """Otherwise a rollout works with a group that will be gone in a moment."""
    service = scene.account.service()
    cloud, _ = scene.cloud(service)
    leaving = {"AutoScalingGroupName": "x", "MinSize": 0, "MaxSize": 0, "DesiredCapacity": 0, "DefaultCooldown": 0}
    leaving |= {"AvailabilityZones": [], "HealthCheckType": "EC2", "CreatedTime": 0, "Status": "Delete in progress"}
    scene.account.answers.give("autoscaling", "DescribeAutoScalingGroups", {"AutoScalingGroups": [leaving]})
    assert groups.read_groups(cloud, ["x"]) == {}
    assert set(groups.read_groups(cloud, ["x"], leaving=True)) == {"x"}


def test_our_tags_stay_with_the_group() -> None:
    """Otherwise every host carries the tag of the rollout that once made its group."""
    (tag,) = groups.own_tags("shop-green", {groups.OWNER: "rollout-manager/shop"})
    assert tag["PropagateAtLaunch"] is False and tag["ResourceId"] == "shop-green"
    assert groups.owner_of({"Tags": [tag]}) == "rollout-manager/shop"
    assert groups.owner_of({}) is None


def test_a_slots_name_becomes_the_others() -> None:
    """Otherwise the copy's hosts and metrics are those of the group that it was copied from."""
    naming = Naming.between(options(), "blue", "green")
    assert naming.word("web-shop-blue-1") == "web-shop-green-1"
    assert naming.word("shop-bluebird") == "shop-bluebird"
    dimensions = [{"Name": "AutoScalingGroupName", "Value": "shop-blue"}, {"Name": "Queue", "Value": "shop-blue"}]
    renamed = naming.metrics({"Dimensions": dimensions})["Dimensions"]
    assert [each["Value"] for each in renamed] == ["shop-green", "shop-blue"]


def test_a_name_that_is_part_of_the_other_is_no_word() -> None:
    """Otherwise the tag service=shop becomes service=shop-green, for the first group is called shop."""
    naming = Naming.between(options("shop", "shop-green"), "blue", "green")
    assert naming.tag("service", "shop") == "shop"
    assert naming.tag("Name", "shop") == "shop-green"
    assert naming.metrics({"Name": "AutoScalingGroupName", "Value": "shop"})["Value"] == "shop-green"


def test_a_policy_follows_its_own_target_group() -> None:
    """Otherwise the copy scales by the requests of the side that it replaces."""
    mine, its = (arn.rpartition(":")[2] for arn in (BLUE, GREEN))
    policy = {"Configuration": {"ResourceLabel": f"app/front/1/{mine}"}}
    assert tracked(policy) == [mine]
    renamed = Naming.between(options(), "blue", "green").metrics(policy)
    assert renamed == {"Configuration": {"ResourceLabel": f"app/front/1/{its}"}}
    neutral = [Naming.neutral(options(), slot) for slot in ("blue", "green")]
    assert neutral[0].metrics(policy) == neutral[1].metrics(renamed)
    assert Naming.between(options(), "blue", "green").label("app/front/1") == "app/front/1"

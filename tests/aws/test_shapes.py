"""Groups of several instance types, and groups with a warm pool, are mirrored, renewed, rolled out and put back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from providers.base import Invalid, Patch, Service
from tests.aws.account import Account
from tests.aws.compute_kit import OWNER, Scene, a_scene  # noqa: F401 - a fixture
from tests.aws.fault_kit import HOSTS, QUICK, Story, story
from tests.aws.shapes import DISTRIBUTION, KINDS, POOL, WEIGHED, mixed, shaped
from tests.aws.test_copying import furnished
from tests.aws.test_faults_calls import bad_under_traffic
from tests.aws.wire import wire

COPIES = ("mixed", "warm_pool")
PAIRS = [
    ("on_demand", "mixed"),
    ("on_demand", "warm_pool"),
    ("on_demand", "weighed"),
    ("permanent", "mixed"),
    ("permanent", "weighed"),
]
"""A permanent pair may have no warm pool: that it is refused is tried below."""


def mixed_as_its_model(group: dict[str, Any]) -> bool:
    """Does it launch the same types, in the same mixture?"""
    policy = group.get("MixedInstancesPolicy", {})
    launch = policy.get("LaunchTemplate", {})
    kinds = [each["InstanceType"] for each in launch.get("Overrides", ())]
    chosen = {key: policy.get("InstancesDistribution", {}).get(key) for key in DISTRIBUTION}
    return (kinds, chosen) == (list(KINDS), DISTRIBUTION)


def pool_of(group: dict[str, Any]) -> dict[str, Any]:
    """Its warm pool, as it was asked for."""
    return {key: value for key, value in group.get("WarmPoolConfiguration", {}).items() if key in POOL}


def as_its_model(group: dict[str, Any], shape: str) -> bool:
    """Has it what the shape brings?"""
    return pool_of(group) == POOL if shape == "warm_pool" else mixed_as_its_model(group)


@pytest.mark.parametrize("shape", COPIES)
def test_a_copy_has_the_shape_of_its_model(scene: Scene, shape: str) -> None:
    """The new side has one type of host where there are ten, or grows minutes later than the old one."""
    service = furnished(scene)
    shaped(scene.account, shape)
    scene.mirror(service)
    slots = scene.compute.describe(service)
    assert slots["green"].fingerprint == slots["blue"].fingerprint
    part = "mixed.Overrides" if shape == "mixed" else "warm_pool.PoolState"
    assert [key for key in slots["green"].fingerprint if key.startswith(part)]
    assert (slots["green"].image, slots["green"].owner) == (scene.account.images["base-2"], OWNER)
    group = scene.group("shop-green")
    assert as_its_model(group, shape) and (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 6)


@pytest.mark.parametrize(("standby", "shape"), PAIRS)
def test_the_same_mirror_again_writes_nothing(scene: Scene, standby: str, shape: str) -> None:
    """A lost answer makes a second template version, or empties a warm pool that is being filled."""
    service = scene.account.service(on_demand=standby == "on_demand", instance_weights=shape == "weighed")
    shaped(scene.account, shape)
    scene.mirror(service, "one")
    before, versions = scene.group("shop-green"), scene.versions("shop-green")
    with wire(scene.account) as line:
        scene.mirror(service, "one")
        assert [call.name for call in line.writes] == []
    assert scene.group("shop-green") == before and scene.versions("shop-green") == versions


@pytest.mark.parametrize("shape", COPIES)
def test_a_copy_that_was_left_is_renewed_in_the_shape_of_its_model(scene: Scene, shape: str) -> None:
    """What an interrupted rollout left is proven, with the types and the pool of last week."""
    service = scene.account.service()
    scene.mirror(service, "one")
    assert not as_its_model(scene.group("shop-green"), shape)
    shaped_blue(scene, shape)
    scene.clock.sleep(60)
    scene.mirror(service, "two", image="base-1")
    slots = scene.compute.describe(service)
    assert as_its_model(scene.group("shop-green"), shape)
    assert slots["green"].fingerprint == slots["blue"].fingerprint
    assert slots["green"].image == scene.account.images["base-1"]


def shaped_blue(scene: Scene, shape: str) -> None:
    """The serving group alone."""
    if shape == "mixed":
        scene.update("shop-blue", MixedInstancesPolicy=mixed(scene.group("shop-blue")))
    else:
        shaped(scene.account, shape)


def test_a_pool_that_the_model_lost_is_lost_by_its_copy(scene: Scene) -> None:
    """Hosts that nobody wants any more wait, paid for, beside the new side."""
    service = scene.account.service()
    shaped(scene.account, "warm_pool")
    scene.mirror(service, "one")
    scene.autoscaling.delete_warm_pool(AutoScalingGroupName="shop-blue", ForceDelete=True)
    scene.clock.sleep(60)
    scene.mirror(service, "two")
    assert pool_of(scene.group("shop-green")) == {}


def test_a_permanent_side_takes_the_mixture_of_the_one_that_serves(scene: Scene) -> None:
    """The side that is proven launches other types than the one that it replaces."""
    service = scene.account.service(on_demand=False)
    shaped_blue(scene, "mixed")
    scene.mirror(service, "one")
    slots = scene.compute.describe(service)
    assert mixed_as_its_model(scene.group("shop-green"))
    assert slots["green"].fingerprint == slots["blue"].fingerprint
    assert len(scene.versions("shop-green")) == 2 and slots["green"].owner is None


def declared(account: Account, service: Service) -> Service:
    """The same, whose hosts are said to have weights."""
    account.services[service.name] = Service(service.name, {**service.options, "instance_weights": True})
    return account.services[service.name]


def patched(scene: Scene, service: Service) -> Patch:
    """What the patcher makes of the mirror."""
    patch = scene.provider.patcher.resolve(service, scene.account.images["base-2"])
    scene.provider.patcher.apply(service, "green", patch, "patch")
    return patch


@pytest.mark.parametrize(("standby", "shape"), PAIRS)
def test_the_patched_image_is_what_its_hosts_launch(scene: Scene, standby: str, shape: str) -> None:
    """A mixed group launches the old image from a template that nobody looked into."""
    service = scene.account.service(on_demand=standby == "on_demand", instance_weights=shape == "weighed")
    shaped(scene.account, shape)
    scene.mirror(service)
    patch = patched(scene, service)
    scene.compute.scale(service, "green", WEIGHED if shape == "weighed" else HOSTS, "scale")
    hosts = scene.instances(service, "green")
    assert [host.image for host in hosts] == [patch.image] * HOSTS
    machines = scene.account.client("ec2").describe_instances(InstanceIds=[host.id for host in hosts])["Reservations"]
    kinds = {one["InstanceType"] for each in machines for one in each["Instances"]}
    assert kinds <= set(KINDS)


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_a_permanent_pair_is_refused_a_warm_pool_before_anything_is_done(tmp_path: Path, slot: str) -> None:
    """The standby takes its hosts from the pool, with the image of before, and is proven so."""
    with story(tmp_path, "permanent", rule=QUICK) as shop:
        shop.client("autoscaling").put_warm_pool(AutoScalingGroupName=f"shop-{slot}", **POOL)
        blocked = [one.text for one in shop.concerns()]
        assert [text for text in blocked if text.startswith(f"shop-{slot} has a warm pool")], blocked


def test_a_permanent_standby_that_gets_a_pool_after_the_plan_is_not_filled(tmp_path: Path) -> None:
    """What the plan refused is done all the same, for it came to be a minute later."""
    with story(tmp_path, "permanent", rule=QUICK) as shop:
        shop.open()
        shop.client("autoscaling").put_warm_pool(AutoScalingGroupName="shop-green", **POOL)
        shop.drive()
        assert "has a warm pool" in shop.told, shop.told
        shop.raise_if_not_rolled_back()


def shape_of(shop: Story, shape: str) -> None:
    """The story's groups have this shape from its beginning."""
    shaped(shop.account, shape)
    if shape == "weighed":
        shop.capacity, shop.service = WEIGHED, declared(shop.account, shop.service)
    shop.before = shop.state()
    shop.line.clear()


@pytest.mark.parametrize(("standby", "shape"), PAIRS)
def test_a_rollout_from_its_begin_to_its_end(tmp_path: Path, standby: str, shape: str) -> None:
    """Users with Spot fleets or warm pools find out in production whether it works."""
    with story(tmp_path, standby, rule=QUICK) as shop:
        shape_of(shop, shape)
        shop.open()
        shop.drive()
        shop.raise_if_not_promoted()
        shop.raise_if_anything_twice()
        assert as_its_model(shop.group("green"), shape)
        assert as_its_model(shop.group("blue"), shape), "the side that was given up is still what it was"


@pytest.mark.parametrize(("standby", "shape"), PAIRS)
def test_a_rollout_that_is_put_back(tmp_path: Path, standby: str, shape: str) -> None:
    """The way back leaves a mixture, a pool or its hosts behind, or takes the user's away."""
    with story(tmp_path, standby, rule=QUICK) as shop:
        shape_of(shop, shape)
        shop.ask = bad_under_traffic
        shop.open()
        shop.drive()
        shop.raise_if_not_rolled_back()
        assert as_its_model(shop.group("blue"), shape)
        assert bool(shop.group("green")) is (standby == "permanent")


@pytest.mark.parametrize(("standby", "shape"), PAIRS)
def test_the_next_rollout_goes_the_other_way_round(tmp_path: Path, standby: str, shape: str) -> None:
    """The first rollout of a mixed group works, and the second one meets what the first one made of it."""
    with story(tmp_path, standby, rule=QUICK) as shop:
        shape_of(shop, shape)
        shop.open()
        shop.drive()
        shop.clock.sleep(86400)
        if shape == "warm_pool":  # as the plan asks for: the user's own parked side has its pool still
            assert [one.text for one in shop.concerns() if "shop-blue has a warm pool" in one.text]
            shop.client("autoscaling").delete_warm_pool(AutoScalingGroupName="shop-blue", ForceDelete=True)
        shop.open("base-1", "shop-2")
        shop.drive(rollout="shop-2")
        shop.raise_if_not_promoted("blue", "base-1", "shop-2")
        if shape != "warm_pool":
            assert as_its_model(shop.group("blue"), shape)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ({"WeightedCapacity": "2"}, "counts for 2 units; say so by `instance_weights: true`"),
        ({"LaunchTemplateSpecification": {"LaunchTemplateName": "shop-blue", "Version": "1"}}, "template of its own"),
    ],
)
def test_a_mixture_that_cannot_be_counted_is_refused_first(scene: Scene, override: dict[str, Any], text: str) -> None:
    """Half the hosts are launched from a template without the patch, or half of them are missing."""
    service = scene.account.service()
    policy = mixed(scene.group("shop-blue"))
    policy["LaunchTemplate"]["Overrides"][1] |= override
    scene.update("shop-blue", MixedInstancesPolicy=policy)
    with wire(scene.account) as line:
        with pytest.raises(Invalid, match=text):
            scene.mirror(service)
        assert [call.name for call in line.writes] == []
    assert not scene.group("shop-green")

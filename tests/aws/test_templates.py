"""Launch templates: read in full, written in full, never under a live system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest

from providers.aws import templates
from providers.aws.templates import ANSWERED_ONLY
from providers.base import Conflict, Invalid, Transient
from tests.aws.compute_kit import OWNER, Scene, a_scene  # noqa: F401 - a fixture
from tests.aws.wire import wire

PINNED = {"LaunchTemplateId": "lt-1", "Version": "3"}


def mixed(**override: Any) -> dict[str, Any]:
    """A group with a mixed-instances policy of one override."""
    launch = {"LaunchTemplateSpecification": PINNED, "Overrides": [{"InstanceType": "m5.large", **override}]}
    return {"AutoScalingGroupName": "shop-blue", "MixedInstancesPolicy": {"LaunchTemplate": launch}}


def only_answered(asked: Any, answered: Any, path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Where the shape of an answer has members that the request lacks."""
    while answered.type_name == "list":
        asked, answered = asked.member, answered.member
    if answered.type_name != "structure":
        return set()
    found = {(*path, name) for name in answered.members if name not in asked.members}
    return found.union(
        *(
            only_answered(asked.members[name], shape, (*path, name))
            for name, shape in answered.members.items()
            if name in asked.members
        )
    )


def test_every_field_of_a_template_can_be_written_again() -> None:
    """Otherwise a field that AWS adds is refused, or is lost in every copy."""
    model = botocore.session.get_session().get_service_model("ec2")
    asked, answered = (model.shape_for(f"{kind}LaunchTemplateData") for kind in ("Request", "Response"))
    assert only_answered(asked, answered) == ANSWERED_ONLY


def test_what_is_only_answered_is_left_out() -> None:
    """Otherwise the new version is refused for a field that AWS itself had added."""
    data = {
        "ImageId": "resolve:ssm:/base",
        "MetadataOptions": {"State": "applied", "HttpTokens": "required"},
        "NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": "::1", "IsPrimaryIpv6": True}]}],
    }
    assert templates.request(data, "ami-2") == {
        "ImageId": "ami-2",
        "MetadataOptions": {"HttpTokens": "required"},
        "NetworkInterfaces": [{"Ipv6Addresses": [{"Ipv6Address": "::1"}]}],
    }


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ({"AutoScalingGroupName": "shop-blue", "LaunchConfigurationName": "old"}, "convert it to a launch template"),
        (mixed(LaunchTemplateSpecification=PINNED), "launch template of its own"),
        (mixed(ImageId="ami-9"), "image of its own"),
        ({**mixed(), "DesiredCapacityType": "vcpu"}, "vcpu"),
    ],
)
def test_what_cannot_be_mirrored_is_said(group: Mapping[str, Any], text: str) -> None:
    """Otherwise hosts come up with another image, or capacity counts something else than hosts."""
    with pytest.raises(Invalid, match=text):
        templates.specification(dict(group))


def test_a_mixed_group_launches_from_the_number() -> None:
    """Otherwise the copy of a mixed group loses its instance types, or launches the source's image."""
    group = mixed(WeightedCapacity="1")
    assert templates.specification(group) == PINNED
    launched = templates.launching(group, "lt-2", 7)["MixedInstancesPolicy"]["LaunchTemplate"]
    assert launched["LaunchTemplateSpecification"] == {"LaunchTemplateId": "lt-2", "Version": "7"}
    assert launched["Overrides"] == [{"InstanceType": "m5.large", "WeightedCapacity": "1"}]


@pytest.mark.parametrize("version", ["$Latest", "$Default"])
def test_a_floating_version_is_resolved(scene: Scene, version: str) -> None:
    """Otherwise nobody knows which image serves."""
    service = scene.account.service()
    given = {"LaunchTemplateName": "shop-blue", "Version": version}
    scene.update("shop-blue", LaunchTemplate=given)
    cloud, _ = scene.cloud(service)
    found = templates.read_template(cloud, scene.group("shop-blue"))
    assert (found.number, found.asked, found.floats) == (1, version, True)
    assert found.image == scene.account.images["base-1"]


def test_a_parameter_is_read(scene: Scene) -> None:
    """Otherwise a template that names a parameter has no image that could be compared."""
    service, image = scene.account.service(), scene.account.images["base-1"]
    scene.account.client("ssm").put_parameter(Name="/base", Type="String", Value=image)
    ec2 = scene.account.client("ec2")
    ec2.create_launch_template_version(
        LaunchTemplateName="shop-blue", LaunchTemplateData={"ImageId": "resolve:ssm:/base"}
    )
    scene.update("shop-blue", LaunchTemplate={"LaunchTemplateName": "shop-blue", "Version": "2"})
    cloud, _ = scene.cloud(service)
    assert templates.read_template(cloud, scene.group("shop-blue")).image == image
    assert scene.compute.describe(service)["blue"].image == image


def test_a_version_is_written_once(scene: Scene) -> None:
    """Otherwise a lost reply leaves two versions, and a repeat after years finds none."""
    service = scene.account.service()
    cloud, _ = scene.cloud(service)
    template = scene.versions("shop-blue")[0]["LaunchTemplateId"]
    data = {"ImageId": scene.account.images["base-2"]}

    def write() -> int:
        return templates.write_version(cloud, cloud.writing(), template, data, "token-1", since=1)

    with wire(scene.account) as line:
        line.lose("CreateLaunchTemplateVersion")
        with pytest.raises(Transient):
            write()
    assert write() == write() == 2
    for _ in range(3):
        scene.account.client("ec2").create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=data)
    assert write() == 2, "somebody else wrote versions since"
    assert len(scene.versions("shop-blue")) == 5


def test_a_template_of_ours_is_created_once(scene: Scene) -> None:
    """Otherwise a lost reply blocks every later try with a name that is taken."""
    service = scene.account.service()
    cloud, _ = scene.cloud(service)
    data = {"ImageId": scene.account.images["base-2"]}

    def write(token: str = "token-1") -> tuple[str, int]:  # noqa: S107 - no password
        return templates.write_own_template(cloud, cloud.writing(), "shop-green", data, OWNER, token)

    with wire(scene.account) as line:
        line.lose("CreateLaunchTemplate")
        with pytest.raises(Transient):
            write()
    assert write()[1] == write()[1] == 1
    assert write("token-2")[1] == 2, "left by an earlier rollout: it is used again"
    assert templates.delete_own_template(cloud, cloud.writing(), "shop-green", "somebody else") is False
    assert templates.delete_own_template(cloud, cloud.writing(), "shop-green", OWNER) is True
    assert templates.delete_own_template(cloud, cloud.writing(), "shop-green", OWNER) is False


def test_a_template_of_that_name_is_not_taken_over(scene: Scene) -> None:
    """Otherwise a rollout writes into a template that other groups launch from."""
    service = scene.account.service()
    scene.account.template("shop-green", scene.account.images["base-1"])
    cloud, _ = scene.cloud(service)
    with pytest.raises(Conflict, match="not ours"):
        templates.write_own_template(cloud, cloud.writing(), "shop-green", {}, OWNER, "token-1")
    assert len(scene.versions("shop-green")) == 1


def test_a_live_system_is_not_changed_by_a_new_version() -> None:
    """Otherwise preparing a rollout puts the unproven image under the group that serves."""
    latest = templates.Template("lt-1", "shop", 3, "$Latest", "ami-1", {})
    pinned = templates.Template("lt-1", "shop", 3, "3", "ami-1", {})
    with pytest.raises(Invalid, match="pin it to version 3 first"):
        templates.raise_if_floating("lt-1", {"shop-blue": latest, "shop-green": pinned})
    templates.raise_if_floating("lt-2", {"shop-blue": latest})
    templates.raise_if_floating("lt-1", {"shop-blue": pinned})


def test_tokens_fit() -> None:
    """Otherwise EC2 refuses every write for the length of its token."""
    assert templates.client_token("t" * 64) == "t" * 64
    assert len(templates.client_token("t" * 65)) == len(templates.client_token("ü")) == 64
    assert len(templates.described("t" * 300)) == 255

"""The launch template that a group launches from: read in full, and written as a new, numbered version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.aws.cloud import Cloud, Writing
from providers.aws.groups import CREATED, OWNER, Group, tag
from providers.aws.options import Options
from providers.aws.units import weights_of
from providers.base import Conflict, Invalid, NotFound, Transient

FLOATING = ("$Latest", "$Default")
PARAMETER = "resolve:ssm:"
ANSWERED_ONLY = {
    ("MetadataOptions", "State"),
    ("Operator", "Managed"),
    ("Operator", "HiddenByDefault"),
    ("NetworkInterfaces", "Ipv6Addresses", "IsPrimaryIpv6"),
}
"""What AWS tells of a template's data and does not take back."""
LOOK_BACK = 50
"""So many of the latest versions are looked through for one that an earlier try wrote, at most."""


@dataclass(frozen=True, slots=True)
class Template:
    """The version that a group launches from now. `asked` is the version as the group names it."""

    id: str
    name: str
    number: int
    asked: str
    image: str
    data: Mapping[str, Any]

    @property
    def floats(self) -> bool:
        return self.asked in FLOATING


def specification(group: Group) -> Mapping[str, Any]:
    """How a group names its template. Invalid for what cannot be mirrored, with what to do about it."""
    name = group["AutoScalingGroupName"]
    if group.get("DesiredCapacityType") not in (None, "", "units"):
        raise Invalid(f"{name} counts its capacity in {group['DesiredCapacityType']}; only units are understood")
    if not (mixed := group.get("MixedInstancesPolicy")):
        if not group.get("LaunchTemplate"):
            raise Invalid(f"{name} has a launch configuration; convert it to a launch template first")
        found: Mapping[str, Any] = group["LaunchTemplate"]
        return found
    for override in mixed["LaunchTemplate"].get("Overrides") or ():
        what = override.get("InstanceType", "by requirements")
        if override.get("LaunchTemplateSpecification"):
            raise Invalid(f"{name}: the override {what} has a launch template of its own; all must share the group's")
        if override.get("ImageId"):
            raise Invalid(f"{name}: the override {what} has an image of its own; the template's must be the only one")
    found = mixed["LaunchTemplate"]["LaunchTemplateSpecification"]
    return found


def raise_if_weighed(options: Options, group: Group) -> None:
    """Invalid for instance weights that nobody declared: then hosts would be taken for units of capacity."""
    for kind, units in weights_of(group).items() if not options.instance_weights else ():
        if units != 1:
            raise Invalid(
                f"{group['AutoScalingGroupName']}: the override {kind} counts for {units} units; say so by "
                "`instance_weights: true`, or give every override the weight 1, or none"
            )


def launching(group: Group, template_id: str, number: int | str) -> dict[str, Any]:
    """Arguments that have a group launch as `group` does, but from this version."""
    pinned = {"LaunchTemplateId": template_id, "Version": str(number)}
    if not (mixed := group.get("MixedInstancesPolicy")):
        return {"LaunchTemplate": pinned}
    launch = {**mixed["LaunchTemplate"], "LaunchTemplateSpecification": pinned}
    return {"MixedInstancesPolicy": {**mixed, "LaunchTemplate": launch}}


def read_template(cloud: Cloud, group: Group) -> Template:
    """The effective template; a floating version is resolved to its number, a parameter to its image."""
    asked = specification(group)
    version = asked.get("Version") or "$Default"
    found = cloud.read(
        "ec2", "describe_launch_template_versions", **_which(asked), Versions=[version], ResolveAlias=True
    )["LaunchTemplateVersions"]
    if not found:
        raise Invalid(f"{group['AutoScalingGroupName']}: version {version} of its launch template is gone")
    data = found[0]["LaunchTemplateData"]
    image = data.get("ImageId", "")
    if not image:
        raise Invalid(f"{group['AutoScalingGroupName']}: its launch template names no image")
    if image.startswith(PARAMETER):
        name = image.removeprefix(PARAMETER)
        image = cloud.read("ssm", "get_parameter", Name=name)["Parameter"]["Value"]
    return Template(
        id=found[0]["LaunchTemplateId"],
        name=found[0]["LaunchTemplateName"],
        number=int(found[0]["VersionNumber"]),
        asked=version,
        image=image,
        data=data,
    )


def request(data: Mapping[str, Any], image: str) -> dict[str, Any]:
    """The data of a version as a new version takes it: every field, with this image."""
    written: dict[str, Any] = _without(data, ())
    return {**written, "ImageId": image}


def write_version(
    cloud: Cloud, writing: Writing, template_id: str, data: Mapping[str, Any], token: str, since: int
) -> int:
    """The number of a new version with all of this data; one that carries the token already is that version. It is
    looked for among those from `since` on, a number that was there before the write was first tried."""
    known = {"LaunchTemplateId": template_id}
    recent = cloud.pages(
        "ec2", "describe_launch_template_versions", "LaunchTemplateVersions", **known, MinVersion=str(since)
    )
    for version in recent:
        if version.get("VersionDescription") == described(token):
            return int(version["VersionNumber"])
    made = writing.call(
        "ec2",
        "create_launch_template_version",
        **known,
        ClientToken=client_token(token),
        VersionDescription=described(token),
        LaunchTemplateData=data,
    )
    return int(made["LaunchTemplateVersion"]["VersionNumber"])


def find_template(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """The launch template of that name."""
    try:
        found = cloud.read("ec2", "describe_launch_templates", LaunchTemplateNames=[name])["LaunchTemplates"]
    except NotFound:
        return None
    return found[0] if found else None


def write_own_template(
    cloud: Cloud, writing: Writing, name: str, data: Mapping[str, Any], owner: str, token: str
) -> tuple[str, int]:
    """Id and version number in a template of ours, which is created where there is none.

    Conflict where one of that name is not ours.
    """
    if (present := find_template(cloud, name)) is None:
        tags = [{"Key": OWNER, "Value": owner}, {"Key": CREATED, "Value": token}]
        try:
            made = writing.call(
                "ec2",
                "create_launch_template",
                LaunchTemplateName=name,
                ClientToken=client_token(token),
                VersionDescription=described(token),
                LaunchTemplateData=data,
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
            )["LaunchTemplate"]
            return made["LaunchTemplateId"], int(made["LatestVersionNumber"])
        except Conflict as error:
            if (present := find_template(cloud, name)) is None:
                raise Transient(f"the launch template {name} exists and is not shown yet") from error
    if tag(present, OWNER) != owner:
        raise Conflict(f"a launch template {name} exists and is not ours; rename it, or make the standby permanent")
    since = max(int(present["LatestVersionNumber"]) - LOOK_BACK, 1)
    number = write_version(cloud, writing, present["LaunchTemplateId"], data, token, since)
    return present["LaunchTemplateId"], number


def delete_own_template(cloud: Cloud, writing: Writing, name: str, owner: str) -> bool:
    """Delete the template of that name if it carries this owner tag; False (and nothing done) otherwise."""
    present = find_template(cloud, name)
    if present is None or tag(present, OWNER) != owner:
        return False
    writing.call("ec2", "delete_launch_template", LaunchTemplateId=present["LaunchTemplateId"])
    return True


def raise_if_floating(template_id: str, users: Mapping[str, Template]) -> None:
    """Invalid when a group (by its name) launches whatever version of this template is the latest."""
    for group, used in users.items():
        if used.id == template_id and used.asked == "$Latest":
            raise Invalid(
                f"{group} launches $Latest of the launch template {used.name}: a new version would change it at once; "
                f"pin it to version {used.number} first"
            )


def described(token: str) -> str:
    return f"rollout-manager {token}"[:255]


def client_token(token: str) -> str:
    """At most 64 characters that EC2 takes."""
    return token if len(token) <= 64 and token.isascii() else hashlib.sha256(token.encode()).hexdigest()


def _which(asked: Mapping[str, Any]) -> dict[str, str]:
    if asked.get("LaunchTemplateId"):
        return {"LaunchTemplateId": asked["LaunchTemplateId"]}
    return {"LaunchTemplateName": asked["LaunchTemplateName"]}


def _without(value: Any, path: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        kept = {key: _without(item, (*path, key)) for key, item in value.items() if (*path, key) not in ANSWERED_ONLY}
        return {key: item for key, item in kept.items() if item is not None}
    return [_without(item, path) for item in value] if isinstance(value, list | tuple) else value

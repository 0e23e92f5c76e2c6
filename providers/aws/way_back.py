"""What an earlier side needs to serve again, and lacks: its group, template version, image, and target groups."""

from __future__ import annotations

from providers.aws.cloud import Cloud
from providers.aws.groups import read_groups
from providers.aws.images import AMI
from providers.aws.options import Options
from providers.aws.side import describe_images
from providers.aws.templates import read_template
from providers.base import Invalid, NotFound, Slot


def lacks(cloud: Cloud, options: Options, slot: Slot, image: str) -> list[str]:
    """In words, with what is gone by name; empty where all of it is there. Four calls, or one more a target group that
    is gone. Raises ProviderErrors for what cannot be read."""
    return [*_launching(cloud, options.group(slot), image), *_targets(cloud, options.target_groups(slot))]


def _launching(cloud: Cloud, name: str, image: str) -> list[str]:
    group = read_groups(cloud, [name]).get(name)
    if group is None:
        return [f"the Auto Scaling group {name} is gone, or being deleted"]
    try:
        template = read_template(cloud, group)
    except (NotFound, Invalid) as error:
        return [f"{name} cannot launch: {error}"]
    found = _image(cloud, template.image)
    if AMI.fullmatch(image) and template.image != image:
        found.append(f"{name} launches {template.image} now, not {image}")
    return found


def _image(cloud: Cloud, image: str) -> list[str]:
    """Hosts that run go on without it; what is launched in their place does not."""
    try:
        known = describe_images(cloud, [image])
    except (NotFound, Invalid):  # Invalid: an id that EC2 takes for malformed
        known = []
    if not known:
        return [f"image {image} was deregistered, or is not shared with this account any more: no host can be replaced"]
    state = str(known[0].get("State", "available"))
    return [] if state == "available" else [f"image {image} is {state}: no host can be replaced"]


def _targets(cloud: Cloud, arns: tuple[str, ...]) -> list[str]:
    if _are_there(cloud, arns):
        return []
    return [f"target group {arn} is gone" for arn in arns if not _are_there(cloud, (arn,))]


def _are_there(cloud: Cloud, arns: tuple[str, ...]) -> bool:
    try:
        return len(cloud.pages("elbv2", "describe_target_groups", "TargetGroups", TargetGroupArns=list(arns))) == len(
            arns
        )
    except NotFound:
        return False

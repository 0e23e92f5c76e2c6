"""Mirroring: the standby becomes what serves, with another image and no capacity yet.

Every step reads what is there and adds what is missing, so the write may be cut after any call. The tag `MIRROR` is
set last: a repeat that finds it has nothing left to do, whatever was done with the slot since.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from providers.aws import attachments, copying, suspensions
from providers.aws.cloud import Cloud, Writing
from providers.aws.fingerprint import renamed_tags, warm_pool
from providers.aws.groups import CREATED, MIRROR, MIRRORED_AT, PATCHED, Group, own_tags, owner_of, tag
from providers.aws.instances import base_image, release
from providers.aws.naming import Naming
from providers.aws.options import Options
from providers.aws.routes import raise_if_serving
from providers.aws.slots import Look, Slots
from providers.aws.templates import (
    Template,
    launching,
    raise_if_floating,
    raise_if_weighed,
    request,
    write_own_template,
    write_version,
)
from providers.base import Invalid, NotFound, Slot, other


@dataclass(frozen=True, slots=True)
class Mirror:
    """What was asked for."""

    writing: Writing
    options: Options
    slots: Slots
    source: Slot
    into: Slot
    image: str
    owner: str
    token: str

    @property
    def cloud(self) -> Cloud:
        return self.writing.cloud

    @property
    def name(self) -> str:
        return self.options.group(self.into)

    @property
    def naming(self) -> Naming:
        return Naming.between(self.options, self.source, self.into)


def mirror(wanted: Mirror) -> None:
    """Raises Invalid and NotFound before anything is changed."""
    if wanted.into != other(wanted.source):
        raise Invalid(f"{wanted.into} cannot be a mirror of itself")
    look = wanted.slots.look(wanted.cloud, wanted.options)
    look.raise_if_standby_is_missing()
    source, present = look.need(wanted.source), look.groups.get(wanted.into)
    if present and tag(present, MIRROR) == wanted.token:
        return
    raise_if_serving(wanted.cloud, wanted.options, wanted.into, "made a mirror")
    for group in look.groups.values():
        copying.raise_if_not_copyable(group, wanted.options)
        raise_if_weighed(wanted.options, group)
    if present and owner_of(present) != wanted.owner and warm_pool(present):
        raise Invalid(f"{wanted.name} has a warm pool, whose hosts have the image of before; remove it first")
    _raise_if_unusable(wanted.cloud, base_image(wanted.image))
    template = wanted.slots.template(wanted.cloud, source)
    data = request(template.data, base_image(wanted.image))
    if "TagSpecifications" in data:
        data["TagSpecifications"] = renamed_tags(data["TagSpecifications"], wanted.naming)
    writing = wanted.writing
    if present is None or owner_of(present) == wanted.owner:
        _copy(wanted, writing, source, present, data)
    else:
        _fill(wanted, writing, look, present, template, data)
    _finish(wanted, writing, present)


def follow_target_groups(writing: Writing, options: Options, slot: Slot) -> None:
    """Put the scaling policies that a copy of ours could not have before it was in its target groups.

    To be called once the slot's group is attached to them. A slot of the user's is left alone, and so is one that is
    not the copy but the model: where both are ours, the one that was mirrored first.
    """
    cloud = writing.cloud
    slots = Slots(cloud.clock)
    look = slots.look(cloud, options)
    source, present = look.groups.get(other(slot)), look.groups.get(slot)
    if source is None or present is None or owner_of(present) is None or not _is_newer(present, source):
        return
    name, model = present["AutoScalingGroupName"], source["AutoScalingGroupName"]
    found = slots.settings(cloud, [name, model], fresh=True)
    naming = Naming.between(options, other(slot), slot)
    reached = [arn.rpartition(":")[2] for arn in present.get("TargetGroupARNs") or ()]
    attachments.add_policies(writing, found[model], found[name], name, naming, reached)


def _is_newer(group: Group, than: Group) -> bool:
    """Was it mirrored later?"""
    at = [float(told) if (told := tag(each, MIRRORED_AT) or "").isdigit() else 0.0 for each in (group, than)]
    return at[0] > at[1]


def _copy(wanted: Mirror, writing: Writing, source: Group, present: Group | None, data: dict[str, Any]) -> None:
    """A group of ours: created, or an earlier one of ours made the same."""
    cloud, name = wanted.cloud, wanted.name
    found = wanted.slots.settings(cloud, [source["AutoScalingGroupName"]], fresh=True)[source["AutoScalingGroupName"]]
    attachments.raise_if_not_copyable(source, found)
    copy = copying.Copy(name, wanted.owner, wanted.token, wanted.naming)
    version = write_own_template(cloud, writing, name, data, wanted.owner, wanted.token)
    creation = copying.creation(source, copy, version)
    if present is None:
        present = copying.create(cloud, writing, creation, copy)
        wanted.slots.created(cloud, name)
    elif tag(present, CREATED) != wanted.token:
        release(writing, present)
        present = copying.renew(cloud, writing, creation, present, copy)
    settings = wanted.slots.settings(cloud, [name], fresh=True)[name]
    attachments.attach(writing, found, settings, name, wanted.naming, cloud.clock.now())
    copying.follow(writing, source, present)


def _fill(
    wanted: Mirror, writing: Writing, look: Look, present: Group, template: Template, data: dict[str, Any]
) -> None:
    """A user's slot: its own launch template gets a version, and the group names that number."""
    cloud, source = wanted.cloud, look.need(wanted.source)
    own = wanted.slots.template(cloud, present)
    names = {look.options.group(wanted.source): template, wanted.name: own}
    raise_if_floating(own.id, names)
    number = write_version(cloud, writing, own.id, data, wanted.token, own.number)
    release(writing, present)
    largest = max(present["MaxSize"], source["MaxSize"])
    wanted_now = {**launching(source, own.id, number), "MinSize": 0, "DesiredCapacity": 0, "MaxSize": largest}
    sizes = {key: present[key] for key in ("MinSize", "DesiredCapacity", "MaxSize")}
    if {**launching(present, own.id, own.asked), **sizes} != wanted_now:
        writing.call("autoscaling", "update_auto_scaling_group", AutoScalingGroupName=wanted.name, **wanted_now)
    suspensions.follow(writing, source, present, keep=suspensions.suspended_by_others(present))


def _finish(wanted: Mirror, writing: Writing, before: Group | None) -> None:
    """`before` is the group as this write found it; a new one is no place where anything was patched."""
    stale = {"ResourceId": wanted.name, "ResourceType": "auto-scaling-group", "Key": PATCHED}
    if before is not None and tag(before, PATCHED) is not None:
        writing.call("autoscaling", "delete_tags", Tags=[stale])
    marks = {MIRRORED_AT: f"{wanted.cloud.clock.now():.0f}", MIRROR: wanted.token}
    writing.call("autoscaling", "create_or_update_tags", Tags=own_tags(wanted.name, marks))


def _raise_if_unusable(cloud: Cloud, image: str) -> None:
    found = cloud.read("ec2", "describe_images", ImageIds=[image])["Images"]
    if not found:
        raise NotFound(f"there is no image {image} in {cloud.place.region}")
    if found[0].get("State", "available") != "available":
        raise Invalid(f"the image {image} is {found[0]['State']}; only an available one can be launched")

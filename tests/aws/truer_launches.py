"""Launch templates, and what is launched from them."""

from __future__ import annotations

import json
from copy import copy
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG, FakeAutoScalingGroup, InstanceState
from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidLaunchTemplateVersionNotFound
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import MetadataOptions
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateBackend, LaunchTemplateVersion
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data

from tests.aws.truer import Correcting


def a_version_builds_on_its_source(correcting: Correcting) -> None:
    """AWS: a new version has all of its source version, except for what is given; its user data is user data."""

    def create(original: Any, self: LaunchTemplates) -> Any:
        template = _template(self)
        data = dict(_plain(self._get_param("LaunchTemplateData", {})))
        source = self._get_param("SourceVersion")
        if source:
            data = {**template.get_version(source).data, **data}
        if isinstance(data.get("UserData"), str | bytes):
            data["UserData"] = parse_user_data(data["UserData"])
        self.params["LaunchTemplateData"] = data
        return original(self)

    correcting.around(LaunchTemplates, "create_launch_template_version", create)


def _plain(value: Any) -> Any:
    return value.original_dict() if hasattr(value, "original_dict") else value


def _template(answer: LaunchTemplates) -> LaunchTemplate:
    known, name = answer._get_param("LaunchTemplateId"), answer._get_param("LaunchTemplateName")
    if known:
        return answer.ec2_backend.get_launch_template(known)
    return answer.ec2_backend.get_launch_template_by_name(name)


def the_same_token_is_the_same_call(correcting: Correcting) -> None:
    """AWS: the same ClientToken with the same arguments gives the same answer, with others
    IdempotentParameterMismatch."""
    answered: dict[tuple[str, str, str], tuple[str, Any]] = {}

    def once(original: Any, self: LaunchTemplates) -> Any:
        token = self._get_param("ClientToken")
        if not token:
            return original(self)
        arguments = json.dumps(_plain(self._get_params()), sort_keys=True, default=str)
        key = (self.current_account, self.region, str(token))
        if key not in answered:
            answered[key] = (arguments, original(self))
        if answered[key][0] != arguments:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                "The specified client token is already in use with different parameters",
            )
        return answered[key][1]

    for operation in ("create_launch_template", "create_launch_template_version"):
        correcting.around(LaunchTemplates, operation, once)


def tags_of_a_template_are_not_its_data(correcting: Correcting) -> None:
    """AWS: the tags of the template itself are no part of what is launched from it."""

    def create(original: Any, self: LaunchTemplateBackend, name: str, description: str, data: Any, tags: Any) -> Any:
        specified = [one for one in data.pop("TagSpecifications", []) if one["ResourceType"] != "launch-template"]
        if specified:
            data["TagSpecifications"] = specified
        return original(self, name, description, data, tags)

    correcting.around(LaunchTemplateBackend, "create_launch_template", create)


def versions_can_be_deleted(correcting: Correcting) -> None:
    """AWS: DeleteLaunchTemplateVersions; the default version stays, and no number is used twice."""

    def version(self: LaunchTemplate, number: Any) -> LaunchTemplateVersion:
        asked = str(number).lower()
        if asked == "$latest":
            return self.versions[-1]
        wanted = self.default_version_number if asked == "$default" else int(number)
        for one in self.versions:
            if one.number == wanted:
                return one
        raise InvalidLaunchTemplateVersionNotFound(template_id=self.id, version=number)

    def create(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        self.last_number = getattr(self, "last_number", 0) + 1  # type: ignore[attr-defined]
        made = LaunchTemplateVersion(self, self.last_number, data, description)  # type: ignore[attr-defined]
        self.versions.append(made)
        return made

    def delete(self: LaunchTemplates) -> Any:
        template, gone, kept = _template(self), [], []
        for number in self._get_param("Versions", []):
            known = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name}
            found = [one for one in template.versions if str(one.number) == str(number)]
            entry = {**known, "VersionNumber": int(number)}
            if found and found[0].number != template.default_version_number:
                template.versions.remove(found[0])
                gone.append(entry)
            else:
                code = "launchTemplateVersionDoesNotExist" if not found else "unexpectedError"
                kept.append({**entry, "ResponseError": {"Code": code, "Message": f"version {number}"}})
        return ActionResult(
            {
                "SuccessfullyDeletedLaunchTemplateVersions": gone,
                "UnsuccessfullyDeletedLaunchTemplateVersions": kept,
            }
        )

    correcting.replace(LaunchTemplate, "get_version", version)
    correcting.replace(LaunchTemplate, "create_version", create)
    correcting.replace(LaunchTemplate, "default_version", lambda self: self.get_version("$default"))
    correcting.replace(LaunchTemplates, "delete_launch_template_versions", delete)


def instances_tell_what_they_were_launched_from(correcting: Correcting) -> None:
    """AWS: Instances[].LaunchTemplate is the template and the version of the launch, whatever the group has now."""

    def made(original: Any, self: InstanceState, *args: Any, **given: Any) -> None:
        original(self, *args, **given)
        template = self.auto_scaling_group.ec2_launch_template
        self.launched_from = template and {  # type: ignore[attr-defined]
            "LaunchTemplateId": template.id,
            "LaunchTemplateName": template.name,
            "Version": str(template.get_version(self.auto_scaling_group.launch_template_version).number),
        }

    correcting.around(InstanceState, "__init__", made)
    correcting.replace(InstanceState, "launch_template", property(lambda self: self.launched_from))


def a_launch_follows_its_template(correcting: Correcting) -> None:
    """AWS: instances get the pinned version's security groups, profile, metadata options, monitoring and tags, are
    spread over all subnets, and `resolve:ssm:` is looked up; nothing is launched while Launch is suspended."""

    def launch(self: FakeAutoScalingGroup, count_needed: int, propagated_tags: dict[str, str]) -> None:
        if "Launch" in self._suspended_processes:
            return
        template = self.ec2_launch_template
        if template is None:
            raise NotImplementedError("groups without a launch template")
        version = template.get_version(self.launch_template_version)
        subnets = (self.vpc_zone_identifier or "").split(",")
        for _ in range(count_needed):
            held = [state.instance.subnet_id for state in self.instance_states]
            self.instance_states.append(_launch_one(self, version, min(subnets, key=held.count), propagated_tags))

    correcting.replace(FakeAutoScalingGroup, "replace_autoscaling_group_instances", launch)


def hosts_are_units(correcting: Correcting) -> None:
    """AWS: where a mixed group's types have weights, each host tells how many units of capacity it is."""

    def units(self: InstanceState) -> str | None:
        policy = self.auto_scaling_group.mixed_instances_policy or {}
        overrides = (policy.get("LaunchTemplate") or {}).get("Overrides") or ()
        weights = {each.get("InstanceType"): each.get("WeightedCapacity") for each in overrides}
        return weights.get(self.instance_type)

    correcting.replace(InstanceState, "weighted_capacity", property(units))


def _launch_one(
    group: FakeAutoScalingGroup, version: LaunchTemplateVersion, subnet: str, tags: dict[str, str]
) -> InstanceState:
    data = version.data
    overrides = ((group.mixed_instances_policy or {}).get("LaunchTemplate") or {}).get("Overrides") or [{}]
    interfaces = data.get("NetworkInterfaces") or [{}]
    metadata = MetadataOptions(dict(data.get("MetadataOptions") or {}))
    reservation = group.ec2_backend.run_instances(
        image_of(group, version),
        1,
        version.user_data,
        list(data.get("SecurityGroups") or []),
        security_group_ids=list(data.get("SecurityGroupIds") or interfaces[0].get("Groups") or []),
        instance_type=overrides[0].get("InstanceType") or version.instance_type,
        is_instance_type_default=False,
        tags={"instance": {**version.instance_tags, **tags, ASG_NAME_TAG: group.name}},
        key_name=data.get("KeyName"),
        monitoring_state="enabled" if (data.get("Monitoring") or {}).get("Enabled") else "disabled",
        launch_template={"LaunchTemplateId": version.template.id, "Version": version.number},
        associate_public_ip=interfaces[0].get("AssociatePublicIpAddress"),
        region_name=group.region,
        subnet_id=subnet or None,
        placement=group.availability_zones[0] if not subnet else None,
    )
    instance = reservation.instances[0]
    instance.metadata_options = metadata
    profile = data.get("IamInstanceProfile") or {}
    if profile.get("Name") or profile.get("Arn"):
        group.ec2_backend.associate_iam_instance_profile(
            instance_id=instance.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )
    instance.autoscaling_group = group  # type: ignore[attr-defined]
    return InstanceState(instance, protected_from_scale_in=group.new_instances_protected_from_scale_in)


def image_of(group: FakeAutoScalingGroup, version: LaunchTemplateVersion) -> str:
    """The image itself, where the template names a parameter."""
    image = version.image_id
    if not image.startswith("resolve:ssm:"):
        return image
    from moto.ssm.models import ssm_backends

    name = image.removeprefix("resolve:ssm:").split(":")[0]
    found = ssm_backends[group.account_id][group.region].get_parameter(name)
    if found is None:
        raise ValidationError(f"You must use a valid fully-formed launch template. Parameter {name} not found")
    return str(found.value)


def images_must_exist(correcting: Correcting) -> None:
    """AWS: a group cannot be given a template whose image does not exist (a launch would fail)."""
    from moto import settings

    def checked(original: Any, self: FakeAutoScalingGroup, *args: Any, **given: Any) -> None:
        before = dict(self.__dict__)
        original(self, *args, **given)
        named = any([*args[1:], given.get("launch_template"), given.get("mixed_instances_policy")])
        if named and self.ec2_launch_template is not None:
            version = self.ec2_launch_template.get_version(self.launch_template_version)
            image = image_of(self, version)
            if image and image not in {one.id for one in ec2_backends[self.account_id][self.region].describe_images()}:
                self.__dict__.update(before)
                raise ValidationError(
                    f"You must use a valid fully-formed launch template. The image id '[{image}]' does not exist"
                )

    correcting.replace(settings, "ENABLE_AMI_VALIDATION", True)
    correcting.around(FakeAutoScalingGroup, "_set_launch_configuration", checked)


def launches_take_their_time(correcting: Correcting) -> None:
    """AWS: an instance is Pending in its group before it is InService."""

    def shown(self: FakeAutoScalingGroup) -> list[InstanceState]:
        return [_as_shown(state) for state in self.instance_states]

    def _as_shown(state: InstanceState) -> InstanceState:
        if not correcting.manner.is_fresh(("launch", state.instance_id), correcting.manner.starting_for):
            return state
        starting = copy(state)
        starting.lifecycle_state = "Pending"
        return starting

    def launched(original: Any, self: FakeAutoScalingGroup, *args: Any, **given: Any) -> None:
        original(self, *args, **given)
        if correcting.manner.now is not None:  # the clock runs from the launch, not from the first look
            shown(self)

    correcting.replace(FakeAutoScalingGroup, "instances", property(shown))
    correcting.around(FakeAutoScalingGroup, "replace_autoscaling_group_instances", launched)


CORRECTIONS = (
    versions_can_be_deleted,
    a_version_builds_on_its_source,
    tags_of_a_template_are_not_its_data,
    the_same_token_is_the_same_call,
    instances_tell_what_they_were_launched_from,
    images_must_exist,
    a_launch_follows_its_template,
    launches_take_their_time,
    hosts_are_units,
)

"""Auto Scaling groups: what AWS refuses, and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name
from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse

from tests.aws.truer import Correcting

KEPT = (
    "DefaultInstanceWarmup",
    "MaxInstanceLifetime",
    "InstanceMaintenancePolicy",
    "AvailabilityZoneDistribution",
    "AvailabilityZoneImpairmentPolicy",
    "CapacityReservationSpecification",
    "Context",
    "DesiredCapacityType",
    "DeletionProtection",
)
"""Given when a group is made or changed, and shown again."""
KEPT_ON_UPDATE = ("DefaultCooldown", "PlacementGroup", "TerminationPolicies", "CapacityRebalance")
NEEDS_A_GROUP = (
    "attach_load_balancer_target_groups",
    "detach_load_balancer_target_groups",
    "describe_load_balancer_target_groups",
    "set_desired_capacity",
    "suspend_processes",
    "resume_processes",
    "put_lifecycle_hook",
    "put_scaling_policy",
    "put_scheduled_update_group_action",
    "set_instance_protection",
    "attach_instances",
    "detach_instances",
    "enable_metrics_collection",
    "put_warm_pool",
    "describe_warm_pool",
    "delete_warm_pool",
)


def _name(answer: AutoScalingResponse) -> str:
    return str(answer._get_param("AutoScalingGroupName"))


def unknown_groups_are_named(correcting: Correcting) -> None:
    """AWS: an operation on a group that does not exist is a ValidationError, not a KeyError."""

    def check(original: Any, self: AutoScalingResponse) -> Any:
        if _name(self) not in self.autoscaling_backend.autoscaling_groups:
            raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{_name(self)}' not found")
        return original(self)

    def check_tags(original: Any, self: AutoScalingResponse) -> Any:
        for tag in self._get_param("Tags", []):
            if tag.get("ResourceId") not in self.autoscaling_backend.autoscaling_groups:
                raise ValidationError(f"AutoScalingGroup name not found - no such group: {tag.get('ResourceId')}")
        return original(self)

    for operation in NEEDS_A_GROUP:
        correcting.around(AutoScalingResponse, operation, check)
    for operation in ("create_or_update_tags", "delete_tags"):
        correcting.around(AutoScalingResponse, operation, check_tags)


def a_name_is_taken_once(correcting: Correcting) -> None:
    """AWS: creating a group whose name exists is AlreadyExists, and the one that exists stays."""

    def create(original: Any, self: AutoScalingResponse) -> Any:
        if _name(self) in self.autoscaling_backend.autoscaling_groups:
            raise AutoscalingClientError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {_name(self)} already exists",
            )
        return original(self)

    correcting.around(AutoScalingResponse, "create_auto_scaling_group", create)


def nothing_given_is_dropped(correcting: Correcting) -> None:
    """AWS: what a group is created or updated with is shown by describe; a grace period that is not given is 0."""

    def keep(group: FakeAutoScalingGroup, answer: AutoScalingResponse, names: tuple[str, ...]) -> None:
        for name in names:
            value = answer._get_param(name)
            if value is not None:
                setattr(group, xform_name(name), _plain(value))

    def create(original: Any, self: AutoScalingResponse) -> Any:
        answer = original(self)
        group = self.autoscaling_backend.autoscaling_groups[_name(self)]
        keep(group, self, KEPT)
        group.health_check_grace_period = self._get_int_param("HealthCheckGracePeriod", 0)
        for hook in self._get_param("LifecycleHookSpecificationList", []):
            self.autoscaling_backend.create_lifecycle_hook(
                name=hook["LifecycleHookName"],
                as_name=group.name,
                transition=hook["LifecycleTransition"],
                timeout=hook.get("HeartbeatTimeout"),
                result=hook.get("DefaultResult"),
            )
        return answer

    def update(original: Any, self: AutoScalingResponse) -> Any:
        answer = original(self)
        keep(self.autoscaling_backend.autoscaling_groups[_name(self)], self, KEPT + KEPT_ON_UPDATE)
        return answer

    correcting.around(AutoScalingResponse, "create_auto_scaling_group", create)
    correcting.around(AutoScalingResponse, "update_auto_scaling_group", update)


def _plain(value: Any) -> Any:
    if hasattr(value, "original_dict"):
        return value.original_dict()
    return value


def an_update_keeps_what_it_does_not_name(correcting: Correcting) -> None:
    """AWS: an update without a mixed-instances policy leaves the one that is there, and counts by its weights."""

    def update(original: Any, self: FakeAutoScalingGroup, **given: Any) -> None:
        if given.get("mixed_instances_policy") or given.get("launch_template"):
            return original(self, **given)
        before, sizes = self.mixed_instances_policy, list[int | None]()
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(self, "set_desired_capacity", sizes.append)
            original(self, **given)
        self.mixed_instances_policy = before
        for size in sizes:
            self.set_desired_capacity(size)

    correcting.around(FakeAutoScalingGroup, "update", update)


def sizes_are_checked(correcting: Correcting) -> None:
    """AWS: the desired capacity lies between the group's minimum and maximum, else ValidationError."""

    def desired(original: Any, self: AutoScalingResponse) -> Any:
        group, wanted = self.autoscaling_backend.autoscaling_groups[_name(self)], self._get_int_param("DesiredCapacity")
        if wanted > int(group.max_size or 0):
            raise ValidationError(
                f"New SetDesiredCapacity value {wanted} is above max value {group.max_size} for the AutoScalingGroup."
            )
        if wanted < int(group.min_size or 0):
            raise ValidationError(
                f"New SetDesiredCapacity value {wanted} is below min value {group.min_size} for the AutoScalingGroup."
            )
        return original(self)

    def sized(original: Any, self: AutoScalingResponse) -> Any:
        group = self.autoscaling_backend.autoscaling_groups.get(_name(self))
        least = self._get_int_param("MinSize", int(group.min_size or 0) if group else 0)
        most = self._get_int_param("MaxSize", int(group.max_size or 0) if group else 0)
        wanted: int | None = self._get_param("DesiredCapacity")
        if least > most:
            raise ValidationError(f"Max bound, {most}, must be greater than or equal to min bound, {least}")
        if wanted is not None and not least <= int(wanted) <= most:
            raise ValidationError(
                f"Desired capacity:{wanted} must be between the specified min size:{least} and max size:{most}"
            )
        return original(self)

    correcting.around(AutoScalingResponse, "set_desired_capacity", desired)
    correcting.around(AutoScalingResponse, "create_auto_scaling_group", sized)
    correcting.around(AutoScalingResponse, "update_auto_scaling_group", sized)


def sizes_pull_the_capacity(correcting: Correcting) -> None:
    """AWS: a new minimum above, or a new maximum below the desired capacity moves it there; no other size does."""

    def update(original: Any, self: FakeAutoScalingGroup, **given: Any) -> None:
        if given.get("desired_capacity") is None:
            least = self.min_size if given.get("min_size") is None else given["min_size"]
            most = self.max_size if given.get("max_size") is None else given["max_size"]
            given["desired_capacity"] = max(int(least or 0), min(int(most or 0), int(self.desired_capacity or 0)))
        original(self, **given)

    correcting.around(FakeAutoScalingGroup, "update", update)


def a_group_with_instances_stays(correcting: Correcting) -> None:
    """AWS: without ForceDelete, a group that has instances is ResourceInUse; a protected one is never deleted."""

    def delete(original: Any, self: AutoScalingResponse) -> Any:
        group = self.autoscaling_backend.autoscaling_groups.get(_name(self))
        if group and group.instance_states and not self._get_bool_param("ForceDelete", False):
            raise AutoscalingClientError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        return original(self)

    correcting.around(AutoScalingResponse, "delete_auto_scaling_group", delete)


def a_group_takes_its_own_along(correcting: Correcting) -> None:
    """AWS: deleting a group deletes its policies, scheduled actions and lifecycle hooks."""

    def delete(original: Any, self: AutoScalingBackend, group_name: str) -> None:
        original(self, group_name)
        for kept in (self.policies, self.scheduled_actions, self.lifecycle_hooks):
            for key in [key for key, one in kept.items() if one.auto_scaling_group_name == group_name]:
                del kept[key]

    correcting.around(AutoScalingBackend, "delete_auto_scaling_group", delete)


def a_delete_takes_its_time(correcting: Correcting) -> None:
    """AWS: a group deleted with its instances is shown with a Status for a while, and its name is taken meanwhile."""
    manner = correcting.manner

    def going(backend: AutoScalingBackend) -> dict[str, FakeAutoScalingGroup]:
        kept: dict[str, FakeAutoScalingGroup] = backend.__dict__.setdefault("going", {})
        for name in [name for name in kept if not manner.is_fresh(kept[name]._id, manner.deleting_for)]:
            del kept[name]
        return kept

    def delete(original: Any, self: AutoScalingBackend, group_name: str) -> None:
        group = self.autoscaling_groups.get(group_name)
        full = bool(group and group.instance_states)
        original(self, group_name)
        if group and full and manner.deleting_for:
            manner.is_fresh(group._id, manner.deleting_for)
            group.status = "Delete in progress"  # type: ignore[attr-defined]
            self.__dict__.setdefault("going", {})[group_name] = group

    def describe(original: Any, self: AutoScalingBackend, names: list[str], filters: Any = None) -> Any:
        found = list(original(self, names, filters))
        return found + [group for name, group in going(self).items() if not filters and (not names or name in names)]

    def create(original: Any, self: AutoScalingResponse) -> Any:
        if _name(self) in going(self.autoscaling_backend):
            raise AutoscalingClientError(
                "AlreadyExists",
                "AutoScalingGroup by this name already exists - A group with the name "
                f"{_name(self)} already exists and is pending delete",
            )
        return original(self)

    correcting.around(AutoScalingBackend, "delete_auto_scaling_group", delete)
    correcting.around(AutoScalingBackend, "describe_auto_scaling_groups", describe)
    correcting.around(AutoScalingResponse, "create_auto_scaling_group", create)


CORRECTIONS = (
    an_update_keeps_what_it_does_not_name,
    sizes_pull_the_capacity,
    nothing_given_is_dropped,
    sizes_are_checked,
    a_name_is_taken_once,
    a_group_with_instances_stays,
    a_group_takes_its_own_along,
    a_delete_takes_its_time,
    unknown_groups_are_named,
)

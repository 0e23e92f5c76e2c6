"""The hosts: two Auto Scaling groups, one for each slot."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws import mirroring, suspensions
from providers.aws.activities import failed_launch
from providers.aws.cloud import Cloud, Clouds, Writing
from providers.aws.groups import Group, is_leaving, owner_of, read_groups
from providers.aws.instances import hosts, is_alive, members, read_machines, release
from providers.aws.options import Options
from providers.aws.routes import raise_if_serving
from providers.aws.settings import read_schedules
from providers.aws.slots import Slots
from providers.aws.templates import delete_own_template
from providers.aws.units import units_of
from providers.base import SLOTS, Environment, Instance, Invalid, NotFound, ProviderError, Service, Size, Slot


class AwsCompute:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds = clouds
        self._slots = Slots(clouds.context.clock)
        self._lock = threading.Lock()
        self._deleted: dict[tuple[str, ...], None] = {}

    def describe(self, service: Service) -> Mapping[Slot, Environment]:
        cloud, options = self._clouds.of(service)
        return self._slots.environments(cloud, self._slots.look(cloud, options))

    def sizes(self, service: Service) -> Mapping[Slot, Size]:
        """By the groups alone: Auto Scaling takes a little longer than EC2 to notice a host that has gone."""
        groups = self._slots.look(*self._clouds.of(service)).groups
        return {slot: _size(groups[slot]) if slot in groups else Size() for slot in SLOTS}

    def image_of(self, service: Service, slot: Slot) -> str | None:
        """What the slot launches; None where there is none."""
        cloud, options = self._clouds.of(service)
        group = self._slots.look(cloud, options).groups.get(slot)
        return self._slots.image(cloud, group) if group else None

    def observe(self, services: Sequence[Service]) -> Mapping[str, Sequence[Instance]]:
        """Services that cannot be read are absent, so that they blind nobody else; when nothing at all could be read,
        the reason is raised."""
        found: dict[str, Sequence[Instance]] = {}
        failed: list[ProviderError] = []
        for cloud, named in self._clouds.grouped(services):
            try:
                found |= self._hosts(cloud, named, failed)
            except ProviderError as error:
                failed.append(error)
        if failed and not found:
            raise failed[0]
        return found

    def _hosts(
        self, cloud: Cloud, named: Mapping[str, Options], failed: list[ProviderError]
    ) -> dict[str, Sequence[Instance]]:
        groups = read_groups(cloud, (each.group(slot) for each in named.values() for slot in SLOTS), leaving=True)
        ids = [member["InstanceId"] for group in groups.values() for member in members(group)]
        machines, found = read_machines(cloud, ids), dict[str, Sequence[Instance]]()
        for name, options in named.items():
            present = {slot: groups[options.group(slot)] for slot in SLOTS if options.group(slot) in groups}
            if not present:
                continue
            seen = {slot: hosts(group, slot, machines) for slot, group in present.items()}
            try:
                wanted = [self._in_want(cloud, present[slot], slot, seen[slot]) for slot in present]
            except ProviderError as error:
                failed.append(error)
                continue
            found[name] = [host for part in (*seen.values(), *wanted) for host in part]
        return found

    def _in_want(self, cloud: Cloud, group: Group, slot: Slot, seen: Sequence[Instance]) -> list[Instance]:
        """Why hosts are missing, where some are, and none is on its way."""
        alive = sum(host.units for host in seen if host.state == "running")
        waits = any(host.state == "starting" for host in seen)
        if waits or is_leaving(group) or alive >= group["DesiredCapacity"]:
            return []
        failed = failed_launch(cloud, group, slot, self._clouds.context.clock.now())
        return [failed] if failed else []

    def stand_up(self, service: Service, slot: Slot, image: str, capacity: int, token: str) -> None:
        raise Invalid(
            f"service {service.name}: on AWS the first environment is made by your own tools; create the Auto Scaling "
            f"group {Options.of(service).group(slot)} there"
        )

    def mirror(self, service: Service, source: Slot, into: Slot, image: str, owner: str, token: str) -> None:
        """A user's slot gets a new version of its own launch template; an absent one is created."""
        with self._clouds.writing(service) as (writing, options):
            wanted = mirroring.Mirror(writing, options, self._slots, source, into, image, owner, token)
            try:
                mirroring.mirror(wanted)
            finally:
                self._slots.forget(writing.cloud, options.group(into))

    def set_floor(self, service: Service, slot: Slot, floor: int, token: str) -> None:
        """The largest size is raised to it where it is below; AWS itself raises the capacity."""
        if floor < 0:
            raise Invalid(f"service {service.name}: a floor cannot be {floor}; 0 or more can")
        with self._clouds.writing(service) as (writing, options):
            size = {"AutoScalingGroupName": options.group(slot), "MinSize": floor}
            if self._resized(writing, "update_auto_scaling_group", **size):
                return
            group = self._slots.look(writing.cloud, options).need(slot)
            writing.call("autoscaling", "update_auto_scaling_group", **size, MaxSize=max(group["MaxSize"], floor))

    def scale(self, service: Service, slot: Slot, capacity: int, token: str) -> None:
        """The largest size is raised with it where it is below: a way back may need what the other side grew to."""
        with self._clouds.writing(service) as (writing, options):
            size = {"AutoScalingGroupName": options.group(slot), "DesiredCapacity": capacity}
            if self._resized(writing, "set_desired_capacity", **size, HonorCooldown=False):
                return
            group = self._slots.look(writing.cloud, options).need(slot)
            if capacity < (floor := group["MinSize"]):
                raise Invalid(f"service {service.name}: {slot} has a floor of {floor}; {capacity} is below it")
            writing.call("autoscaling", "update_auto_scaling_group", **size, MaxSize=max(group["MaxSize"], capacity))

    def _resized(self, writing: Writing, operation: str, **size: Any) -> bool:
        """AWS itself refuses a size that the group may not have, and a group that is not there: only then is it worth
        a look at which of these it was."""
        try:
            writing.call("autoscaling", operation, **size)
        except (Invalid, NotFound):
            return False
        return True

    def park(self, service: Service, slot: Slot, token: str) -> None:
        """A group with scheduled actions has them suspended, so that none fills it again; mirror() resumes them."""
        with self._clouds.writing(service) as (writing, options):
            cloud, name = writing.cloud, options.group(slot)
            group = self._slots.look(cloud, options).need(slot)
            raise_if_serving(cloud, options, slot, "parked")
            suspensions.hold(writing, group, ["ScheduledActions"] if read_schedules(cloud, name) else [])
            release(writing, group)
            nothing = {"MinSize": 0, "DesiredCapacity": 0}
            writing.call("autoscaling", "update_auto_scaling_group", AutoScalingGroupName=name, **nothing)

    def delete_if_owned(self, service: Service, slot: Slot, owner: str, token: str) -> bool:
        """Group and launch template. A repeat after the group has gone deletes the template that is left."""
        with self._clouds.writing(service) as (writing, options):
            return self._delete(writing, options, slot, owner, token)

    def _delete(self, writing: Writing, options: Options, slot: Slot, owner: str, token: str) -> bool:
        cloud, name = writing.cloud, options.group(slot)
        group = read_groups(cloud, [name], leaving=True).get(name)
        if group is None:
            deleted = delete_own_template(cloud, writing, name, owner)
            return deleted or (name, owner, token) in self._deleted
        if owner_of(group) != owner:
            return False
        if not is_leaving(group):
            raise_if_serving(cloud, options, slot, "deleted")
            writing.call("autoscaling", "delete_auto_scaling_group", AutoScalingGroupName=name, ForceDelete=True)
            self._slots.deleted(cloud, name)
        delete_own_template(cloud, writing, name, owner)
        self._remember((name, owner, token))
        return True

    def _remember(self, write: tuple[str, ...]) -> None:
        with self._lock:
            self._deleted[write] = None
            if len(self._deleted) > 1000:
                del self._deleted[next(iter(self._deleted))]


def _size(group: Group) -> Size:
    alive = sum(units_of(member) for member in members(group) if is_alive(member))
    return Size(True, group["DesiredCapacity"], group["MinSize"], alive, owner_of(group))

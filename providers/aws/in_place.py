"""Patches installed on the hosts of a permanent standby, and proven by what was observed on each of them.

The pinned id is `<ami>+<baseline>@<UTC day>`: the image that the hosts launch from, and what was installed on top.
A host carries it as the tag PATCHED once it was proven, and until then runs its plain image. While a side runs like
this its group launches nobody by itself: a new host would be an unpatched one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from providers.aws import ssm
from providers.aws.cloud import Cloud, Writing
from providers.aws.groups import PATCHED, own_tags, read_groups, tag
from providers.aws.images import check, patch_of, read_image
from providers.aws.instances import base_image, members, read_machines
from providers.aws.options import Options
from providers.aws.side import Side, architecture_of, read_side, serving_side
from providers.aws.suspensions import hold
from providers.base import Applied, Compute, Invalid, Patch, PatchState, Service, Slot, Transient, other

LAUNCHING = ("AZRebalance", "Launch", "ReplaceUnhealthy")
COMPOSITE = re.compile(r"(?P<image>ami-[0-9a-f]{8,17})\+(?P<baseline>pb-[0-9a-f]{17})@(?P<day>\d{4}-\d{2}-\d{2})")
SHOWN = 5


def is_composite(image: str) -> bool:
    return COMPOSITE.fullmatch(image) is not None


def is_reference(reference: str) -> bool:
    return reference == "in-place" or reference.startswith("in-place:") or is_composite(reference)


def resolve(cloud: Cloud, options: Options, reference: str) -> Patch:
    """What the serving side launches from, its baseline, and the day. Raises Invalid where it cannot be done."""
    side = serving_side(cloud, options)
    standby = read_side(cloud, options, other(side.slot)) if options.standby == "permanent" else None
    _raise_if_moving(cloud, options, standby)
    pinned = COMPOSITE.fullmatch(reference)
    if pinned:
        image, baseline, day = pinned["image"], pinned["baseline"], pinned["day"]
    else:
        image = side.image
        # Systems Manager chooses by patch group: the standby's own, for it is the one that is patched.
        group = standby.patch_group if standby else side.patch_group
        baseline = ssm.effective_baseline(cloud, [str(host["InstanceId"]) for host in side.hosts], group)
        _raise_if_another(reference.partition(":")[2], baseline)
        day = datetime.fromtimestamp(cloud.clock.now(), UTC).date().isoformat()
    found = read_image(cloud, image, image)
    check(cloud, found, architecture_of(cloud, side), side)
    return patch_of(cloud, reference, found, {"baseline": baseline, "day": day}, pinned=f"{image}+{baseline}@{day}")


def _raise_if_another(asked: str, baseline: str) -> None:
    if asked and ssm.short_baseline(asked) != baseline:
        raise Invalid(
            f"in-place:{asked}: Systems Manager applies {baseline} to these hosts, by their patch group or as the "
            f"default of their system. Register {asked} for their patch group, or leave it out"
        )


def _raise_if_moving(cloud: Cloud, options: Options, standby: Side | None) -> None:
    """What scales by itself launches hosts that nobody patched."""
    advice = "patch it by an image: `rollout bake SERVICE`, then --image bake:active"
    if standby is None:
        raise Invalid(f"in-place: needs `standby: permanent`, for hosts made later would be unpatched; {advice}")
    name = options.group(standby.slot)
    found = cloud.pages("autoscaling", "describe_policies", "ScalingPolicies", AutoScalingGroupName=name)
    due = cloud.pages(
        "autoscaling", "describe_scheduled_actions", "ScheduledUpdateGroupActions", AutoScalingGroupName=name
    )
    names = [str(each["PolicyName"]) for each in found] + [str(each["ScheduledActionName"]) for each in due]
    if names:
        raise Invalid(f"in-place: {name} scales by itself ({', '.join(sorted(names)[:SHOWN])}); {advice}")


class InPlace:
    """Patching one standby. Every call goes on from what is there."""

    def __init__(self, writing: Writing, options: Options, compute: Compute, service: Service, slot: Slot) -> None:
        self._writing, self._cloud = writing, writing.cloud
        self._options, self._compute = options, compute
        self._service, self._slot = service, slot

    def apply(self, composite: str, token: str) -> Applied:
        """Transient with its progress until each host is proven; Invalid where one cannot be patched."""
        side = read_side(self._cloud, self._options, self._slot)
        _raise_if_moving(self._cloud, self._options, side)
        if side.image != base_image(composite):
            raise Invalid(
                f"{self._slot} launches {side.image}, not {base_image(composite)}; it is not the mirror any more"
            )
        others = [str(host["InstanceId"]) for host in side.hosts if host["ImageId"] != side.image]
        if others:
            raise Invalid(
                f"{self._slot}: {', '.join(others[:SHOWN])} run another image than {side.image}; park it first"
            )
        ids = self._launched(side, token)
        hold(self._writing, side.group, LAUNCHING)
        self._raise_if_offline(ids)
        snapshot, comment = ssm.snapshot_of(f"{composite} {token}"), f"rollout in-place {ssm.snapshot_of(token)}"
        runs = ssm.runs(self._cloud, comment, min(ssm.timestamp(host["LaunchTime"]) for host in side.hosts))
        unsent = [host for host in ids if host not in runs]
        if unsent:
            ssm.send(self._writing, unsent, comment, snapshot)
            raise Transient(f"the patches are being installed on {len(unsent)} hosts of {self._slot}")
        states = self._proven(ids, runs, snapshot, composite)
        self._tag(ids, composite)
        pending = sum(state.pending_reboot for state in states)
        commands = sorted({runs[host].command for host in ids})
        return Applied(
            reboot_needed=pending > 0,
            evidence={"hosts": ", ".join(ids), "commands": ", ".join(commands), "snapshot": snapshot},
        )

    def _launched(self, side: Side, token: str) -> list[str]:
        """The hosts, once there are as many as serve beside them."""
        wanted = max(
            int(side.group["DesiredCapacity"]), self._compute.describe(self._service)[other(self._slot)].capacity
        )
        if int(side.group["DesiredCapacity"]) < wanted:
            hold(self._writing, side.group, ())
            self._compute.scale(self._service, self._slot, wanted, token)
            raise Transient(f"{wanted} hosts of {self._slot} are being launched")
        living = members(side.group)
        ready = [one for one in living if one["LifecycleState"] == "InService"]
        if len(ready) < wanted or len(living) != len(ready):
            hold(self._writing, side.group, ())
            raise Transient(f"{len(ready)} of {wanted} hosts of {self._slot} are in service")
        return sorted(str(one["InstanceId"]) for one in ready)

    def _raise_if_offline(self, ids: Sequence[str]) -> None:
        silent = ssm.offline(self._cloud, ids)
        if silent:
            raise Transient(
                f"Systems Manager does not reach {len(silent)} of {len(ids)} hosts: {', '.join(silent[:SHOWN])} "
                "(agent, AmazonSSMManagedInstanceCore in their profile, way to its endpoints)"
            )

    def _proven(
        self, ids: Sequence[str], runs: Mapping[str, ssm.Run], snapshot: str, composite: str
    ) -> list[PatchState]:
        raw = ssm.raw_states(self._cloud, ids)
        wrong = [
            trouble for host in ids if (trouble := self._trouble(host, raw.get(host), runs[host], snapshot, composite))
        ]
        if wrong:
            raise Invalid(
                f"{len(wrong)} of {len(ids)} hosts of {self._slot} are not patched: {'; '.join(wrong[:SHOWN])}"
            )
        open_ = [host for host in ids if not ssm.is_proven(raw.get(host), runs[host], snapshot)]
        if open_:
            raise Transient(
                f"{len(ids) - len(open_)} of {len(ids)} hosts of {self._slot} are proven; waiting for "
                f"{', '.join(f'{host} ({runs[host].status})' for host in open_[:SHOWN])}"
            )
        return [state for host in ids if (state := ssm.patch_state(raw[host]))]

    def _trouble(self, host: str, raw: Mapping[str, Any] | None, run: ssm.Run, snapshot: str, composite: str) -> str:
        """Why it never will be what it has to be; empty while it may."""
        if run.failed:
            return f"{host}: {run.said or run.status}"
        state = ssm.patch_state(raw) if ssm.is_proven(raw, run, snapshot) else None
        if state is None:
            return ""
        matched = COMPOSITE.fullmatch(composite)
        wanted = matched["baseline"] if matched else ""
        if state.baseline != wanted:
            return f"{host}: baseline {state.baseline} was applied, not {wanted}"
        if state.missing or state.failed:
            return f"{host}: {state.missing} patches missing, {state.failed} failed ({run.said})"
        return ""

    def _tag(self, ids: Sequence[str], composite: str) -> None:
        """On each proven host, and last on the group, if its hosts are still those."""
        found, writing = read_machines(self._cloud, ids), self._writing
        due = [host for host in ids if tag(found.get(host, {}), PATCHED) != composite]
        if due:
            writing.call("ec2", "create_tags", Resources=due, Tags=[{"Key": PATCHED, "Value": composite}])
        name = self._options.group(self._slot)
        group = read_groups(self._cloud, [name])[name]
        if sorted(str(member["InstanceId"]) for member in members(group)) != list(ids):
            raise Transient(f"the hosts of {self._slot} changed meanwhile")
        if tag(group, PATCHED) != composite:
            writing.call("autoscaling", "create_or_update_tags", Tags=own_tags(name, {PATCHED: composite}))

"""Patches are machine images; on a permanent standby they may also be installed in place."""

from __future__ import annotations

from providers.aws import bake, in_place, ssm
from providers.aws.cloud import Clouds, Writing
from providers.aws.compute import AwsCompute
from providers.aws.groups import OURS, tag
from providers.aws.images import resolve_image
from providers.aws.options import Options
from providers.aws.routes import raise_if_serving
from providers.aws.side import read_side, serving_side
from providers.base import Applied, Invalid, Patch, Service, Slot

REBOOTED = f"{OURS}rebooted"


class AwsPatcher:
    def __init__(self, clouds: Clouds, compute: AwsCompute) -> None:
        self._clouds, self._compute = clouds, compute
        self._rebooted: dict[str, str] = {}  # host → token, until its tag says so: that may be refused for a while

    def resolve(self, service: Service, reference: str) -> Patch:
        """Reads only. Raises NotFound naming what is known, Invalid, and Denied where an image cannot be judged."""
        cloud, options = self._clouds.of(service)
        if in_place.is_reference(reference):
            return in_place.resolve(cloud, options, reference)
        if reference.startswith("bake:"):
            return bake.find(cloud, options, service.name, reference)
        return resolve_image(cloud, serving_side(cloud, options), reference)

    def apply(self, service: Service, slot: Slot, patch: Patch, token: str) -> Applied:
        """An image: see that the mirror has it. In place: have the hosts patched; Transient until all are proven."""
        if in_place.is_composite(patch.image):
            with self._clouds.writing(service) as (writing, options):
                raise_if_serving(writing.cloud, options, slot, "patched")
                return in_place.InPlace(writing, options, self._compute, service, slot).apply(patch.image, token)
        cloud, options = self._clouds.of(service)  # nothing is written
        raise_if_serving(cloud, options, slot, "patched")
        found = self._compute.image_of(service, slot)
        if found != patch.image:
            raise Invalid(f"{slot} launches {found or 'nothing'}, not {patch.image}; it is not the mirror any more")
        return Applied(reboot_needed=False, evidence={"image": patch.image, "group": options.group(slot)})

    def reboot(self, service: Service, slot: Slot, token: str) -> None:
        """Each host once for a token; then its agent looks again, for what it found before is of the old kernel."""
        with self._clouds.writing(service) as (writing, options):
            self._reboot(writing, options, slot, token)

    def _reboot(self, writing: Writing, options: Options, slot: Slot, token: str) -> None:
        cloud = writing.cloud
        raise_if_serving(cloud, options, slot, "rebooted")
        hosts = read_side(cloud, options, slot).hosts
        live = [host for host in hosts if host.get("State", {}).get("Name") == "running"]
        due = [str(host["InstanceId"]) for host in live if tag(host, REBOOTED) != token]
        fresh = [host for host in due if self._rebooted.get(host) != token]
        if fresh:
            writing.call("ec2", "reboot_instances", InstanceIds=fresh)
            self._rebooted |= dict.fromkeys(fresh, token)
        if due:
            writing.call("ec2", "create_tags", Resources=due, Tags=[{"Key": REBOOTED, "Value": token}])
            for host in due:
                self._rebooted.pop(host, None)
        known = sorted(ssm.agents(cloud, [str(host["InstanceId"]) for host in live]))
        if known:
            snapshot, since = ssm.snapshot_of(token), min(ssm.timestamp(host["LaunchTime"]) for host in live)
            comment = f"rollout after reboot {snapshot}"
            looked = ssm.runs(cloud, comment, since)
            ssm.send(writing, [host for host in known if host not in looked], comment, snapshot, "Scan")

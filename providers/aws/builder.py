"""The one host that an image is baked on: launched like the serving side's, never serving, and gone afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers.aws.cloud import Cloud
from providers.aws.groups import OURS, OWNER
from providers.aws.side import PATCH_GROUP_TAGS, Side
from providers.base import Invalid

KEY = f"{OURS}bake"
LIVING = ("pending", "running", "stopping", "stopped")
ENDED = ("shutting-down", "terminated")
ATTEMPTS = 20
Host = Mapping[str, Any]


def find_builders(cloud: Cloud, key: str, states: Sequence[str] = LIVING) -> list[Host]:
    """By our tag, the oldest first."""
    filters = [{"Name": f"tag:{KEY}", "Values": [key]}, {"Name": "instance-state-name", "Values": list(states)}]
    found = cloud.pages("ec2", "describe_instances", "Reservations", Filters=filters)
    hosts = [host for reservation in found for host in reservation["Instances"]]
    return sorted(hosts, key=lambda host: (str(host["LaunchTime"]), str(host["InstanceId"])))


def launch(cloud: Cloud, side: Side, image: str, key: str, service: str) -> str:
    """The builder's id. The same attempt's client token makes the same host, however often it is asked for."""
    wanted, writing = request(side, image, key, service), cloud.writing()
    ended = len(find_builders(cloud, key, ENDED))
    for attempt in range(ended, ended + ATTEMPTS):
        answer = writing.call("ec2", "run_instances", ClientToken=f"rollout-bake-{key}-{attempt}", **wanted)
        host = answer["Instances"][0]
        if host["State"]["Name"] not in ENDED:  # an earlier attempt's, which EC2 remembers longer than it shows it
            return str(host["InstanceId"])
    raise Invalid(f"{ATTEMPTS} builders of {key} came to nothing; bake under another label: --fresh LABEL")


def request(side: Side, image: str, key: str, service: str) -> dict[str, Any]:
    """What `run_instances` is asked for: no user data, so that nothing of the service starts by it; no target group."""
    template = side.template
    kinds = sorted({str(host["InstanceType"]) for host in side.hosts if host.get("InstanceType")})
    kind = template.get("InstanceType") or (kinds[0] if kinds else None)
    if not kind:
        raise Invalid(
            f"{side.slot}: its launch template names no instance type and no host runs, so none can be chosen"
        )
    network = dict((template.get("NetworkInterfaces") or [{}])[0])
    interface: dict[str, Any] = {"DeviceIndex": 0, "SubnetId": _subnet(side, network)}
    groups = network.get("Groups") or template.get("SecurityGroupIds")
    interface |= {"Groups": groups} if groups else {}
    if "AssociatePublicIpAddress" in network:
        interface["AssociatePublicIpAddress"] = network["AssociatePublicIpAddress"]
    wanted = {
        "ImageId": image,
        "InstanceType": kind,
        "MinCount": 1,
        "MaxCount": 1,
        "NetworkInterfaces": [interface],
        "MetadataOptions": {"HttpTokens": "required"},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "TagSpecifications": [{"ResourceType": "instance", "Tags": _tags(side, key, service)}],
    }
    profile = template.get("IamInstanceProfile")
    return {**wanted, "IamInstanceProfile": profile} if profile else wanted


def end(cloud: Cloud, hosts: Sequence[Host]) -> None:
    """Terminate builders; only what carries our tag is ever handed in."""
    ids = [str(host["InstanceId"]) for host in hosts]
    if ids:
        cloud.writing().call("ec2", "terminate_instances", InstanceIds=ids)


def owned(service: str) -> dict[str, str]:
    return {"Key": OWNER, "Value": f"rollout-manager/{service}"}


def _subnet(side: Side, network: Mapping[str, Any]) -> str:
    subnets = [name for name in str(side.group.get("VPCZoneIdentifier") or "").split(",") if name]
    subnets += [str(network["SubnetId"])] if network.get("SubnetId") else []
    if not subnets:
        raise Invalid(f"{side.group['AutoScalingGroupName']} names no subnet, so a builder has no place")
    return subnets[0]


def _tags(side: Side, key: str, service: str) -> list[dict[str, str]]:
    tags = {"Name": f"rollout bake {service}", KEY: key}
    if side.patch_group:  # Systems Manager chooses the baseline by it
        tags[PATCH_GROUP_TAGS[0]] = side.patch_group
    return [*({"Key": name, "Value": value} for name, value in tags.items()), owned(service)]

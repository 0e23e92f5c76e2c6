"""What hosts really run, as Systems Manager's agents collected it: packages, and the last patch operation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from packageurl import PackageURL

from providers.aws import ssm
from providers.aws.cloud import Cloud, Clouds
from providers.aws.compute import AwsCompute
from providers.base import HostInventory, Instance, Invalid, NotFound, Service, Slot

TYPE = "AWS:Application"
ENTRIES_A_CALL = 50
NONE = ("", "(none)", "none")
DISTRIBUTIONS: Mapping[str, tuple[str, str]] = {
    "AMAZON_LINUX_2023": ("rpm", "amzn"),
    "AMAZON_LINUX_2022": ("rpm", "amzn"),
    "AMAZON_LINUX_2": ("rpm", "amzn"),
    "AMAZON_LINUX": ("rpm", "amzn"),
    "REDHAT_ENTERPRISE_LINUX": ("rpm", "redhat"),
    "CENTOS": ("rpm", "centos"),
    "ROCKY_LINUX": ("rpm", "rocky"),
    "ALMA_LINUX": ("rpm", "almalinux"),
    "ORACLE_LINUX": ("rpm", "oracle"),
    "SUSE": ("rpm", "suse"),
    "UBUNTU": ("deb", "ubuntu"),
    "DEBIAN": ("deb", "debian"),
}
"""Package format and vendor, by what patch baselines call a system."""


class AwsInventory:
    def __init__(self, clouds: Clouds) -> None:
        self._clouds, self._compute = clouds, AwsCompute(clouds)

    def read(self, service: Service, slot: Slot) -> Sequence[HostInventory]:
        """One for each instance; what cannot be told of one host says why there, and hides no other."""
        cloud, _ = self._clouds.of(service)
        found = self._compute.observe([service]).get(service.name)
        if found is None:
            raise NotFound(f"service {service.name} has no hosts in {cloud.place.region}")
        hosts = [instance for instance in found if instance.slot == slot]
        ids = [host.id for host in hosts]
        agents, states = ssm.agents(cloud, ids), ssm.raw_states(cloud, ids)
        return [_host(cloud, host, agents.get(host.id), states.get(host.id)) for host in hosts]


def _host(
    cloud: Cloud, host: Instance, agent: Mapping[str, Any] | None, raw: Mapping[str, Any] | None
) -> HostInventory:
    state = ssm.patch_state(raw)
    if agent is None:
        problem = "Systems Manager does not know it: no agent, no way to its endpoints, or no permission in its profile"
        return HostInventory(host.id, None, host.image, problem, state)
    try:
        entries, captured_at = _entries(cloud, host.id)
        if not entries:
            problem = "it has no software inventory; associate AWS-GatherSoftwareInventory with it"
        elif captured_at is None or (host.started_at is not None and captured_at < host.started_at):
            problem = "its software inventory is older than the host itself"
        elif state and raw and raw.get("Operation") == "Install" and captured_at < state.at:
            problem = "its software inventory is older than the last installation of patches"
        else:
            return HostInventory(host.id, packages(entries, agent), host.image, patches=state)
    except (Invalid, ValueError) as error:
        problem = str(error)
    return HostInventory(host.id, None, host.image, problem, state)


def _entries(cloud: Cloud, host: str) -> tuple[list[Mapping[str, str]], float | None]:
    """All entries, and when they were collected."""
    found, token = list[Mapping[str, str]](), ""
    while True:
        more = {"NextToken": token} if token else {}
        answer = cloud.read(
            "ssm", "list_inventory_entries", InstanceId=host, TypeName=TYPE, MaxResults=ENTRIES_A_CALL, **more
        )
        found += answer.get("Entries", ())
        token = answer.get("NextToken", "")
        if not token:
            at = answer.get("CaptureTime")
            return found, ssm.timestamp(at) if at else None


def packages(entries: Sequence[Mapping[str, str]], agent: Mapping[str, Any]) -> tuple[str, ...]:
    """As package URLs, sorted. Raises Invalid, ValueError for what is not known for sure: then no package is."""
    system = ssm.operating_system(agent)
    kind, vendor = DISTRIBUTIONS[system]
    if kind == "deb":  # matched by binary names, a hole would look closed
        raise ValueError(
            f"the advisories of {vendor} go by source packages, and the agent's inventory does not tell these; "
            "use the check `patches` for this host instead of `vulnerabilities`"
        )
    distro = f"{vendor}-{agent.get('PlatformVersion', '')}".rstrip("-")
    found = set[str]()
    for entry in entries:
        name, version = entry.get("Name", "").partition(":")[0], _version(kind, entry)
        qualifiers = {"distro": distro}
        if entry.get("Architecture", "") not in NONE:
            qualifiers["arch"] = entry["Architecture"]
        found.add(PackageURL(kind, vendor, name, version, qualifiers).to_string())
    return tuple(sorted(found))


def _version(kind: str, entry: Mapping[str, str]) -> str:
    """`[epoch:]version[-release]`. Raises ValueError where an rpm's release is not told: two releases look alike."""
    name, version = entry.get("Name", ""), entry.get("Version", "")
    release, epoch = entry.get("Release", ""), entry.get("Epoch", "")
    if not name or not version:
        raise ValueError(f"its software inventory has a package without name or version: {dict(entry)!r:.120}")
    if release in NONE and kind == "rpm":
        release = _release_of_source(version, entry.get("PackageId", ""))
        if not release and name != "gpg-pubkey":
            raise ValueError(f"its software inventory tells no release of {name} {version}; update the agent")
    full = f"{version}-{release}" if release not in NONE and not version.endswith(f"-{release}") else version
    return f"{epoch}:{full}" if epoch not in (*NONE, "0") and ":" not in full else full


def _release_of_source(version: str, source: str) -> str:
    """`openssl-3.0.8-1.amzn2023.src.rpm` tells the release of what was built from it, where versions agree."""
    _, found, rest = source.removesuffix(".src.rpm").rpartition(f"-{version}-")
    return rest if found and source.endswith(".src.rpm") else ""

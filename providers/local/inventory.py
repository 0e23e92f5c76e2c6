"""What instances really run: the packages in the environment of each live process, and where it listens."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path

from packageurl import PackageURL

from providers.base import HostInventory, Instance, Service, Slot
from providers.local.compute import observed
from providers.local.home import Home, Homes
from providers.local.listening import listening

CLOCK_ERROR_S = 2.0  # start times of processes are counted from a boot time in whole seconds


class LocalInventory:
    def __init__(self, homes: Homes) -> None:
        self._homes = homes

    def read(self, service: Service, slot: Slot) -> Sequence[HostInventory]:
        home = self._homes.of(service)
        return [_host(home, instance) for instance in observed(home) if instance.slot == slot]


def _host(home: Home, instance: Instance) -> HostInventory:
    open_to = _listening(home, instance)

    def unknown(problem: str) -> HostInventory:
        return HostInventory(instance.id, None, instance.image, problem, listening=open_to)

    if instance.state == "failed" or instance.started_at is None:
        return unknown(f"is not running: {instance.reason}")
    if instance.image is None:
        return unknown("its process runs from no image that is known here")
    folder = home.builds.site_packages(instance.image)
    if folder is None:
        return unknown(f"the environment of {instance.image} is gone")
    if folder.stat().st_mtime > instance.started_at + CLOCK_ERROR_S:
        return unknown(f"{folder} was changed after the process began: what it loaded is not known")
    try:
        return HostInventory(instance.id, _packages(folder), instance.image, listening=open_to)
    except (OSError, ValueError) as error:
        return unknown(str(error))


def _listening(home: Home, instance: Instance) -> tuple[str, ...] | None:
    record = home.records.read(instance.id)
    return None if record is None else listening(home.processes.all_of(record), record.port)


def _packages(folder: Path) -> tuple[str, ...]:
    found = []
    for distribution in distributions(path=[str(folder)]):
        metadata = distribution.metadata
        if "Name" not in metadata or "Version" not in metadata:
            raise ValueError(f"{folder}: a package there has no readable name and version")
        name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
        found.append(PackageURL("pypi", None, name, metadata["Version"]).to_string())
    return tuple(sorted(found))

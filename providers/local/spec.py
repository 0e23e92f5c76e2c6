"""What a slot was told to be: slots/<slot>.json. No secret is in it, only where secrets come from."""

from __future__ import annotations

import os
import pwd
import resource
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from providers.base import Environment, Slot
from providers.local.images import app_version
from providers.local.options import Options, Value, reference


@dataclass(frozen=True)
class Spec:
    """image, command, python and app come from the image; the rest is how its instances are started."""

    image: str
    capacity: int
    floor: int
    owner: str | None
    command: tuple[str, ...]
    python: str
    app: str
    ports: str
    health: str
    environment: Mapping[str, Value]
    stop_timeout_s: float
    user: str
    umask: int
    nofile: tuple[int, int]
    switched: bool = False

    @classmethod
    def first(cls, options: Options, image: str, manifest: Mapping[str, Any]) -> Spec:
        """What the options ask for, with the limits of this process."""
        return cls(
            image=image,
            capacity=0,
            floor=0,
            owner=None,
            **from_manifest(manifest),
            ports=options.ports,
            health=options.health,
            environment=dict(options.environment),
            stop_timeout_s=options.stop_timeout_s,
            user=pwd.getpwuid(os.getuid()).pw_name,
            umask=current_umask(),
            nofile=resource.getrlimit(resource.RLIMIT_NOFILE),
            switched=options.switch is not None,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Spec:
        return cls(**{**data, "command": tuple(data["command"]), "nofile": tuple(data["nofile"])})

    @property
    def listens(self) -> bool:
        """Do its instances serve on a port? A queue worker is told none, and runs as soon as it lives."""
        return not self.switched or any("{port}" in part for part in self.command)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def environment_of(self, slot: Slot, live: list[psutil.Process]) -> Environment:
        """The slot as the contract describes it; where a live process differs, the fingerprint says so."""
        fingerprint = self._declared()
        for process in live:
            fingerprint.update(self._deviations(process, fingerprint))
        return Environment(slot, self.image, self.capacity, self.floor, self.owner, fingerprint, self.app)

    def _declared(self) -> dict[str, str]:
        variables = {f"environment.{name}": reference(value) for name, value in self.environment.items()}
        return {
            "command": shlex.join(self.command),
            "python": self.python,
            "health": self.health,
            "ports": self.ports,
            "stop_timeout_s": f"{self.stop_timeout_s:g}",
            "user": self.user,
            "umask": f"{self.umask:04o}",
            "limit.nofile": _limits(self.nofile),
            "cwd": "a folder of the instance's own",
            **variables,
        }

    def _deviations(self, process: psutil.Process, declared: Mapping[str, str]) -> dict[str, str]:
        try:
            live = {"user": process.username(), "limit.nofile": _limits(process.rlimit(psutil.RLIMIT_NOFILE))}
            live["umask"] = _umask(process.pid) or declared["umask"]
            variables = process.environ()
        except (psutil.Error, OSError):
            return {}  # it ended meanwhile; that is reported as a failed instance
        for name, value in self.environment.items():
            if name not in variables:
                live[f"environment.{name}"] = "absent"
            elif isinstance(value, str):
                live[f"environment.{name}"] = reference(variables[name])
        return {key: f"{declared[key]}, but live {value}" for key, value in live.items() if value != declared[key]}


def from_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Spec that an image decides."""
    return {
        "command": tuple(manifest["command"]),
        "python": manifest["python"],
        "app": app_version(manifest),
    }


def current_umask() -> int:
    """The umask of this process, read without changing it where the system allows."""
    shown = _umask(os.getpid())
    if shown is not None:
        return int(shown, 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _umask(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((line.split()[1] for line in status.splitlines() if line.startswith("Umask:")), None)


def _limits(pair: tuple[int, int]) -> str:
    return ":".join("unlimited" if value == resource.RLIM_INFINITY else str(value) for value in pair)

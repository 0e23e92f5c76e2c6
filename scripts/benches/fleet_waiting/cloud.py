"""A provider from outside: the simulated cloud, in which each service comes to be in the middle of its rollout.

`rollout serve` and `rollout worker` build it in each of their processes, from what the bench left beside the fleet
file: the state of one service of each kind. Counters begin at one moment for all, so that each process counts the same.
Where the bench asks for it (a folder's name in TOUCHED), each look at a service is noted there, with its time.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from providers.base import Context, Provider, Service
from providers.memory.adapter import provider_for
from providers.memory.cloud import SimCloud
from providers.memory.model import Image, SimService

NAME = "fleet_waiting.cloud:build"
STATES, TOUCHED, SLOW = "states.pickle", "ROLLOUT_BENCH_TOUCHED", "ROLLOUT_BENCH_SLOW_S"


@dataclass(frozen=True)
class Options:
    """`kind` is what it is in the middle of."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    kind: str = "warm"


@dataclass(frozen=True)
class States:
    """Each kind of service, pickled, and the images of the cloud."""

    images: dict[str, Image]
    services: dict[str, bytes]

    @classmethod
    def of(cls, cloud: SimCloud, kinds: dict[str, str]) -> States:
        """`kinds`: kind → the service that is of it."""
        cloud.catch_up()
        return cls(cloud.images, {kind: pickle.dumps(cloud.services[name]) for kind, name in kinds.items()})

    def write(self, folder: Path) -> None:
        (folder / STATES).write_bytes(pickle.dumps(self))


def cloud_of(context: Context, states: States) -> SimCloud:
    """One in which a service stands as those of its kind did."""

    def provision(service: Service) -> None:
        found: SimService = pickle.loads(states.services[Options(**service.options).kind])  # noqa: S301 - our own
        found.name = service.name
        cloud.services[service.name] = found

    cloud = SimCloud(context.clock, provision=provision)
    cloud.images = dict(states.images)
    return cloud


def build(context: Context) -> Provider:
    states: States = pickle.loads((context.fleet_dir / STATES).read_bytes())  # noqa: S301 - our own
    cloud = cloud_of(context, states)
    if folder := os.environ.get(TOUCHED):
        note_looks(cloud, Path(folder) / str(os.getpid()), float(os.environ.get(SLOW, "0")))
    return provider_for(cloud)


def note_looks(cloud: SimCloud, path: Path, slow_s: float) -> None:
    """Each look at one service as a line: when, and of which."""
    out, read_all = path.open("a", buffering=1), cloud.read_all

    def noted(call: str, services: Sequence[Service], answer: Callable[[SimService], Any], *detail: Any) -> Any:
        if call == "traffic.observe" and len(services) == 1:
            out.write(f"{time.time():.4f} {services[0].name}\n")
            time.sleep(slow_s)
        return read_all(call, services, answer, *detail)

    cloud.read_all = noted  # type: ignore[method-assign]

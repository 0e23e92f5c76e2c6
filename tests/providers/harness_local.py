"""The local provider in the contract suite: real processes behind the real balancer."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from providers.base import SLOTS, Instance, Service, Slot, TestRoute, Weights
from providers.local import rollback
from providers.local.balancer.client import BalancerClient
from providers.local.builds import Builds
from providers.local.images import ImageFolder
from tests.local.instance_kit import Fleet, open_fleet, wait_until
from tests.ports import free_port
from tests.providers.harness import Harness

PACKAGE = "Metadata-Version: 2.1\nName: demo\nVersion: {}\n"


class LocalHarness(Harness):
    reference, has_cas = "base-2", True
    rollback = rollback

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.provider = fleet, fleet.provider
        builds = Builds(fleet.root, fleet.context.clock)
        for number in ("1", "2"):
            folder = self.image(f"base-{number}")
            # No package is needed to run; this makes the images differ as a patch would.
            (folder / "requirements.lock").write_text(f"# {number}\n")
            source = ImageFolder(fleet.images, port=self.has_test_route).load(folder.name)
            builds.build(source)
            packages = builds.site_packages(source.digest)
            assert packages is not None
            info = packages / f"demo-{number}.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(PACKAGE.format(number))
        self.base_image, self.patched_image = fleet.digest("base-1"), fleet.digest("base-2")

    def image(self, name: str) -> Path:
        return self.fleet.image(name)

    def service(self, name: str = "shop", capacity: int = 2) -> Service:
        ports = {"listen": f"127.0.0.1:{free_port()}", "test_listen": f"127.0.0.1:{free_port()}"}
        service = self.fleet.service(name, **ports)
        self.provider.compute.stand_up(service, "blue", self.base_image, capacity, f"{name}-up")

        def serves() -> bool:
            return self.provider.traffic.observe([service])[name].targets["blue"].healthy == capacity

        wait_until(lambda: self.fleet.all_running(service, capacity), "blue never ran")
        wait_until(serves, "blue never became healthy")
        return service

    def unknown_service(self) -> Service:
        return self.fleet.service("nobody")

    def settle(self, fact: Callable[[], bool], why: str) -> None:
        wait_until(fact, why)

    def kill(self, service: Service, instance: Instance) -> None:
        psutil.Process(self.fleet.record(service, instance)["pid"]).kill()

    def edit_route(self, service: Service, weights: Weights) -> None:
        client = BalancerClient(self.fleet.root / "services" / service.name / "balancer")
        client.set_weights({slot: weights[slot] for slot in SLOTS}, expected_revision=None, token="by-hand")

    def existing(self, service: Service) -> set[Slot]:
        folder = self.fleet.root / "services" / service.name / "slots"
        return {slot for slot in SLOTS if (folder / f"{slot}.json").exists()}

    def reached(self, route: TestRoute) -> Slot | None:
        request = urllib.request.Request(route.url, headers=dict(route.headers))
        with urllib.request.urlopen(request, timeout=10) as answer:
            name = answer.read().decode()
        return next((slot for slot in SLOTS if f"-{slot}-" in name), None)


@contextmanager
def open_harness(tmp_path: Path) -> Iterator[Harness]:
    with open_fleet(tmp_path) as fleet:
        yield LocalHarness(fleet)

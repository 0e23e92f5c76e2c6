"""The local provider behind HAProxy in the contract suite: real processes behind the real program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from providers.base import SLOTS, Service, Weights
from providers.local.haproxy.weights import KEY, MAP, percent
from tests.local.haproxy_kit import NEEDS_HAPROXY, tell
from tests.local.instance_kit import open_fleet
from tests.providers.harness import Harness
from tests.providers.harness_local import LocalHarness

MARKS = (NEEDS_HAPROXY,)


class HaproxyHarness(LocalHarness):
    def edit_route(self, service: Service, weights: Weights) -> None:
        """Past us entirely, as a person would: on HAProxy's own socket."""
        balancer = self.fleet.root / "services" / service.name / "balancer"
        assert tell(balancer, f"set map {MAP} {KEY} {percent({slot: weights[slot] for slot in SLOTS})}") == ""


@contextmanager
def open_harness(tmp_path: Path) -> Iterator[Harness]:
    with open_fleet(tmp_path, balancer="haproxy") as fleet:
        yield HaproxyHarness(fleet)

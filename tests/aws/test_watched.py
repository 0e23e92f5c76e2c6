"""How many calls a server's observer makes for rollouts that wait, whatever they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from providers.aws.cloud import Cloud, Place
from providers.aws.compute import AwsCompute
from providers.aws.traffic import AwsTraffic
from providers.base import Denied, Provider, Service, weights_for
from providers.memory.clock import VirtualClock
from rollout.engine.watch import Observer
from rollout.observer import OBSERVED_S, Fact
from rollout.rows import Wait
from rollout.store import Store
from tests.aws.canned import CannedClouds, services
from tests.core.scene import HOLDER, a_plan

EVEN = weights_for("green", 50)


class Fleet:
    """So many rollouts, each waiting for the same, in a store on disk; AWS answers as `canned` says."""

    def __init__(self, folder: Path, count: int) -> None:
        self.clock = VirtualClock()
        self.clouds = CannedClouds(folder, self.clock)
        self.store = Store(folder / "rollout.db")
        aws: Any = replace(
            Provider("aws", None, None, None, None, 15.0),  # type: ignore[arg-type]
            compute=AwsCompute(self.clouds),
            traffic=AwsTraffic(self.clouds),
        )
        self.observer = Observer(self.store, lambda name: aws, self.clock.now)
        self.services = services(count)

    def wait_for(self, step: str, state: dict[str, Any]) -> None:
        """All of them, from now on."""
        for service in self.services:
            self.open(service, step, state)

    def open(self, service: Service, step: str, state: dict[str, Any]) -> None:
        """One that is found in the middle of its story."""
        now, name = self.clock.now(), service.name
        plan = replace(a_plan(service=service), provider="aws")
        self.store.open_rollout(name, name, plan.to_json(), plan.hash, at=now, actor="me", reason="")
        epoch = self.store.take_lease(name, HOLDER, now)
        wait = Wait(step, now, now + 600, now, state)
        self.store.append(name, epoch, "waiting", step, state, now, wait=wait)
        self.store.release_lease(name, epoch, now if "gate" in state else now + OBSERVED_S)

    def look(self) -> dict[str, int]:
        """Calls of one tick, by operation."""
        self.clock.sleep(1.0)
        self.clouds.made.clear()
        self.observer.look()
        return dict(self.clouds.made)

    @property
    def answered(self) -> set[str]:
        """Who would have an answer now, if his job asked."""
        asked = Fact("running", "green", 1, "ami-1")
        return {each.name for each in self.services if self.observer.answer(each.name, asked, 0.0)}

    @property
    def woken(self) -> int:
        """Rollouts that are due now."""
        return len(self.store.due(self.clock.now()))


@pytest.fixture(params=(1, 20, 21, 120))
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Rollouts in flight."""
    made = Fleet(tmp_path, int(request.param))
    yield made
    made.store.close()


def fact(kind: str, **more: Any) -> dict[str, Any]:
    """A wait's state."""
    told = Fact(kind, "green", 1, "ami-1", **more)
    return {"fact": told.to_json(), "for": str(told), "seen": "observed {'blue': 50, 'green': 50}"}


def test_who_waits_for_the_route_costs_pages_of_routes(fleet: Fleet) -> None:
    """Otherwise a fleet that moves its traffic asks for the health of each target group, a call each."""
    fleet.wait_for("observed:1:10", fact("routed", weights=weights_for("green", 10)))
    pages = ceil(len(fleet.services) / 20)
    assert fleet.look() == {"elbv2.describe_listeners": pages}, "the mark is no part of what is waited for"
    assert fleet.woken == 0, "it is not there yet"


def test_who_waits_for_hosts_costs_pages_of_hosts(fleet: Fleet) -> None:
    """Otherwise mirrors that start are asked about one by one."""
    fleet.wait_for("running", fact("running"))
    count = len(fleet.services)
    assert fleet.look() == {
        "autoscaling.describe_auto_scaling_groups": ceil(2 * count / 100),
        "ec2.describe_instances": ceil(2 * count / 200),
    }
    assert fleet.woken == count


def test_who_waits_for_health_costs_the_one_call_that_aws_has_for_it(fleet: Fleet) -> None:
    """Otherwise each target group that is waited for costs four calls more."""
    fleet.wait_for("healthy", fact("healthy"))
    assert fleet.look() == {"elbv2.describe_target_health": len(fleet.services)}
    assert fleet.woken == len(fleet.services)


def test_looks_of_gates_share_everything_but_health(fleet: Fleet) -> None:
    """Otherwise an hour's bake of a fleet is seven calls for each look of each service. Health is a call for each side
    whoever asks: each look asks for its own."""
    fleet.wait_for("bake", {"gate": "bake", "judged": {}})
    count = len(fleet.services)
    assert fleet.look() == {
        "elbv2.describe_listeners": ceil(count / 20),
        "elbv2.describe_tags": ceil(count / 20),
        "cloudwatch.get_metric_data": ceil(12 * count / 500),
    }
    assert all(fleet.observer.reading(service.name, fleet.clock.now() - 1) for service in fleet.services)


def test_a_tick_in_which_nobody_waits_makes_no_call(fleet: Fleet) -> None:
    """Otherwise a server that has nothing to do is throttled beside others in the account."""
    assert fleet.look() == {}


def test_a_place_that_does_not_answer_blinds_no_other(tmp_path: Path) -> None:
    """The credentials of one account expire, and the mirrors of all others are up and sleep."""
    fleet = Fleet(tmp_path, 3)
    lost = replace(fleet.services[1], options={**fleet.services[1].options, "region": "eu-west-1"})
    fleet.services[1] = lost
    at = fleet.clouds.at

    def place(where: Place) -> Cloud:
        cloud = at(where)
        if where.region == "eu-west-1":
            cloud.read = expired  # type: ignore[method-assign]
        return cloud

    fleet.clouds.at = place  # type: ignore[assignment, method-assign]
    fleet.wait_for("running", fact("running"))
    fleet.look()
    assert fleet.woken == 3 and fleet.answered == {"s0", "s2"}
    fleet.store.close()


def test_options_of_another_release_blind_no_other(tmp_path: Path) -> None:
    """One service has an option that this release does not take, and a hundred others sleep."""
    fleet = Fleet(tmp_path, 5)
    fleet.services[2] = replace(fleet.services[2], options={**fleet.services[2].options, "colour": "red"})
    fleet.wait_for("running", fact("running"))
    fleet.look()
    assert fleet.answered == {"s0", "s1", "s3", "s4"}
    fleet.store.close()


def expired(*asked: Any, **more: Any) -> Any:
    """As AWS says it."""
    raise Denied("the security token included in the request is expired")

"""For each check, how to make it pass, fail and not know. A new check adds its case here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from healthchecks import balancer, failed_responses, fidelity, http, vulnerabilities
from providers.base import Counters, TargetHealth, TestRoute
from tests.healthchecks.advisory_data import patched_world, write_advisories
from tests.healthchecks.fakes import OLD, World, environments, instance, reading
from tests.healthchecks.servers import Server, Servers


@dataclass(frozen=True)
class Stage:
    """What a scenario may use: real servers, and a folder of its own."""

    servers: Servers
    folder: Path


Scenario = Callable[[Stage], tuple[Any, World]]


@dataclass(frozen=True)
class Case:
    """`hanging` is the scenario in which the other side never answers: for each check that uses the network."""

    passing: Scenario
    failing: Scenario
    unclear: Scenario
    hanging: Scenario | None = None


def _http(start: Callable[[Servers], Server]) -> Scenario:
    def scenario(stage: Stage) -> tuple[Any, World]:
        well, other = stage.servers.answering(200), start(stage.servers)
        instances = [instance(1, address=well.address), instance(2, address=other.address)]
        return http.Options(), World(instances=instances, routes={"green": TestRoute(well.url)})

    return scenario


def _http_forbidden(stage: Stage) -> tuple[Any, World]:
    return http.Options(each_instance=False), World(routes={"green": TestRoute("http://169.254.169.254")})


def _balancer(targets: TargetHealth) -> Scenario:
    return lambda stage: (balancer.Options(), World(reading=reading(targets={"green": targets})))


def _responses(good: int, errors: int) -> Scenario:
    beside = Counters(100, {"2xx": 100})
    here = Counters(good + errors, {"2xx": good, "5xx": errors})
    now = reading({"blue": beside, "green": here})
    return lambda stage: (failed_responses.Options(), World(since=reading(), reading=now))


def _fidelity(image: str | None, **found: Any) -> Scenario:
    return lambda stage: (fidelity.Options(), World(instances=[instance(1), instance(2, image=image)], **found))


def _vulnerabilities(after: str, whole: bool = True) -> Scenario:
    def scenario(stage: Stage) -> tuple[Any, World]:
        world = patched_world("1.0", after)
        if not whole:
            world.inventories["green"] = world.inventories["green"][:1]
        return vulnerabilities.Options(str(write_advisories(stage.folder))), world

    return scenario


CASES: dict[str, Case] = {
    "http": Case(
        passing=_http(lambda servers: servers.answering(204, b"")),
        failing=_http(lambda servers: servers.answering(500)),
        unclear=_http_forbidden,
        hanging=_http(lambda servers: servers.silent()),
    ),
    "balancer": Case(
        passing=_balancer(TargetHealth(healthy=2)),
        failing=_balancer(TargetHealth(1, 1, 0, ("time-out",))),
        unclear=_balancer(TargetHealth(healthy=1, unknown=1)),
    ),
    "failed_responses": Case(
        passing=_responses(100, 0),
        failing=_responses(90, 10),
        unclear=_responses(19, 0),
    ),
    "fidelity": Case(
        passing=_fidelity("image-2"),
        failing=_fidelity(OLD, environments=environments()),
        unclear=_fidelity(None),
    ),
    "vulnerabilities": Case(
        passing=_vulnerabilities("2.0"),
        failing=_vulnerabilities("3.0"),
        unclear=_vulnerabilities("2.0", whole=False),
    ),
}

"""For each check, how to make it pass, fail and not know. A new check adds its case here.

One that has several sources has a case for each: `metrics of prometheus` is a case of `metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from healthchecks import (
    alarms,
    balancer,
    failed_responses,
    fidelity,
    hosts,
    http,
    metrics,
    patches,
    room,
    vulnerabilities,
)
from providers.base import Alarm, Concern, Counters, HostInventory, HostStatus, PatchState, TargetHealth, TestRoute
from tests.healthchecks.advisory_data import patched_world, write_advisories
from tests.healthchecks.contract.more_cases import MORE
from tests.healthchecks.contract.stage import Case, Scenario, Stage
from tests.healthchecks.fakes import NOW, OLD, World, environments, instance, reading
from tests.healthchecks.servers import Server, Servers


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


def _room(*concerns: Concern) -> Scenario:
    return lambda stage: (room.Options(), World(concerns=concerns))


def _hosts(*statuses: HostStatus) -> Scenario:
    return lambda stage: (hosts.Options(), World(statuses={"green": statuses}))


def _alarms(state: Any) -> Scenario:
    known = {"shop-green-5xx": Alarm("shop-green-5xx", state, "threshold crossed", 1.0)}
    return lambda stage: (alarms.Options(("shop-{slot}-5xx",)), World(alarms=known))


def _metrics(value: float | None, **options: Any) -> Scenario:
    found = {"latency": {"blue": 0.2, "green": value}}
    return lambda stage: (metrics.Options("latency", "shop", "p99", max=0.5, **options), World(figures=found))


def _patches(*states: PatchState | None) -> Scenario:
    hosts = [HostInventory(f"green-{n}", (), patches=state) for n, state in enumerate(states, 1)]
    return lambda stage: (patches.Options(), World(inventories={"green": list(hosts), "blue": list(hosts)}))


CASES: dict[str, Case] = {
    **MORE,
    "alarms": Case(passing=_alarms("ok"), failing=_alarms("alarm"), unclear=_alarms("unknown")),
    "hosts": Case(
        passing=_hosts(HostStatus("i-1", "ok"), HostStatus("i-2", "ok", "system-reboot planned")),
        failing=_hosts(HostStatus("i-1", "ok"), HostStatus("i-2", "impaired", "unreachable", "panic\n" * 900)),
        unclear=_hosts(HostStatus("i-1", "unknown", "initializing")),
    ),
    "metrics": Case(passing=_metrics(0.3), failing=_metrics(0.9), unclear=_metrics(None)),
    "room": Case(
        passing=_room(Concern("notice", "recurs 0 3 * * *")),
        failing=_room(Concern("unknown", "denied"), Concern("blocks", "no addresses")),
        unclear=_room(Concern("notice", "x" * 9000), Concern("unknown", "denied")),
        nothing_is_sound=True,
    ),
    "http": Case(
        passing=_http(lambda servers: servers.answering(204, b"")),
        failing=_http(lambda servers: servers.answering(500)),
        unclear=_http_forbidden,
        hanging=_http(lambda servers: servers.silent()),
        wire=lambda talk: _http(lambda servers: talk(servers, True)),
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
    "patches": Case(
        passing=_patches(PatchState(NOW), PatchState(NOW)),
        failing=_patches(PatchState(NOW), PatchState(NOW, missing=1, missing_security=1)),
        unclear=_patches(PatchState(NOW), None),
    ),
    "vulnerabilities": Case(
        passing=_vulnerabilities("2.0"),
        failing=_vulnerabilities("3.0"),
        unclear=_vulnerabilities("2.0", whole=False),
    ),
}

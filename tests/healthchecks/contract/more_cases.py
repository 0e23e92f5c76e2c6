"""The cases of the checks that ask for themselves: ports, certificates, programs, requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from healthchecks import command, listening, metrics, synthetic, tcp, tls
from providers.base import HostInventory, TestRoute
from tests.healthchecks.certificates import Authority
from tests.healthchecks.contract.stage import Case, Scenario, Stage
from tests.healthchecks.fakes import World, instance
from tests.healthchecks.prometheus_server import vector
from tests.healthchecks.servers import Server, Servers, said


def _tcp(start: Callable[[Servers], str]) -> Scenario:
    def scenario(stage: Stage) -> tuple[Any, World]:
        well, other = stage.servers.greeting(b"+OK ready\r\n"), start(stage.servers)
        instances = [instance(1, address=well.address), instance(2, address=other)]
        return tcp.Options(expect="+OK "), World(instances=instances)

    return scenario


def _tls(start: Callable[[Stage, Authority], str]) -> Scenario:
    def scenario(stage: Stage) -> tuple[Any, World]:
        trusted = Authority.new(stage.folder)
        well, other = stage.servers.secured(trusted.context(stage.folder)), start(stage, trusted)
        instances = [instance(1, address=well.address), instance(2, address=other)]
        return tls.Options("shop.internal", ca_file=str(trusted.file)), World(instances=instances)

    return scenario


def _stranger(stage: Stage, trusted: Authority) -> str:
    return stage.servers.secured(Authority.new(stage.folder, "stranger").context(stage.folder)).address


def _command(*run: str) -> Scenario:
    return lambda stage: (command.Options(run, str(stage.folder)), World())


def _listening(opened: Sequence[str] | None) -> Scenario:
    def hosts(slot: str, places: Sequence[str] | None) -> list[HostInventory]:
        listens = None if places is None else tuple(places)
        return [HostInventory(f"{slot}-{n}", (), listening=listens) for n in (1, 2)]

    own = ("tcp/127.0.0.1:service",)
    return lambda stage: (
        listening.Options(),
        World(inventories={"blue": hosts("blue", own), "green": hosts("green", opened)}),
    )


def _synthetic(start: Callable[[Servers], Server | str]) -> Scenario:
    def scenario(stage: Stage) -> tuple[Any, World]:
        found = start(stage.servers)
        url = found if isinstance(found, str) else found.url
        requests = synthetic.Request("/cart"), synthetic.Request("/orders", "POST", body="{}")
        options = synthetic.Options(requests, times=2, unsafe_methods=True, warm_up=1)
        return options, World(routes={"green": TestRoute(url, {"x-slot": "green"}), "blue": TestRoute(url)})

    return scenario


def _prometheus(start: Callable[[Servers], Server | str]) -> Scenario:
    """Asked about the running instances, so that trouble with the provider is in its way too."""

    def scenario(stage: Stage) -> tuple[Any, World]:
        found = start(stage.servers)
        url = found if isinstance(found, str) else found.url
        query = 'errors{slot="{slot}",instance=~"{instances}"}'
        return metrics.Options("errors", prometheus=url, query=query, allow_private=True, max=1.0), World()

    return scenario


def _half(head: str) -> bytes:
    return said("ok") if head.startswith("GET") else said("no", 500)


MORE: dict[str, Case] = {
    "tcp": Case(
        passing=_tcp(lambda servers: servers.greeting(b"+OK also\r\n").address),
        failing=_tcp(lambda servers: servers.nobody()),
        unclear=lambda stage: (tcp.Options(), World(instances=[instance(1, address="169.254.169.254:80")])),
        hanging=_tcp(lambda servers: servers.silent().address),
        wire=lambda talk: _tcp(lambda servers: talk(servers, False).address),
    ),
    "tls": Case(
        passing=_tls(lambda stage, trusted: stage.servers.secured(trusted.context(stage.folder)).address),
        failing=_tls(_stranger),
        unclear=_tls(lambda stage, trusted: stage.servers.nobody()),
        hanging=_tls(lambda stage, trusted: stage.servers.silent().address),
        wire=lambda talk: _tls(lambda stage, trusted: talk(stage.servers, False).address),
    ),
    "command": Case(
        passing=_command("true"),
        failing=_command("false"),
        unclear=_command("sh", "-c", "exit 3"),
        hanging=_command("sleep", "60"),
    ),
    "metrics of prometheus": Case(
        passing=_prometheus(lambda servers: servers.deciding(lambda _: vector("0.5"))),
        failing=_prometheus(lambda servers: servers.deciding(lambda _: vector("1.5"))),
        unclear=_prometheus(lambda servers: servers.deciding(lambda _: vector())),
        hanging=_prometheus(lambda servers: servers.silent()),
        wire=lambda talk: _prometheus(lambda servers: talk(servers, True)),
    ),
    "listening": Case(
        passing=_listening(("tcp/127.0.0.1:service",)),
        failing=_listening(("tcp/127.0.0.1:service", "tcp/0.0.0.0:4444")),
        unclear=_listening(None),
    ),
    "synthetic": Case(
        passing=_synthetic(lambda servers: servers.deciding(lambda head: said("ok"))),
        failing=_synthetic(lambda servers: servers.deciding(_half)),
        unclear=_synthetic(lambda servers: "http://169.254.169.254"),
        hanging=_synthetic(lambda servers: servers.silent()),
        wire=lambda talk: _synthetic(lambda servers: talk(servers, True)),
    ),
}

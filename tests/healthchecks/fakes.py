"""A provider whose every answer a test sets, and which records it when something writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from healthchecks.base import Readings, Role, Subject
from providers.base import (
    EVERYTHING,
    Compute,
    Counters,
    Environment,
    HostInventory,
    Insight,
    Instance,
    InstanceState,
    Inventory,
    Metric,
    Parts,
    Patch,
    Patcher,
    Provider,
    Reading,
    Route,
    Service,
    Slot,
    TargetHealth,
    TestRoute,
    Traffic,
    other,
)

NOW = 1_800_000_000.0
OLD, NEW = "image-1", "image-2"
PATCH = Patch("base-2", {"local": NEW})


def instance(
    number: int,
    slot: Slot = "green",
    image: str | None = NEW,
    state: InstanceState = "running",
    address: str = "127.0.0.1:1",
) -> Instance:
    return Instance(f"{slot}-{number}", slot, state, image, address)


def reading(
    counters: Mapping[Slot, Counters] | None = None,
    targets: Mapping[Slot, TargetHealth] | None = None,
    counters_id: str = "first",
    at: float = NOW,
) -> Reading:
    nothing: dict[Slot, Counters] = {"blue": Counters(), "green": Counters()}
    two: dict[Slot, TargetHealth] = {"blue": TargetHealth(healthy=2), "green": TargetHealth(healthy=2)}
    route = Route({"blue": 90, "green": 10}, "1")
    return Reading(route, targets or two, counters or nothing, counters_id, at)


def environments() -> dict[Slot, Environment]:
    fingerprint = {"size": "small", "port": "8080"}
    return {
        "blue": Environment("blue", OLD, 2, 2, None, fingerprint, "7"),
        "green": Environment("green", NEW, 2, 2, "r1", fingerprint, "7"),
    }


@dataclass
class World:
    """What a provider would say: blue is the original, green the replacement, two instances each.

    `trouble` is raised by every read; `rubbish` (a function) replaces what every read returns.
    """

    environments: Any = field(default_factory=environments)
    instances: Any = field(
        default_factory=lambda: [instance(n, "blue", OLD) for n in (1, 2)] + [instance(n) for n in (1, 2)]
    )
    reading: Any = field(default_factory=reading)
    since: Reading | None = None
    inventories: dict[str, Sequence[HostInventory]] = field(default_factory=dict)
    routes: dict[str, TestRoute] = field(default_factory=dict)
    concerns: Any = ()
    statuses: dict[str, Any] = field(default_factory=dict)
    alarms: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)  # by the metric's name
    has_insight: bool = True
    asked: list[Any] = field(default_factory=list, compare=False)
    trouble: Exception | None = None
    rubbish: Callable[[], Any] | None = None
    writes: list[str] = field(default_factory=list)

    def say(self, answer: Any) -> Any:
        if self.trouble:
            raise self.trouble
        return self.rubbish() if self.rubbish else answer

    def subject(self, role: Role = "replacement", timeout_s: float = 5.0, **changes: Any) -> Subject:
        slot: Slot = "green" if role == "replacement" else "blue"
        readings = Readings(provider(self), Service("shop"), self.since)
        subject = Subject(role, slot, other(slot), readings, PATCH, 2, NOW, timeout_s)
        return replace(subject, **changes)


def provider(world: World) -> Provider:
    return Provider(
        "fake",
        cast(Compute, _Compute(world)),
        cast(Traffic, _Traffic(world)),
        cast(Patcher, _Part(world)),
        cast(Inventory, _Inventory(world)),
        write_timeout_s=1.0,
        insight=cast(Insight, _Insight(world)) if world.has_insight else None,
    )


class _Part:
    """Whatever is not a read below is a write, or nothing that a check has to do with: it is recorded."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: self._world.writes.append(name)


class _Compute(_Part):
    def describe(self, service: Service) -> Any:
        return self._world.say(self._world.environments)

    def observe(self, services: Sequence[Service]) -> Any:
        return {service.name: self._world.say(self._world.instances) for service in services}


class _Traffic(_Part):
    def observe(self, services: Sequence[Service], parts: Parts = EVERYTHING) -> Any:
        return {service.name: self._world.say(self._world.reading) for service in services}

    def test_route(self, service: Service, slot: Slot) -> Any:
        return self._world.say(self._world.routes.get(slot, TestRoute("http://127.0.0.1:1")))


class _Inventory(_Part):
    def read(self, service: Service, slot: Slot) -> Any:
        return self._world.say(self._world.inventories.get(slot, ()))


class _Insight(_Part):
    """`World.asked` has every call with its arguments."""

    def foresee(self, service: Service, *how: Any) -> Any:
        self._world.asked.append(("foresee", *how))
        return self._world.say(self._world.concerns)

    def examine(self, service: Service, slot: Slot) -> Any:
        self._world.asked.append(("examine", slot))
        return self._world.say(self._world.statuses.get(slot, ()))

    def alarms(self, service: Service, names: Sequence[str]) -> Any:
        self._world.asked.append(("alarms", tuple(names)))
        return self._world.say({name: self._world.alarms[name] for name in names if name in self._world.alarms})

    def measure(self, service: Service, metric: Metric, start: float, end: float) -> Any:
        self._world.asked.append(("measure", metric, start, end))
        return self._world.say(self._world.figures.get(metric.name, {"blue": None, "green": None}))

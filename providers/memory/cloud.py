"""A simulated cloud: deterministic, on anybody's clock, with a switch for each way in which clouds fail.

    cloud = SimCloud(VirtualClock(), seed=1)
    cloud.add_image("base-1")
    cloud.add_service("shop", image="base-1", capacity=3)

Here are the front door that each call goes through, and what happens without being asked: people's edits, deaths.
What the calls do is in `compute`, `traffic` and `patches`; how the cloud behaves in `machines` and `balancer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from random import Random
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from providers.base import (
    SLOTS,
    Clock,
    HoldMark,
    Invalid,
    NotFound,
    ProviderError,
    Service,
    Slot,
    Transient,
    Weights,
)

from . import balancer, machines, views
from .limits import Limits, Throttle
from .model import Calls, Image, ImageBehaviour, Mutation, Settings, SimService, SimSlot
from .switches import Switches
from .timeline import Timeline, Watcher

R = TypeVar("R")
UNCHANGED: Any = object()

_keys = count(1)
_live: WeakValueDictionary[str, SimCloud] = WeakValueDictionary()


def find(key: str) -> SimCloud:
    """The live cloud with this key, for the emergency path."""
    if (cloud := _live.get(key)) is None:
        raise NotFound(f"simulated cloud {key!r} is not in this process, and it lives nowhere else")
    return cloud


class SimCloud:
    """Give a `key` where rollback cards have to be the same from run to run; the newest cloud has the key.

    `cas` False models a platform without compare-and-set. `provision` makes a service on its first use. `limits`:
    how often it may be called; without, as often as anybody likes.
    """

    def __init__(
        self,
        clock: Clock,
        seed: int = 0,
        *,
        settings: Settings | None = None,
        cas: bool = True,
        write_timeout_s: float = 5.0,
        key: str | None = None,
        provision: Callable[[Service], None] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.clock, self.random, self.cas, self.write_timeout_s = clock, Random(seed), cas, write_timeout_s  # noqa: S311
        self.settings = settings or Settings()
        self.switches = Switches()
        self.timeline = Timeline(clock)
        self.calls = Calls()
        self.throttle = Throttle(limits, clock) if limits else None
        self.mutations: list[Mutation] = []
        self.services: dict[str, SimService] = {}
        self.images: dict[str, Image] = {}
        self.aliases: dict[str, str] = {}
        self.key = key or f"memory-{next(_keys)}"
        self._provision = provision
        self._numbers = count(1)
        self._tokens: dict[tuple[str, str], tuple[tuple[Any, ...], Any]] = {}
        self._answers: dict[tuple[str, str, Any], tuple[float, Any]] = {}
        _live[self.key] = self

    # ---- setting the scene ------------------------------------------------------------------------------------

    @property
    def watchers(self) -> list[Watcher]:
        """Called after each applied mutation and each event, with its instant."""
        return self.timeline.watchers

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        self.timeline.catch_up()

    def add_image(
        self,
        id: str,
        packages: Sequence[str] | None = (),
        behaviour: ImageBehaviour | None = None,
        app_version: str | None = None,
        reboot_needed: bool | None = False,
        alias: str | None = None,
        listening: Sequence[str] | None = ("tcp/0.0.0.0:service",),
    ) -> Image:
        """Register an image; `alias` (such as `base-latest`) then resolves to it."""
        known = None if packages is None else tuple(packages)
        open_to = None if listening is None else tuple(listening)
        image = Image(id, known, behaviour or ImageBehaviour(), app_version, reboot_needed, open_to)
        self.images[id] = image
        if alias:
            self.aliases[alias] = id
        return image

    def add_service(
        self,
        name: str,
        *,
        image: str,
        capacity: int = 3,
        slot: Slot = "blue",
        permanent: bool = False,
        fingerprint: Mapping[str, str] | None = None,
        settings: Settings | None = None,
    ) -> Service:
        """The user's service: one slot standing and serving; with `permanent`, the other one is theirs too."""
        self.catch_up()
        if name in self.services:
            raise Invalid(f"{name}: exists already")
        svc = views.new_service(name, slot, settings or self.settings, self.timeline.now)
        configuration = dict(fingerprint or {"flavour": "sim.small", "network": "sim-net", "firewall": f"fw-{name}"})
        template = self.image(image)
        for side in svc.slots.values() if permanent else (svc.slots[slot],):
            side.image, side.fingerprint, side.app_version = template, configuration, template.app_version
        active = svc.slots[slot]
        active.attached, active.capacity = True, capacity
        for _ in range(capacity):
            machines.serve_at_once(self, svc, active)
        self.services[name] = svc
        return Service(name)

    # ---- the front door ---------------------------------------------------------------------------------------

    def service(self, service: Service | str) -> SimService:
        wanted = Service(service) if isinstance(service, str) else service
        if wanted.name not in self.services and self._provision is not None:
            self._provision(wanted)
        if (found := self.services.get(wanted.name)) is None:
            raise NotFound(f"{wanted.name}: no such service; known are {', '.join(self.services) or 'none'}")
        return found

    def image(self, reference: str) -> Image:
        if (found := self.images.get(self.aliases.get(reference, reference))) is None:
            known = ", ".join(sorted({*self.images, *self.aliases}))
            raise NotFound(f"image {reference!r} is unknown; known are {known or 'none'}")
        return found

    def read(self, call: str, service: Service, answer: Callable[[SimService], R], *detail: Any) -> R:
        self._admit_read(call, 1, detail)
        return self._answer(call, self.service(service), answer, detail)

    def read_all(
        self, call: str, services: Sequence[Service], answer: Callable[[SimService], R], *detail: Any
    ) -> dict[str, R]:
        """One call for many services; those that do not exist are left out, so that they blind nobody else."""
        self._admit_read(call, len(services), detail)
        found: dict[str, R] = {}
        for service in services:
            try:
                svc = self.service(service)
            except NotFound:
                continue
            found[service.name] = self._answer(call, svc, answer, detail)
        return found

    def write(
        self,
        call: str,
        service: Service,
        slot: Slot | None,
        token: str,
        args: tuple[Any, ...],
        act: Callable[[SimService], tuple[R, str]],
        pretend: Callable[[SimService], R],
    ) -> R:
        """`act` gives a result and what changed ("" for nothing); `pretend` gives what a silent failure says."""
        switches = self.switches
        self.calls.writes[call] += 1
        if self.throttle:
            self.throttle.spend(call, 1, args, is_write=True)
        self.catch_up()
        switches.refuse(call, "writes")
        overdue = self._delay(call, "writes")
        apply = partial(self._apply, call, service, slot, token, args, act)
        if delay := switches.strikes(switches.late, call, "writes"):
            self.timeline.after(min(delay, self.write_timeout_s), partial(self._land, apply))
            raise Transient(f"{call}: no answer from the simulated cloud; it may still be applied")
        if switches.strikes(switches.silent, call, "writes"):
            pretended = pretend(self.service(service))
            self._tokens.setdefault((call, token), ((service.name, slot, *args), pretended))
            return pretended
        result = apply()
        if overdue or switches.strikes(switches.lost_reply, call, "writes"):
            raise Transient(f"{call}: the answer was lost; it may have been applied")
        return result

    def _admit_read(self, call: str, services: int, detail: tuple[Any, ...]) -> None:
        self.calls.reads[call] += 1
        if self.throttle:
            self.throttle.spend(call, services, detail, is_write=False)
        self.catch_up()
        self.switches.refuse(call, "reads")
        if self._delay(call, "reads"):
            raise Transient(f"{call}: no answer within {self.write_timeout_s:g} s")

    def _delay(self, call: str, kind: Any) -> bool:
        """Let a slow call take its time; True when the caller has given up on it."""
        seconds = self.switches.strikes(self.switches.slow, call, kind)
        if seconds is None:
            return False
        self.clock.sleep(min(seconds, self.write_timeout_s))
        self.catch_up()
        return seconds > self.write_timeout_s

    def _answer(self, call: str, svc: SimService, answer: Callable[[SimService], R], detail: Any) -> R:
        now, seen = self.timeline.now, (call, svc.name, detail)
        if (stale := self.switches.strikes(self.switches.stale, call, "reads")) and seen in self._answers:
            at, old = self._answers[seen]
            if now - at < stale:
                earlier: R = old
                return earlier
        fresh = answer(svc)
        self._answers[seen] = (now, fresh)
        return fresh

    def _apply(
        self,
        call: str,
        service: Service,
        slot: Slot | None,
        token: str,
        args: tuple[Any, ...],
        act: Callable[[SimService], tuple[R, str]],
    ) -> R:
        if not token:
            raise Invalid(f"{call}: a write needs a token")
        asked = (service.name, slot, *args)
        if (call, token) in self._tokens:
            before, answered = self._tokens[call, token]
            if before != asked:
                raise Invalid(f"{call}: IdempotentParameterMismatch: token {token} was used with {before}")
            same: R = answered
            return same
        svc = self.service(service)
        balancer.accrue(svc, self.timeline.now)
        result, effect = act(svc)
        self._tokens[call, token] = (asked, result)
        if effect:
            self._record(Mutation(self.timeline.now, call, svc.name, slot, token, args, effect))
        return result

    @staticmethod
    def _land(apply: Callable[[], Any]) -> None:
        try:
            apply()
        except ProviderError:
            return  # whoever asked has gone; a real platform would only log it

    def _record(self, mutation: Mutation) -> None:
        self.mutations.append(mutation)
        self.timeline.tell()

    def next_number(self) -> int:
        return next(self._numbers)

    # ---- what happens without being asked ---------------------------------------------------------------------

    def edit_by_hand(
        self,
        service: Service | str,
        *,
        weights: Weights | None = None,
        capacity: Mapping[Slot, int] | None = None,
        mark: HoldMark | None = UNCHANGED,
        app_version: Mapping[Slot, str] | None = None,
        fingerprint: Mapping[Slot, Mapping[str, str]] | None = None,
    ) -> None:
        """A person or another tool changes something; only the platform's own rules bind them, floors do not."""
        self.catch_up()
        svc, done = self.service(service), list[str]()
        balancer.accrue(svc, self.timeline.now)
        if weights is not None:
            done.append(balancer.declare(self, svc, balancer.check_weights(svc, weights)))
        for slot, wanted in (capacity or {}).items():
            done.append(f"{slot} capacity {svc.slots[slot].capacity} → {wanted}")
            machines.resize(self, svc, svc.slots[slot], wanted)
        for slot, version in (app_version or {}).items():
            svc.slots[slot].app_version = version
            done.append(f"{slot} application {version}")
        for slot, values in (fingerprint or {}).items():
            svc.slots[slot].fingerprint = {**svc.slots[slot].fingerprint, **values}
            done.append(f"{slot} configuration")
        if mark is not UNCHANGED:
            done.append(balancer.set_mark(svc, mark))
        self._record(Mutation(self.timeline.now, "by_hand", svc.name, None, "", (), "; ".join(done)))

    def kill(
        self, service: Service | str, slot: Slot, how_many: int = 1, *, instance: str = "", after_s: float = 0.0
    ) -> None:
        """Lose running instances of a slot, now or later: the named one, or as many as said by lot."""
        self.catch_up()
        svc = self.service(service)

        def lose() -> None:
            running = [i for i in svc.slots[slot].instances if i.state == "running"]
            named = [i for i in running if i.id == instance]
            lost = named if instance else self.random.sample(running, min(how_many, len(running)))
            for victim in lost:
                machines.kill(self, svc, svc.slots[slot], victim, "terminated: its host was lost")

        self.timeline.after(after_s, lose)
        self.catch_up()

    def restart_balancer(self, service: Service | str) -> None:
        """Counters begin anew, and connections that lingered are gone."""
        self.catch_up()
        views.reset_counters(self.service(service), self.timeline.now)

    def reach(self, url: str, headers: Mapping[str, str]) -> str | None:
        """The instance that answers a request on a test route; None when none can."""
        self.catch_up()
        name, _, slot = url.removeprefix("memory://").strip("/").partition("/")
        return views.answering(self.service(name), slot) if headers.get(views.TEST_HEADER) == slot else None

    # ---- for invariants ---------------------------------------------------------------------------------------

    def serving_capacity(self, service: Service | str) -> dict[Slot, int]:
        """For each slot that clients are sent to at this instant: how many of its instances answer them."""
        self.catch_up()
        return views.serving_capacity(self.service(service))

    def healthy(self, service: Service | str) -> dict[Slot, int]:
        """How many targets of each slot can truly answer and are sent traffic when there is any; no lies."""
        self.catch_up()
        svc = self.service(service)
        return {slot: views.answering_count(svc, slot) for slot in SLOTS}

    def client_outage(self, service: Service | str) -> bool:
        """Is some share of the clients sent to a slot where nothing answers?"""
        return not all(self.serving_capacity(service).values())

    def snapshot(self, service: Service | str) -> dict[str, Any]:
        """The configuration as plain data, without anything that changes by itself."""
        self.catch_up()
        return views.snapshot(self.service(service))

    def slot(self, svc: SimService, slot: Slot) -> SimSlot:
        """A slot that holds something."""
        if svc.slots[slot].image is None:
            raise NotFound(f"{svc.name}: {slot} does not exist")
        return svc.slots[slot]

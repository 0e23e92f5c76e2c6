"""What the core's tests stand on: one service in a simulated cloud, a store on disk, a clock that is told to move."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from healthchecks.base import Subject, Verdict
from providers.base import HoldMark, Patch, Route, Service, Slot, weights_for
from providers.memory.adapter import provider_for
from providers.memory.clock import VirtualClock
from providers.memory.cloud import SimCloud
from providers.memory.model import ImageBehaviour, Settings
from rollout.card import CardFolder
from rollout.engine.job import Advanced, advance
from rollout.gate import GateRule
from rollout.journal import Entry, Journal
from rollout.lease import Holder
from rollout.means import Act, Means
from rollout.plan import DEADLINES, GATES, CheckSpec, Gate, Plan
from rollout.rows import Row
from rollout.run import Run
from rollout.store import NEVER, Store

SHOP = Service("shop")
ROLLOUT = "shop-1"
HOLDER = Holder("elsewhere", "boot", 1, "1")
RIVAL = Holder("elsewhere", "boot", 2, "2")
FAST = Settings(launch_s=2, health_lag_s=1, balancer_lag_s=0.5, drain_s=2, requests_per_s=100, connections=10)
RULE = GateRule(passes=2, failures=2, interval_s=2.0, deadline_s=60.0, unknown_limit_s=20.0, soak_s=2.0)

FLEET = """\
version: 1
services:
  shop:
    provider: memory
    coexist: safe
    options: {capacity: 2, launch_s: 0.2}
    patch: {image: base-2}
    traffic: {steps: [50, 100], soak: 2s, interval: 1s}
    checks: {preflight: [balancer], replacement: [balancer], live: [balancer]}
    bake: 2s
    keep_warm: 60s
    settle: 1s
"""

Answers = Callable[[CheckSpec, Subject], Verdict]


def always_pass(spec: CheckSpec, subject: Subject) -> Verdict:
    return Verdict.passed(f"{spec.name} on {subject.slot}")


def a_plan(**changes: Any) -> Plan:
    """A good plan for `shop`, from base-1 on blue to base-2."""
    gates = {name: Gate(RULE, (CheckSpec("balancer", "balancer"),)) for name in GATES}
    plan = Plan(
        service=SHOP,
        provider="memory",
        coexist="safe",
        patch=Patch("base-2", {"memory": "base-2"}, {"source": "test"}),
        original="blue",
        original_image="base-1",
        original_fingerprint={"flavour": "sim.small", "network": "sim-net", "firewall": "fw-shop"},
        app_version=None,
        capacity=2,
        steps=(50, 100),
        gates=gates,
        settle_s=1.0,
        keep_warm_s=60.0,
        deadlines={**DEADLINES, "observed": 30.0, "drained": 20.0, "preflight": 60.0, "patch": 60.0, "gate": 90.0},
    )
    return replace(plan, **changes)


class World:
    """`shop` with two instances on blue, and an opened rollout of `plan`."""

    def __init__(self, folder: Path, plan: Plan | None = None, *, ask: Answers = always_pass, **cloud: Any) -> None:
        self.clock = VirtualClock()
        self.cloud = SimCloud(self.clock, settings=FAST, **cloud)
        for name in ("base-1", "base-2", "base-3"):
            self.cloud.add_image(name)
        self.cloud.add_service("shop", image="base-1", capacity=2)
        self.provider = provider_for(self.cloud)
        self.store = Store(folder / "rollout.db")
        self.cards = CardFolder(folder / "cards")
        self.means = Means(self.store, self.provider, self.clock, self.cards, ask)
        self.plan = plan or a_plan()
        self.open(self.plan)

    def open(self, plan: Plan, rollout: str = ROLLOUT) -> Row:
        return self.store.open_rollout(
            rollout, "shop", plan.to_json(), plan.hash, at=self.clock.now(), actor="tester", reason="because"
        )

    def asking(self, ask: Answers) -> None:
        self.means = replace(self.means, ask=ask)

    def behaves(self, image: str = "base-2", **behaviour: Any) -> None:
        self.cloud.add_image(image, behaviour=ImageBehaviour(**behaviour))

    def passes(self, seconds: float) -> None:
        self.clock.sleep(seconds)
        self.cloud.catch_up()

    # A run, as a job makes it

    def run(self, holder: Holder = HOLDER) -> Run:
        """A fresh controller under a fresh epoch: what a job does after a crash."""
        epoch = self.store.take_lease("shop", holder, self.clock.now())
        return Run(ROLLOUT, self.plan, Journal(self.store.entries(ROLLOUT)), self.means, epoch)

    def later(self, holder: Holder = HOLDER) -> Run:
        """The same, with all recorded steps told again already."""
        run = self.run(holder)
        run._visited |= run.journal.recorded_steps()
        return run

    def past_capture(self) -> Run:
        """A run whose original was captured, so that strangers' edits are noticed."""
        run = self.run()
        run.once(Act("capture", "read", lambda intent: self.capture(intent.route)))
        return run

    def capture(self, route: Route) -> dict[str, Any]:
        from providers.base import plain

        environments = self.provider.compute.describe(SHOP)
        return {
            "route": plain(route),
            "environments": {slot: plain(environment) for slot, environment in environments.items()},
            "healthy": 2,
        }

    def at_phase(self, *phases: str) -> Run:
        """A run that has entered these phases one after the other."""
        run = self.past_capture()
        for phase in phases:
            run.enter(phase)
        return run

    def mirror_stands(self, image: str = "base-2") -> None:
        """Green is there and attached, with capacity and without traffic; nothing of it is journalled."""
        compute, traffic = self.provider.compute, self.provider.traffic
        compute.mirror(SHOP, "blue", "green", image, "rollout-manager/shop", "t-mirror")
        compute.scale(SHOP, "green", 2, "t-scale")
        self.passes(3)
        mine = [each for each in compute.observe([SHOP])["shop"] if each.slot == "green"]
        traffic.attach(SHOP, "green", mine, "t-attach")
        self.passes(2)

    # Jobs

    def job(self, holder: Holder = HOLDER) -> Advanced:
        return advance(ROLLOUT, self.means, holder)

    def drive(self, until: Callable[[World], bool] = lambda world: False, jobs: int = 400) -> Row:
        """Jobs as they are due, time passing in between, until closed, stuck, or `until`."""
        for _ in range(jobs):
            row = self.row
            if row.closed_at is not None or row.due_at >= NEVER or until(self):
                return row
            if row.due_at > self.clock.now():
                self.passes(row.due_at - self.clock.now())
            self.job()
        raise AssertionError(f"still {self.row.phase} after {jobs} jobs: {self.kinds()[-5:]}")

    # What there is to see

    @property
    def row(self) -> Row:
        return self.store.rollout(ROLLOUT)

    @property
    def journal(self) -> Journal:
        return Journal(self.store.entries(ROLLOUT))

    @property
    def weights(self) -> Mapping[Slot, int]:
        weights: Mapping[Slot, int] = self.cloud.snapshot("shop")["weights"]
        return weights

    def entries(self, kind: str) -> list[Entry]:
        return [entry for entry in self.journal.entries if entry.kind == kind]

    def kinds(self) -> list[str]:
        return [f"{entry.kind} {entry.step}".strip() for entry in self.journal.entries]

    def mutations(self, call: str) -> list[Any]:
        return [each for each in self.cloud.mutations if each.call == call]

    # People

    def mark(self, reason: str = "bad release") -> HoldMark:
        mark = HoldMark(ROLLOUT, 9, "blue", "oncall@host", self.clock.now(), reason)
        self.cloud.edit_by_hand("shop", mark=mark)
        return mark

    def edit(self, green: int) -> None:
        self.cloud.edit_by_hand("shop", weights=weights_for("green", green))


def phase_is(*phases: str) -> Callable[[World], bool]:
    return lambda world: world.row.phase in phases

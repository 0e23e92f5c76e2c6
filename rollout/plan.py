"""What will be done, decided before anything is: pure, hashed, saved, and applied exactly as it stands."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from providers.base import SLOTS, Concern, Environment, Instance, Patch, Route, Service, Slot, other, plain
from rollout.gate import GateRule
from rollout.journal import Journal, canonical

STORY = 3
"""The number of the story that this release tells; a plan records the one that it was made for."""


class UnsafePlan(Exception):
    """What was asked for would endanger the service; nothing was changed. The message says what to do instead."""


class StalePlan(Exception):
    """The service is no longer what the plan was made against; `differences` name the fields."""

    def __init__(self, service: str, differences: Sequence[str]) -> None:
        told = "; ".join(differences)
        super().__init__(
            f"{service} changed since the plan was made: {told}. Nothing was begun. "
            f"Make a new plan: rollout plan {service} --out FILE"
        )
        self.differences = tuple(differences)


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """A check as configured: the module that asks, what it is called here, its options."""

    name: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CheckSpec:
        return cls(data["name"], data["label"], dict(data["options"]))


@dataclass(frozen=True, slots=True)
class Gate:
    rule: GateRule
    checks: tuple[CheckSpec, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Gate:
        return cls(GateRule(**data["rule"]), tuple(CheckSpec.from_json(check) for check in data["checks"]))


@dataclass(frozen=True, slots=True)
class PlanWindow:
    """When a rollout may move traffic, as it was found when it began; seconds since 1970, None: no such limit.

    `at_end` says what becomes of it when it is not promoted by then: "turn_back" or "finish". `outside`: a person had
    it begun outside its window, so that nothing ends it.
    """

    opens_at: float | None
    closes_at: float | None
    at_end: str = "turn_back"
    outside: bool = False


GATES = ("preflight", "replacement", "live", "bake")
DEADLINES: Mapping[str, float] = {
    "preflight": 120.0,
    "patch": 3600.0,
    "running": 600.0,
    "healthy": 600.0,
    "gate": 900.0,
    "approval": 7 * 86400.0,
    "observed": 120.0,
    "drained": 600.0,
    "drain_limit": 300.0,
}
"""Seconds after which a wait of that kind is given up, where the fleet file says nothing else."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One rollout of one service. Times are seconds, weights percent; `capacity` is what both sides must have.

    `concerns` are what the platform foresaw when the plan was made. They are hashed with it, because who approves it
    approves it with them; they are not compared when it is carried out, because a notice changes nothing that is done.
    """

    service: Service
    provider: str
    coexist: str
    patch: Patch
    original: Slot
    original_image: str
    original_fingerprint: Mapping[str, str]
    app_version: str | None
    capacity: int
    steps: tuple[int, ...]
    gates: Mapping[str, Gate]
    settle_s: float = 5.0
    keep_warm_s: float = 86400.0
    on_rollback: str = "drain"
    approval: str = "none"
    deadlines: Mapping[str, float] = field(default_factory=lambda: dict(DEADLINES))
    made_at: float = 0.0
    notice_s: float = 3600.0  # told so long before the way back closes
    rollback_while_warm: bool = False
    story: int = STORY
    concerns: tuple[Concern, ...] = ()
    window: PlanWindow | None = None  # known only when it begins
    wave: str = ""  # run and wave of the campaign that it belongs to
    cold: bool = False  # it goes back to an earlier image: see rollout/going_back.py

    @property
    def replacement(self) -> Slot:
        return other(self.original)

    @property
    def hash(self) -> str:
        return hashlib.sha256(canonical(self.to_json()).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = plain(self)
        if self.window is None:
            del data["window"]  # so that a plan without one has the hash that it always had
        if not self.wave:
            del data["wave"]
        if not self.cold:
            del data["cold"]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Raises KeyError or TypeError for anything that `to_json` of this story did not write."""
        return cls(
            **{
                **data,
                "service": Service(data["service"]["name"], dict(data["service"]["options"])),
                "patch": Patch.from_json(data["patch"]),
                "original_fingerprint": dict(data["original_fingerprint"]),
                "steps": tuple(data["steps"]),
                "gates": {name: Gate.from_json(gate) for name, gate in data["gates"].items()},
                "deadlines": dict(data["deadlines"]),
                "concerns": tuple(Concern(**found) for found in data.get("concerns", ())),
                "window": PlanWindow(**data["window"]) if data.get("window") else None,
            }
        )


def capacity_needed(plan: Plan, journal: Journal) -> int:
    """What both sides must have: the plan's capacity, or what the original was since seen to have grown to."""
    grown = [journal.value(step) for step in journal.recorded_steps() if step == "launch" or step.startswith("grow:")]
    return max([plan.capacity, *(int(value["capacity"]) for value in grown if value)])


LAUNCH_S = 60.0
"""How long a mirror takes to stand and be healthy where nobody has measured it."""


def seconds_needed(plan: Plan, launch_s: float = LAUNCH_S) -> float:
    """The least time from the start until the replacement is promoted, if nothing has to be waited for twice.

    `launch_s` is how long its mirror takes until it is healthy. A person's approval is not foreseen.
    """
    asked = [plan.gates["preflight"], plan.gates["replacement"], *[plan.gates["live"]] * len(plan.steps)]
    gates_s = sum(_least_s(gate.rule) for gate in [*asked, plan.gates["bake"]])
    return launch_s + plan.settle_s + gates_s


def seconds_to_undo(plan: Plan, write_timeout_s: float) -> float:
    """The most time from the decision to turn back until all traffic is seen back, where the platform answers.

    `write_timeout_s` is the provider's: a write of ours may be in flight, and then the one that puts traffic back.
    """
    return 2 * write_timeout_s + plan.deadlines["observed"]


def _least_s(rule: GateRule) -> float:
    return max(rule.soak_s, (rule.passes - 1) * rule.interval_s)


def choose_original(service: str, environments: Mapping[Slot, Environment], route: Route) -> Environment:
    """The slot that serves now; UnsafePlan when that cannot be said."""
    if route.mark is not None:
        raise UnsafePlan(
            f"{service} carries the hold mark of {route.mark.rollout}: an emergency rollback has not been finished; "
            f"next: rollout resume {route.mark.rollout}"
        )
    if route.active is None:
        weights = ", ".join(f"{slot} {route.share(slot)} %" for slot in SLOTS)
        raise UnsafePlan(f"{service} is served by both slots ({weights}): put all traffic on one side first")
    original = environments[route.active]
    if not original.exists or original.capacity < 1:
        raise UnsafePlan(f"{service}: {route.active} has all the traffic and no capacity; nothing can be mirrored")
    return original


def raise_if_mixed(service: str, original: Environment, instances: Sequence[Instance]) -> None:
    """Refuse an original whose hosts run something else than it would launch: what would be gone back to?"""
    running = [each for each in instances if each.slot == original.slot and each.state == "running" and each.image]
    others = sorted({str(each.image) for each in running if each.image != original.image})
    if others:
        raise UnsafePlan(
            f"{service}: hosts of {original.slot} run {', '.join(others)}, but it would launch {original.image}: a way "
            f"back would lead to another image. Make them agree first: have it launch what runs, or replace the hosts"
        )


def raise_if_unsafe(plan: Plan, denials: Mapping[str, str]) -> None:
    """Refuse what must not even begin."""
    name = plan.service.name
    if plan.coexist == "forbidden":
        raise UnsafePlan(
            f"{name} declares coexist: forbidden, so two sides may never run at once. Patch it by hand: stop the "
            f"service, take a backup, patch, start, check; rollout plan {name} says it step by step"
        )
    if plan.coexist not in ("safe", "switched"):
        raise UnsafePlan(f"{name} declares coexist: {plan.coexist}, which is not known; allowed: safe, switched")
    if plan.coexist == "switched" and tuple(plan.steps) != (100,):
        raise UnsafePlan(
            f"{name} declares coexist: switched: either side has all the work or none, so there are no steps between, "
            f"found {list(plan.steps)}. Write: traffic: {{steps: [100]}}"
        )
    for image in plan.patch.images.values():
        if image in denials:
            raise UnsafePlan(
                f"{name}: {plan.patch.reference} is denied ({denials[image]}); choose another image, or lift it "
                f"with: rollout deny {name} {plan.patch.reference} --lift"
            )
    if not plan.steps or plan.steps[-1] != 100 or list(plan.steps) != sorted(set(plan.steps)):
        raise UnsafePlan(f"{name}: traffic steps must rise and end in 100, found {list(plan.steps)}")
    empty = [gate for gate in ("preflight", "replacement", "live") if not plan.gates[gate].checks]
    if empty:
        raise UnsafePlan(f"{name}: no checks in the {' and '.join(empty)} gate, so nothing would be proven")
    raise_if_blocked(plan)


def raise_if_blocked(plan: Plan) -> None:
    """Refuse what the platform would keep from succeeding as it is now."""
    if blocked := what_blocks(plan):
        raise UnsafePlan(blocked)


def what_blocks(plan: Plan) -> str:
    """Why the platform would keep this plan from succeeding, with what to do about it; empty if nothing would."""
    found = [concern.text for concern in plan.concerns if concern.kind == "blocks"]
    told = "; ".join(f"({number}) {text}" for number, text in enumerate(found, start=1))
    return f"{plan.service.name} cannot be rolled out as the platform is now: {told}" if found else ""


def changes_nothing(plan: Plan) -> bool:
    """The service runs that image already."""
    return plan.original_image in plan.patch.images.values()


def raise_if_stale(plan: Plan, now: Plan) -> None:
    """A saved plan against one made a moment ago: the same in all that would be done, or StalePlan (`differences`).

    Not compared are its time, window and wave, and the concerns: a notice that came or went changes nothing of it,
    and what blocks now is refused by `raise_if_blocked`.
    """
    saved, fresh = (
        replace(each, made_at=0.0, concerns=(), window=None, wave="", cold=False).to_json() for each in (plan, now)
    )
    differences = [
        f"{key} was {_short(saved[key])}, is {_short(fresh[key])}"
        for key in saved
        if canonical(saved[key]) != canonical(fresh[key])
    ]
    if differences:
        raise StalePlan(plan.service.name, differences)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""One service of a fleet file as typed models: what there is to set, and what holds when nothing is said."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from rollout.durations import format_duration
from rollout.fleetfile.drills import Drills
from rollout.fleetfile.explain import refused
from rollout.fleetfile.normalise import DEFAULT_CHECKS
from rollout.fleetfile.timing import Timing
from rollout.fleetfile.values import STEPS, PositiveSpan, Settings, Span, Step
from rollout.gate import GateRule

GateName = Literal["preflight", "replacement", "live"]
LONGEST_CHECK_S = 300.0


def _rising_to_100(steps: tuple[int, ...]) -> tuple[int, ...]:
    for at, (before, after) in enumerate(pairwise(steps), start=1):
        if after <= before:
            raise refused(allowed=STEPS, at=(at,))
    if steps[-1:] != (100,):
        raise refused(allowed=STEPS, at=(len(steps) - 1,) if steps else ())
    return steps


def _something_asked(checks: tuple[CheckSpec, ...]) -> tuple[CheckSpec, ...]:
    if not checks:
        raise refused("nothing would be proven", "at least one check; without the key: the default ones")
    return checks


class PatchSettings(Settings):
    """What to roll out: resolved once and pinned. `--image` on the command line goes before it."""

    image: str = Field(min_length=1, description="an image or a reference to one")


class Traffic(Settings):
    """Percent on the replacement step by step, each watched for `soak` with a look every `interval`.

    On a rollback, `drain` lets what is in flight on the replacement end within `drain_limit`; `cut` closes it.
    """

    steps: Annotated[tuple[Step, ...], AfterValidator(_rising_to_100)] = Field(
        default=(10, 50, 100), description=f"Percent on the replacement: {STEPS}.", json_schema_extra={"minItems": 1}
    )
    soak_s: PositiveSpan = Field(
        default=60.0, alias="soak", description="Each step is watched for so long; at least the interval."
    )
    interval_s: PositiveSpan = Field(default=5.0, alias="interval", description="Between two looks.")
    on_rollback: Literal["drain", "cut"] = Field(
        default="drain", description="What is in flight on the replacement may end (drain), or is closed (cut)."
    )
    drain_limit_s: Span = Field(default=300.0, alias="drain_limit", description="Draining takes at most so long.")


class CheckSpec(Settings):
    """A check as its gate asks it. `label` tells two of one name apart."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    label: str = ""


def _default(gate: str) -> tuple[CheckSpec, ...]:
    return tuple(CheckSpec(name=name, label=name) for name in DEFAULT_CHECKS[gate])


def _asked(gate: str, when: str) -> Any:
    """The field of one gate's checks."""
    description = f"What is asked {when} (default: {', '.join(DEFAULT_CHECKS[gate])})."
    return Field(default=_default(gate), description=description, json_schema_extra={"minItems": 1})


_Asked = Annotated[tuple[CheckSpec, ...], AfterValidator(_something_asked)]


class Checks(Settings):
    """What has to be proven, for each gate: a check's name, or a name with options."""

    preflight: _Asked = _asked("preflight", "before anything is changed")
    replacement: _Asked = _asked("replacement", "of the replacement before it has traffic")
    live: _Asked = _asked("live", "of the replacement while it has traffic")


def _short_enough(seconds: float) -> float:
    if seconds > LONGEST_CHECK_S:
        raise refused(allowed=f"at most {format_duration(LONGEST_CHECK_S)}, for nothing else is heeded meanwhile")
    return seconds


class Gate(Settings):
    """`passes` looks in a row pass, `failures` in a row fail, and so does not knowing for `unknown_limit`.

    `interval` is traffic's where not given. `deadline` is the time that is allowed beyond what has to be soaked.
    `timeout` is for each check, each time that it is asked about a side.
    """

    passes: int = Field(default=3, ge=1, le=1000, description="So many passing looks in a row pass.")
    failures: int = Field(default=2, ge=1, le=1000, description="So many failing looks in a row fail.")
    interval_s: PositiveSpan | None = Field(
        default=None, alias="interval", description="Between two looks (default: that of traffic)."
    )
    deadline_s: PositiveSpan = Field(
        default=300.0, alias="deadline", description="Undecided for so long, beyond the soak, fails."
    )
    unknown_limit_s: Span = Field(default=60.0, alias="unknown_limit", description="Not knowing for so long fails.")
    timeout_s: Annotated[PositiveSpan, AfterValidator(_short_enough)] = Field(
        default=5.0, alias="timeout", description="One check takes at most so long; then it does not know."
    )


class PreflightGate(Gate):
    passes: int = Field(default=1, ge=1, le=1000, description="So many passing looks in a row pass.")
    deadline_s: PositiveSpan = Field(default=60.0, alias="deadline", description="Undecided for so long fails.")
    unknown_limit_s: Span = Field(default=30.0, alias="unknown_limit", description="Not knowing for so long fails.")


class LiveGate(Gate):
    deadline_s: PositiveSpan = Field(
        default=600.0, alias="deadline", description="Undecided for so long, beyond the soak, fails."
    )


class Gates(Settings):
    """When each gate is decided."""

    preflight: PreflightGate = PreflightGate()
    replacement: Gate = Gate()
    live: LiveGate = LiveGate()


class Deadlines(Settings):
    """How long each wait may take before the rollout turns back."""

    patch_s: PositiveSpan = Field(default=900.0, alias="patch", description="Until the patched image is ready.")
    running_s: PositiveSpan = Field(default=300.0, alias="running", description="Until all its instances run.")
    healthy_s: PositiveSpan = Field(default=300.0, alias="healthy", description="Until the balancer says healthy.")
    observed_s: PositiveSpan = Field(default=60.0, alias="observed", description="Until traffic is where it was sent.")
    drained_s: PositiveSpan = Field(
        default=600.0, alias="drained", description="Until nothing is in flight on the side that is given up."
    )
    approval_s: PositiveSpan = Field(default=86_400.0, alias="approval", description="Until somebody approves.")


class ServiceSettings(Timing):
    """One service. `patch` may be left to the command line; `options` are what the provider's own model accepted."""

    provider: str = Field(min_length=1, description="a provider's name, such as local")
    tags: dict[Annotated[str, Field(min_length=1)], str] = Field(
        default_factory=dict,
        description="Of your own, to choose services by; account, region, zone and architecture say where it is.",
    )
    coexist: Literal["safe", "switched", "forbidden"] = Field(
        description="safe, switched or forbidden (may two sides run at once? Nobody but you can know)"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="The provider's own settings.")
    patch: PatchSettings | None = None
    traffic: Traffic = Traffic()
    checks: Checks = Checks()
    gates: Gates = Gates()
    deadlines: Deadlines = Deadlines()
    bake_s: Span = Field(
        default=1800.0,
        alias="bake",
        description="All traffic is watched for so long before the replacement is promoted.",
    )
    keep_warm_s: Span = Field(
        default=86_400.0, alias="keep_warm", description="Afterwards the original stays ready for a rollback."
    )
    rollback_while_warm: bool = Field(
        default=False, description="Turn back without being asked when the live checks fail while the original is warm."
    )
    approval: Literal["none", "required"] = Field(
        default="none", description="required: a second person has to approve before traffic moves."
    )
    settle_s: Span = Field(default=5.0, alias="settle", description="Calm before the replacement is judged.")
    drills: Drills | None = Field(default=None, description="In place of the fleet's own drills; {}: never.")

    def gate_rule(self, gate: GateName, soak_s: float = 0.0) -> GateRule:
        """The gate's rule while it watches `soak_s`; the deadline counts from the start, so it includes the soak."""
        of: Gate = getattr(self.gates, gate)
        interval_s = of.interval_s if of.interval_s is not None else self.traffic.interval_s
        deadline_s = of.deadline_s + soak_s
        return GateRule(of.passes, of.failures, interval_s, deadline_s, of.unknown_limit_s, soak_s, of.timeout_s)

    @model_validator(mode="after")
    def _gates_can_pass(self) -> ServiceSettings:
        gates: tuple[GateName, GateName] = ("preflight", "replacement")
        for name in gates:
            rule = self.gate_rule(name)
            needed_s = (rule.passes - 1) * rule.interval_s
            if needed_s >= rule.deadline_s:
                allowed = f"more than {format_duration(needed_s)}, which {rule.passes} passes take"
                raise refused("the gate could never pass", allowed, ("gates", name, "deadline"))
        live = self.gate_rule("live", self.traffic.soak_s)
        if live.interval_s > live.soak_s:
            allowed = f"at least the interval, {format_duration(live.interval_s)}"
            raise refused("the soak is over before the second look", allowed, ("traffic", "soak"))
        return self

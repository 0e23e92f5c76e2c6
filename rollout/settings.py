"""The fleet file as typed models: what there is to set, what is allowed, and what holds when nothing is said.

`load` reads a file; whatever is wrong with it arrives together, as SettingsErrors that name file, line and key.
Nothing in a file is ever evaluated: ${…} and {{…}} are text. Attributes carry their unit (`soak_s`); in the file the
key is plain (`soak: 60s`). Every model turns into plain JSON data with `model_dump(mode="json")`. The commented
example is config/fleet.example.yaml.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from rollout import state_dir
from rollout.durations import BadDuration, format_duration, parse_duration
from rollout.fleetfile.catalogue import Catalogue, Shipped
from rollout.fleetfile.document import Document, parse, read
from rollout.fleetfile.explain import Finding, findings, refused
from rollout.fleetfile.normalise import DEFAULT_CHECKS, Normalised
from rollout.fleetfile.problems import SettingsError, SettingsErrors, nearest
from rollout.gate import GateRule

__all__ = ["Fleet", "ServiceSettings", "SettingsError", "SettingsErrors", "load", "nearest", "parse_fleet"]

GateName = Literal["preflight", "replacement", "live"]
STEPS = "whole numbers 1–100, rising, ending in 100"


def _span(value: Any) -> float:
    try:
        return parse_duration(value)
    except BadDuration as error:
        raise refused(allowed=str(error)) from None


def _more_than_nothing(seconds: float) -> float:
    if seconds <= 0:
        raise refused(allowed="more than 0s")
    return seconds


def _service_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name):
        raise refused(allowed="a-z, 0-9 and -, beginning with a letter, at most 40")
    return name


def _percent(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 100:
        raise refused(allowed=STEPS)
    return value


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


def _state(folder: str) -> str:
    if not folder or folder.startswith("~"):
        raise refused(allowed="a folder, relative to the fleet file or absolute; ~ is not expanded")
    return folder


Span = Annotated[float, BeforeValidator(_span)]
PositiveSpan = Annotated[float, BeforeValidator(_span), AfterValidator(_more_than_nothing)]
Step = Annotated[int, BeforeValidator(_percent)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class PatchSettings(Settings):
    """`image` is a reference that is resolved once and pinned; --image on the command line goes before it."""

    image: str = Field(min_length=1, description="an image or a reference to one")


class Traffic(Settings):
    """Percent on the replacement step by step, each watched for `soak` with a look every `interval`.

    On a rollback, `drain` lets what is in flight on the replacement end within `drain_limit`; `cut` closes it.
    """

    steps: Annotated[tuple[Step, ...], AfterValidator(_rising_to_100)] = (10, 50, 100)
    soak_s: PositiveSpan = Field(default=60.0, alias="soak")
    interval_s: PositiveSpan = Field(default=5.0, alias="interval")
    on_rollback: Literal["drain", "cut"] = "drain"
    drain_limit_s: Span = Field(default=300.0, alias="drain_limit")


class CheckSpec(Settings):
    """A check as its gate asks it. `label` tells two of one name apart."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    label: str = ""


def _default(gate: str) -> tuple[CheckSpec, ...]:
    return tuple(CheckSpec(name=name, label=name) for name in DEFAULT_CHECKS[gate])


class Checks(Settings):
    """What is asked before anything changes, of the replacement before it has traffic, and while it has some."""

    preflight: Annotated[tuple[CheckSpec, ...], AfterValidator(_something_asked)] = _default("preflight")
    replacement: Annotated[tuple[CheckSpec, ...], AfterValidator(_something_asked)] = _default("replacement")
    live: Annotated[tuple[CheckSpec, ...], AfterValidator(_something_asked)] = _default("live")


class Gate(Settings):
    """`passes` looks in a row pass, `failures` in a row fail, and so does not knowing for `unknown_limit`.

    `interval` is traffic's where not given. `deadline` is the time that is allowed beyond what has to be soaked.
    """

    passes: int = Field(default=3, ge=1, le=1000)
    failures: int = Field(default=2, ge=1, le=1000)
    interval_s: PositiveSpan | None = Field(default=None, alias="interval")
    deadline_s: PositiveSpan = Field(default=300.0, alias="deadline")
    unknown_limit_s: Span = Field(default=60.0, alias="unknown_limit")


class PreflightGate(Gate):
    passes: int = Field(default=1, ge=1, le=1000)
    deadline_s: PositiveSpan = Field(default=60.0, alias="deadline")
    unknown_limit_s: Span = Field(default=30.0, alias="unknown_limit")


class LiveGate(Gate):
    deadline_s: PositiveSpan = Field(default=600.0, alias="deadline")


class Gates(Settings):
    preflight: PreflightGate = PreflightGate()
    replacement: Gate = Gate()
    live: LiveGate = LiveGate()


class Deadlines(Settings):
    """How long each wait may take before the rollout turns back."""

    patch_s: PositiveSpan = Field(default=900.0, alias="patch")
    running_s: PositiveSpan = Field(default=300.0, alias="running")
    healthy_s: PositiveSpan = Field(default=300.0, alias="healthy")
    observed_s: PositiveSpan = Field(default=60.0, alias="observed")
    drained_s: PositiveSpan = Field(default=600.0, alias="drained")
    approval_s: PositiveSpan = Field(default=86_400.0, alias="approval")


class ServiceSettings(Settings):
    """One service. `patch` may be left to the command line; `options` are what the provider's own model accepted."""

    provider: str = Field(min_length=1, description="a provider's name, such as local")
    coexist: Literal["safe", "switched", "forbidden"] = Field(
        description="safe, switched or forbidden (may two sides run at once? Nobody but you can know)"
    )
    options: dict[str, Any] = Field(default_factory=dict)
    patch: PatchSettings | None = None
    traffic: Traffic = Traffic()
    checks: Checks = Checks()
    gates: Gates = Gates()
    deadlines: Deadlines = Deadlines()
    bake_s: Span = Field(default=1800.0, alias="bake")
    keep_warm_s: Span = Field(default=86_400.0, alias="keep_warm")
    approval: Literal["none", "required"] = "none"
    settle_s: Span = Field(default=5.0, alias="settle")

    def gate_rule(self, gate: GateName, soak_s: float = 0.0) -> GateRule:
        """The gate's rule while it watches `soak_s`; the deadline counts from the start, so it includes the soak."""
        of: Gate = getattr(self.gates, gate)
        interval_s = of.interval_s if of.interval_s is not None else self.traffic.interval_s
        return GateRule(of.passes, of.failures, interval_s, of.deadline_s + soak_s, of.unknown_limit_s, soak_s)

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


class Policy(Settings):
    """An image that failed on `deny_after_services` services is denied to all."""

    deny_after_services: int = Field(default=2, ge=1, le=1000)


def _at_least_one(services: dict[str, ServiceSettings]) -> dict[str, ServiceSettings]:
    if not services:
        raise refused(allowed="at least one service")
    return services


class Fleet(Settings):
    """A whole fleet file. `state`, a folder relative to it, keeps the store (rollout.db), cards and local services."""

    also_keys: ClassVar[tuple[str, ...]] = ("defaults",)  # laid under each service before the models read it

    version: Literal[1] = Field(description="1")
    state: Annotated[str, AfterValidator(_state)] = state_dir.DEFAULT_STATE
    services: Annotated[
        dict[Annotated[str, AfterValidator(_service_name)], ServiceSettings], AfterValidator(_at_least_one)
    ] = Field(description="a mapping from names to services")
    policy: Policy = Policy()


def load(path: Path, catalogue: Catalogue | None = None) -> Fleet:
    """The fleet that a file describes. Raises SettingsErrors with everything that is wrong with it."""
    return _fleet(read(path), catalogue or Shipped())


def parse_fleet(raw: bytes, path: Path, catalogue: Catalogue | None = None) -> Fleet:
    """The same from memory; `path` names it in messages, and relative paths are relative to its folder."""
    return _fleet(parse(raw, path), catalogue or Shipped())


def _fleet(document: Document, catalogue: Catalogue) -> Fleet:
    normalised = Normalised(document, catalogue)
    errors = list(normalised.errors)
    if isinstance(document.data, dict):
        errors += [normalised.error_of(found) for found in _misread_state(document)]
        try:
            fleet = Fleet.model_validate_json(json.dumps(normalised.data), strict=True)
        except ValidationError as error:
            errors += [normalised.error_of(found) for found in findings(error, Fleet, normalised.data)]
    if errors:
        raise SettingsErrors(errors)
    return fleet


def _misread_state(document: Document) -> list[Finding]:
    """`rollout rollback` finds the state folder without YAML: what it would find has to be what YAML says."""
    written = document.data.get("state")
    try:
        if state_dir.written_state(document.text) == written:
            return []
    except state_dir.StateUnreadable:
        pass
    if "state" in document.data and not isinstance(written, str):
        return []  # the model says so
    return [Finding(("state",), problem="cannot be read at a glance", allowed=state_dir.ALLOWED_STATE)]

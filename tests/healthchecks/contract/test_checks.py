"""What holds for every check: the gates, the journal and the configuration rely on it."""

from __future__ import annotations

import ast
import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from healthchecks.base import Verdict
from healthchecks.registry import known_checks, load
from providers.base import Conflict, Denied, Invalid, NotFound, TargetHealth, Throttled, Transient
from tests.healthchecks.contract.cases import CASES
from tests.healthchecks.contract.stage import Case, Scenario, Stage
from tests.healthchecks.fakes import World
from tests.healthchecks.servers import Servers

EVIDENCE_LIMIT = 128 * 1024
NETWORK = {"httpx", "socket", "ssl", "urllib", "asyncio", "aiohttp", "subprocess", "healthchecks.fetch"}
NETWORK |= {"healthchecks.connect"}
RUBBISH: list[Callable[[], Any]] = [
    lambda: None,
    lambda: "text",
    lambda: 42,
    lambda: b"\xff",
    dict,
    list,
    lambda: [None],
    lambda: {"blue": None, "green": "text"},
    object,
    lambda: (_ for _ in ()),
]
every_check = pytest.mark.parametrize("name", sorted(CASES))


@pytest.fixture
def stage(servers: Servers, tmp_path: Path) -> Stage:
    """What scenarios may use."""
    return Stage(servers, tmp_path)


def _check(case: str) -> str:
    return case.partition(" ")[0]


def _case(name: str) -> Case:
    return CASES[name]


def _ask(name: str, scenario: tuple[Any, World], timeout_s: float = 5.0, **changes: Any) -> Verdict:
    options, world = scenario
    return load(_check(name)).ask(options, world.subject(timeout_s=timeout_s, **changes))


def test_every_check_has_a_case() -> None:
    """Otherwise a new check gets into gates without anybody having seen it fail."""
    assert {_check(name) for name in CASES} == set(known_checks())


@every_check
def test_it_passes(name: str, stage: Stage) -> None:
    """Otherwise a rollout with this check never gets past its gate."""
    verdict = _ask(name, _case(name).passing(stage))
    assert verdict.answer == "pass", verdict


@every_check
def test_it_fails(name: str, stage: Stage) -> None:
    """Otherwise the check can never turn a bad patch back."""
    verdict = _ask(name, _case(name).failing(stage))
    assert verdict.answer == "fail", verdict


@every_check
def test_it_does_not_know(name: str, stage: Stage) -> None:
    """Otherwise missing data is taken for an answer."""
    verdict = _ask(name, _case(name).unclear(stage))
    assert verdict.answer == "unknown", verdict


@every_check
@pytest.mark.parametrize("error", [Transient, Throttled, NotFound, Conflict, Denied, Invalid, OSError, KeyError])
def test_trouble_while_reading_is_unknown(name: str, error: type[Exception], stage: Stage) -> None:
    """Otherwise a platform's bad minute passes a gate, or brings down the program that watches it."""
    options, world = _case(name).passing(stage)
    world.trouble = error("the platform has a bad minute")
    verdict = _ask(name, (options, world))
    assert verdict.answer == "unknown"
    assert error.__name__ in verdict.summary
    assert "bad minute" in verdict.summary


@every_check
@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_never_passes(name: str, rubbish: Callable[[], Any], stage: Stage) -> None:
    """Otherwise a provider with a bug waves every patch through."""
    options, world = _case(name).passing(stage)
    world.rubbish = rubbish
    verdict = _ask(name, (options, world))
    sound = _case(name).nothing_is_sound and rubbish is list
    assert (verdict.answer == "pass") is sound
    json.dumps(dict(verdict.evidence), allow_nan=False)


@every_check
def test_it_never_waits_longer_than_it_may(name: str, stage: Stage) -> None:
    """Otherwise one host that hangs holds up a gate, and with it the way back."""
    hanging = _case(name).hanging
    if hanging is None:
        assert not _imports(name) & NETWORK, "a check that uses the network has a case in which nobody answers"
        return
    began = time.monotonic()
    verdict = _ask(name, hanging(stage), timeout_s=0.3)
    assert verdict.answer == "unknown", verdict
    assert time.monotonic() - began < 3


@every_check
@pytest.mark.parametrize("which", ["passing", "failing", "unclear"])
@pytest.mark.parametrize("role", ["original", "replacement"])
def test_it_changes_nothing(name: str, which: str, role: Any, stage: Stage) -> None:
    """Otherwise looking at a live system changes it."""
    scenario: Scenario = getattr(_case(name), which)
    options, world = scenario(stage)
    before, options_before, files = deepcopy(world), deepcopy(options), _files(stage.folder)
    verdict = load(_check(name)).ask(options, world.subject(role, timeout_s=0.5))
    assert verdict.answer in ("pass", "fail", "unknown")
    assert world.writes == []
    assert (world, options, _files(stage.folder)) == (before, options_before, files)


@every_check
@pytest.mark.parametrize("which", ["passing", "failing", "unclear"])
def test_it_answers_the_same_again(name: str, which: str, stage: Stage) -> None:
    """Otherwise a verdict depends on what was asked before, and nobody can follow it."""
    options, world = getattr(_case(name), which)(stage)
    first, second = (_ask(name, (options, world)) for _ in range(2))
    assert (first.answer, first.summary.split(" (")[0]) == (second.answer, second.summary.split(" (")[0])


@every_check
@pytest.mark.parametrize("which", ["passing", "failing", "unclear"])
def test_the_evidence_is_plain_and_bounded(name: str, which: str, stage: Stage) -> None:
    """Otherwise a verdict cannot be kept in the journal, or a large fleet fills it."""
    options, world = getattr(_case(name), which)(stage)
    for verdict in (_ask(name, (options, world)), _ask(name, (options, _crowded(world)))):
        text = json.dumps(dict(verdict.evidence), allow_nan=False)
        assert json.loads(text) == verdict.evidence
        assert len(text) < EVIDENCE_LIMIT
        assert 0 < len(verdict.summary) < 1000


@every_check
def test_its_options_are_a_frozen_dataclass_that_forbids_what_it_does_not_know(name: str, stage: Stage) -> None:
    """Otherwise a misspelt option in a fleet file is silently ignored."""
    module = load(_check(name))
    options, _ = _case(name).passing(stage)
    adapter: TypeAdapter[Any] = TypeAdapter(module.Options)
    assert is_dataclass(module.Options)
    assert module.Options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert adapter.validate_python(asdict(options)) == options
    assert adapter.validate_python(json.loads(json.dumps(asdict(options)))) is not None
    with pytest.raises(ValidationError, match="no_such_option"):
        adapter.validate_python({**asdict(options), "no_such_option": 1})


@every_check
def test_its_options_are_described(name: str) -> None:
    """Otherwise an editor cannot complete a fleet file, and its writer has to read our source."""
    module = load(_check(name))
    properties = TypeAdapter(module.Options).json_schema().get("properties", {})
    assert set(properties) == {one.name for one in fields(module.Options)}
    assert module.Options.__doc__
    assert not module.Options.__doc__.startswith("Options(")
    assert all(f"`{option}`" in module.Options.__doc__ for option in properties)


def _imports(name: str) -> set[str]:
    tree = ast.parse(Path(str(load(_check(name)).__file__)).read_text("utf-8"))  # type: ignore[attr-defined]
    found = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    found |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return found | {module.split(".")[0] for module in found}


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _crowded(world: World) -> World:
    """The same trouble on very many hosts with very long names."""
    long = "x" * 5_000
    targets, counters = world.reading.targets, world.reading.counters
    many = {
        slot: TargetHealth(100 * one.healthy, 100 * one.unhealthy, 100 * one.unknown, (long,) * 200)
        for slot, one in targets.items()
    }
    more = {slot: replace(one, responses={**one.responses, long: 1}) for slot, one in counters.items()}
    return replace(
        world,
        reading=replace(world.reading, targets=many, counters=more),
        instances=[replace(one, id=f"{one.id}-{n}-{long}") for one in world.instances for n in range(40)],
        environments={
            slot: replace(one, app_version=f"{slot}{long}", fingerprint={f"{n}{long}": slot for n in range(100)})
            for slot, one in world.environments.items()
        },
        inventories={
            slot: [replace(host, host=f"{host.host}-{n}") for host in hosts for n in range(100)]
            for slot, hosts in world.inventories.items()
        },
    )

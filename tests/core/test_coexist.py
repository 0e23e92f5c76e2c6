"""What a service declares of its two sides running at once, and what follows: before anything is changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from providers.local import adapter
from rollout import cli, control
from rollout.coexist import Forbidden
from rollout.plan import UnsafePlan
from rollout.settings import load
from rollout.wiring import Installation
from tests.core.scene import FLEET

LOCAL = """
version: 1
services:
  worker:
    provider: local
    coexist: switched
    options: {switch: {enable: [a], disable: [b], status: [c]}}
"""


def fleet(folder: Path, coexist: str, text: str = FLEET) -> Installation:
    """A fleet whose service declares this."""
    (folder / "fleet.yaml").write_text(text.replace("coexist: safe", f"coexist: {coexist}"))
    return Installation(folder / "fleet.yaml")


def test_a_provider_that_cannot_switch_says_so(tmp_path: Path) -> None:
    """A queue worker is shared by weights that nobody follows, and each job is done twice."""
    with pytest.raises(UnsafePlan, match="shop declares coexist: switched, and provider memory has no commands"):
        control.make_plan(fleet(tmp_path, "switched"), "shop")


def test_a_service_without_commands_is_told_what_to_write(tmp_path: Path) -> None:
    """Somebody is refused, and has to look up why."""
    text = LOCAL.replace("    options: {switch: {enable: [a], disable: [b], status: [c]}}\n", "")
    with pytest.raises(UnsafePlan, match=r"write switch: \{enable: .*below services.worker.options"):
        control.make_plan(fleet(tmp_path, "switched", text), "worker", "v1")
    assert adapter.__all__.count("switches") == 1


def test_a_switched_service_has_defaults_that_can_pass(tmp_path: Path) -> None:
    """Its gates ask over a test route that there is not, or count requests that nobody counts."""
    (tmp_path / "fleet.yaml").write_text(LOCAL)
    worker = load(tmp_path / "fleet.yaml").services["worker"]
    assert worker.traffic.steps == (100,)
    names = {
        gate: [check.name for check in getattr(worker.checks, gate)] for gate in ("preflight", "replacement", "live")
    }
    assert names == {"preflight": ["balancer"], "replacement": ["balancer", "fidelity"], "live": ["balancer"]}
    assert worker.options["switch"]["timeout_s"] == 30.0, "a plan does not say how long a command may take"


def test_forbidden_comes_with_the_procedure_of_this_service(tmp_path: Path) -> None:
    """The refusal is of no use to somebody who has to patch it nevertheless."""
    text = FLEET.replace("replacement: [balancer]", "replacement: [balancer, {http: {path: /ready}}]")
    with pytest.raises(Forbidden) as refused:
        control.make_plan(fleet(tmp_path, "forbidden", text), "shop", "base-7")
    steps = refused.value.procedure
    begins = [step.split(":")[0] for step in steps]
    assert begins == ["keep rollouts off it", "stop", "backup", "patch", "start", "check", "to go back", "let go of it"]
    assert "put base-7 in its place" in steps[3]
    assert "base-1" in steps[2] and "base-1" in steps[6], "what runs now is what to go back to"
    assert "http (path /ready)" in steps[5]
    assert all(step in str(refused.value) for step in steps)


@pytest.mark.parametrize("command", ["plan", "start"])
def test_forbidden_is_exit_code_2_and_a_list(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A script has to take a sentence apart."""
    fleet(tmp_path, "forbidden")
    code = cli.main([command, "shop", "--json", "--config", str(tmp_path / "fleet.yaml")])
    document = json.loads(capsys.readouterr().out)
    assert (code, document["exit_code"], len(document["procedure"])) == (2, 2, 8)

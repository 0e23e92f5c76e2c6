"""One look at a gate: what the checks are told, and how long each may take."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from healthchecks.base import Subject, Verdict
from rollout.gate import GateRule
from rollout.look import look_at
from rollout.plan import CheckSpec, Gate, Plan
from tests.core.scene import World, a_plan


def looked(folder: Path, rule: GateRule) -> list[Subject]:
    """Whom a check that fails was asked about."""
    world, asked = World(folder), list[Subject]()

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        asked.append(subject)
        world.clock.sleep(1.0)
        return Verdict.failed("no")

    world.asking(ask)
    look_at(world.means, world.plan, Gate(rule, (CheckSpec("http", "http"),)), "green", None, 2)
    return asked


def test_a_check_has_the_time_that_its_gate_gives_it(tmp_path: Path) -> None:
    """A check that needs half a minute never knows, whatever the fleet file says."""
    assert [each.timeout_s for each in looked(tmp_path, GateRule(timeout_s=30.0))] == [30.0, 30.0]


def test_both_sides_are_asked_about_one_time(tmp_path: Path) -> None:
    """Figures of two times are compared, and a spike between them is blamed on the patch."""
    this, beside = looked(tmp_path, GateRule())
    assert (this.slot, beside.slot) == ("green", "blue")
    assert this.now == beside.now


def test_a_plan_from_before_means_what_it_meant(tmp_path: Path) -> None:
    """An open rollout cannot go on after an upgrade, or does something else."""
    plan = a_plan()
    data: dict[str, Any] = plan.to_json()
    for gate in data["gates"].values():
        del gate["rule"]["timeout_s"]
    again = Plan.from_json(data)
    assert again.gates["live"].rule == replace(plan.gates["live"].rule, timeout_s=5.0)
    assert again.hash == plan.hash

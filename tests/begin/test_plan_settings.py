"""What a fleet file says reaches the plan, and a second person is one in CI too."""

from __future__ import annotations

from pathlib import Path

import pytest

from providers.memory.clock import VirtualClock
from rollout import actor, interventions
from rollout.control import make_plan, start
from rollout.engine.job import advance
from rollout.plan import Plan
from rollout.wiring import Installation
from tests.begin.test_actor import GITHUB, SYSTEMS
from tests.core.scene import FLEET, HOLDER


def fleet(folder: Path, text: str) -> Installation:
    """A fleet of one simulated service, on virtual time."""
    (folder / "fleet.yaml").write_text(text)
    return Installation(folder / "fleet.yaml", VirtualClock())


def test_notice_and_turning_back_reach_the_plan(tmp_path: Path) -> None:
    """Nobody is told before a way back closes, or a sick side stays although the file says otherwise."""
    changed = FLEET.replace("settle: 1s", "settle: 1s\n    rollback_while_warm: true")
    plan = make_plan(fleet(tmp_path, f"{changed}notify: {{way_back_ending: 20m}}\n"), "shop")
    assert (plan.notice_s, plan.rollback_while_warm) == (1200, True)
    assert Plan.from_json(plan.to_json()) == plan
    (tmp_path / "bare").mkdir()
    plan = make_plan(fleet(tmp_path / "bare", FLEET), "shop")
    assert (plan.notice_s, plan.rollback_while_warm) == (3600, False)


def test_no_pipeline_approves_what_its_own_user_started(tmp_path: Path) -> None:
    """A job asks for approval, and the next job of the same runner gives it under another name."""
    made = fleet(tmp_path, FLEET.replace("settle: 1s", "settle: 1s\n    approval: required"))
    asked = actor.this_actor(GITHUB)
    row = start(made, "shop", image=None, saved=None, key=None, actor=asked, reason="").row
    for _ in range(60):
        made.clock.sleep(max(0.0, made.store.rollout(row.id).due_at - made.clock.now()))
        advance(row.id, made.means("memory"), HOLDER)
        if made.store.rollout(row.id).outcome == "waiting_approval":
            break
    for environ in (*SYSTEMS.values(), {}):
        with pytest.raises(interventions.NotApprovable, match="somebody else has to approve it"):
            interventions.approve(made, row, actor.this_actor(environ))
    interventions.approve(made, row, "boss@elsewhere")
    assert made.store.entries(row.id)[-1].kind == "approved"

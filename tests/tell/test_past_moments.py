"""What was true at a moment that is over: only what the journal knew by then."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rollout.fleet_journal import FLEET
from rollout.journal import GENESIS, Entry, next_entry
from rollout.tell.case import case_at, case_of, open_wait
from rollout.tell.standing import hold_of, last_actor, rollout_at, standing_of
from rollout.tell.words import nothing_told, words_of
from tests.core.scene import ROLLOUT, World, a_plan, phase_is
from tests.core.test_job import failing_live


def as_of(world: World, at: float) -> dict[str, Any]:
    """How it stood then."""
    return standing_of(case_at(world.row, world.store.entries(ROLLOUT), at), at, past=True)


def fleet_entry(kind: str, at: float, **data: Any) -> Entry:
    """As the fleet's own record has it."""
    return next_entry(FLEET, 1, GENESIS, at=at, epoch=0, kind=kind, step="shop", data=data)


def test_every_moment_is_told_as_it_was_told_then(tmp_path: Path) -> None:
    """After an incident, nobody can find out what was true while it went on."""
    world = World(tmp_path, a_plan(approval="required"), ask=failing_live)
    seen = list[tuple[float, str, str, Any, float | None]]()
    for _ in range(200):
        row = world.row
        now = standing_of(case_of(row, world.store.entries(ROLLOUT), world.store.wait(ROLLOUT)), world.clock.now())
        seen.append((world.clock.now(), row.phase, row.outcome, now["traffic"], now["until"]))
        if row.closed_at is not None:
            break
        if row.outcome == "waiting_approval" and not world.entries("approved"):
            world.passes(1.0)
            data = {"by": "boss", "plan_hash": row.plan_hash}
            world.store.decide(ROLLOUT, row.head_seq, "approved", data, world.clock.now())
        world.passes(max(1.0, world.row.due_at - world.clock.now()))
        world.job()
    assert len(seen) > 8
    last_of_each = {at: (phase, outcome, traffic) for at, phase, outcome, traffic, _ in seen}
    for at, expected in last_of_each.items():
        told = as_of(world, at)
        assert (told["phase"], told["outcome"], told["traffic"]) == expected, at
        assert told["past"] and told["commands"] == []


def test_the_phase_and_route_between_two_entries_are_those_of_the_earlier(world: World) -> None:
    """A question about a minute without entries is answered with what came later."""
    world.drive()
    promoted = world.journal.record("promote")
    assert promoted is not None
    told = as_of(world, promoted.at + 30.0)
    assert (told["situation"], told["outcome"], told["active_slot"], told["image"]) == (
        "warm",
        "promoted",
        "green",
        "base-2",
    )
    assert told["until"] == promoted.at + 60.0
    text = words_of(told, 80)
    assert (
        text.startswith("At ") and "by then for 30 s" in text and "You can" not in text and "nobody drives" not in text
    )


def test_who_acted_last_is_a_person_or_this_program(world: World) -> None:
    """Somebody is asked why he changed it, and did not."""
    world.asking(failing_live)
    world.drive()
    decided = world.journal.decision
    assert decided is not None
    before, after = as_of(world, decided.at - 0.1), as_of(world, decided.at)
    assert before["last_actor"] == {"who": "tester", "did": "opened it", "at": world.row.opened_at}
    assert after["last_actor"]["who"] == "this program, by itself"
    held = [fleet_entry("held", decided.at + 50, actor="ci@host", reason="deploy", until=decided.at + 100)]
    assert last_actor([*world.journal.entries, *held]) == {"who": "ci@host", "did": "held", "at": decided.at + 50}


def test_a_wait_is_found_with_the_verdicts_known_then(world: World) -> None:
    """What a gate had seen at that time is lost."""
    world.drive(lambda world: (wait := world.store.wait(ROLLOUT)) is not None and "verdicts" in wait.state)
    then = case_at(world.row, world.store.entries(ROLLOUT), world.clock.now())
    assert then.wait is not None and then.wait.step == "preflight"
    assert then.wait.state["verdicts"]["balancer"]["answer"] == "pass"
    world.drive()
    assert open_wait(world.journal.entries) is None


def test_the_rollout_of_a_moment_is_the_open_one_or_the_last_before(world: World) -> None:
    """The question is answered for another rollout."""
    row = world.row
    rows = [replace(row, id="third", opened_at=300.0), replace(row, id="second", opened_at=200.0)]
    found = {at: getattr(rollout_at(rows, at), "id", None) for at in (199.0, 200.0, 299.0, 300.0, 1e9)}
    assert found == {199.0: None, 200.0: "second", 299.0: "second", 300.0: "third", 1e9: "third"}


@pytest.mark.parametrize(
    ("at", "held"), [(5.0, False), (10.0, True), (19.0, True), (20.0, False), (31.0, True), (40.0, False)]
)
def test_a_hold_is_told_while_it_was_there(at: float, held: bool) -> None:
    """A night without patches has no reason, though somebody held the service."""
    entries = [
        fleet_entry("held", 10.0, actor="ci", reason="deploy", until=20.0),
        fleet_entry("held", 30.0, actor="ci", reason="deploy", until=None),
        fleet_entry("released", 35.0, actor="ci"),
    ]
    known = [entry for entry in entries if entry.at <= at]
    found = hold_of(known, at)
    assert (found is not None) == held
    assert found is None or (found["by"], found["reason"]) == ("ci", "deploy")


def test_before_the_first_rollout_the_image_is_known_from_it(world: World) -> None:
    """What served before anything was patched is said to be unknown, though the first plan found it."""
    told = {
        "service": "shop",
        "at": world.row.opened_at - 60,
        "first": {"id": "shop-1", "opened_at": world.row.opened_at, "slot": "blue", "image": "base-1"},
        "last_actor": None,
        "hold": {"by": "ci", "reason": "", "until": None},
    }
    text = nothing_told(told)
    assert "no rollout of it had begun" in text and "found base-1 on blue" in text and "ci holds the service" in text


def test_a_moment_before_its_first_entry_breaks_nothing(world: World) -> None:
    """A clock that was set back ends the question in a traceback."""
    world.drive(phase_is("shifting"))
    told = as_of(world, world.row.opened_at - 1.0)
    assert told["phase"] == "opened" and told["traffic"] is None and json.dumps(told)

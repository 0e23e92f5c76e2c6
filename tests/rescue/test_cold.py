"""After the window: the earlier image is stood up again by the ordinary command, and that is said at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from rollout import entry, exits
from rollout.freeze import ALL, Freeze, Freezes
from rollout.going_back import HEALTH, as_way_back
from rollout.plan import CheckSpec, Gate, UnsafePlan, raise_if_unsafe
from rollout.rescue import cold
from rollout.store import Store
from tests.core.scene import ROLLOUT, RULE, World, a_plan
from tests.rescue.kit import BACK, CARD, Night

RETIRED = replace(CARD, closed="retired")


def told(night: Night) -> Store:
    """A rollout that took 40 s from its mirror until it was healthy."""
    store = night.store()
    store.append("shop-1", 0, "intended", "mirror", {"token": "t", "attempt": 1, "args": {}, "seen": {}}, 100.0)
    store.append("shop-1", 0, "ended", "healthy", {"outcome": "met"}, 140.0)
    return store


@pytest.mark.parametrize("card", [RETIRED, replace(CARD, valid_until=999.0)])
def test_it_hands_over_and_says_how_long_that_took_last_time(night: Night, card: Any) -> None:
    """A person at night is sent to the manual for a command that is known."""
    told(night)
    night.cards.write(card)
    assert night.rollback("shop", "--reason", "slow", "--ref", "INC-1") == exits.PERSON_NEEDED
    assert "going back cold: blue is stood up again from base-1 first; last time that took 40 s" in night.err
    assert "Until then traffic stays on green" in night.err and "refused" not in night.err
    start = ["start", "shop", "--image", "base-1", "--cold", "--reason", "slow", "--ref", "INC-1"]
    assert night.unfinished == [*start, "--config", str(night.fleet)]
    assert night.toy.calls == []


def test_without_a_stand_up_on_record_no_time_is_made_up(night: Night) -> None:
    """A number is told that nobody measured."""
    night.store()
    night.cards.write(RETIRED)
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "base-1 first. Until" in night.err


@pytest.mark.parametrize("option", ["--no-cold", "--drill"])
def test_it_can_be_left_to_a_person(night: Night, option: str) -> None:
    """A rehearsal stands up hosts."""
    told(night)
    night.cards.write(RETIRED)
    assert night.rollback("shop", option) == exits.PERSON_NEEDED
    assert "rollback refused" in night.err and night.unfinished == []


def test_without_a_store_nobody_knows_the_earlier_image(night: Night) -> None:
    """The command guesses an image, or ends in a traceback."""
    night.cards.write(RETIRED)
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "rollout start shop --image <earlier image> --cold" in night.err and night.unfinished == []


def test_a_script_is_told_the_command_and_nothing_is_started(night: Night) -> None:
    """`--json` is one document, and a script that reads it finds a second one."""
    told(night)
    night.cards.write(RETIRED)
    assert night.rollback("shop", "--json") == exits.PERSON_NEEDED
    said = night.document()
    assert said["next"] == "rollout start shop --image base-1 --cold"
    assert (said["image"], said["took_s"]) == ("base-1", 40.0) and night.unfinished == []


def test_what_a_person_took_as_it_is_does_not_go_back_by_itself(night: Night) -> None:
    """A decision that a person took with care is undone by a habit."""
    told(night)
    night.cards.write(replace(CARD, closed="adopted"))
    assert night.rollback("shop") == exits.PERSON_NEEDED
    assert "a person took what serves as it is" in night.err and night.unfinished == []


def test_an_engine_that_cannot_be_loaded_leaves_the_command(
    night: Night, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken library after a good rollback ends in a traceback, and looks like a failed one."""

    def broken(arguments: list[str]) -> int:
        raise ImportError("no module named typer")

    night.store()
    monkeypatch.setattr(entry, "_ordinary", broken)
    assert entry.run(["rollback", "shop", "--config", str(night.fleet)]) == exits.DONE
    assert night.toy.weights == BACK
    said = capsys.readouterr().err
    assert "the engine cannot be loaded" in said and f"rollout resume shop-1 --config {night.fleet}" in said


@pytest.mark.parametrize(("begun", "healthy", "took"), [(1.0, 31.0, 30.0), (5.0, 4.0, 0.0), (1.0, None, None)])
def test_the_last_stand_up_is_measured_in_the_journal(
    night: Night, begun: float, healthy: float | None, took: float | None
) -> None:
    """The time that is told has nothing to do with what it takes."""
    store = night.store()
    store.append("shop-1", 0, "intended", "mirror", {"token": "t", "attempt": 1, "args": {}, "seen": {}}, begun)
    if healthy is not None:
        store.append("shop-1", 0, "ended", "healthy", {"outcome": "met"}, healthy)
    else:
        store.append("shop-1", 0, "ended", "healthy", {"outcome": "failed", "reason": "", "deny": False}, 9.0)
    assert cold.last_stand_up_s(store, "shop") == took


# The plan


def checks(*names: str) -> Gate:
    """A gate with these checks."""
    return Gate(RULE, tuple(CheckSpec(name, name) for name in names))


def test_the_plan_is_one_step_by_health_alone() -> None:
    """Going back waits for approvals and steps, or fails because the earlier image has the old holes again."""
    gates = {
        "preflight": checks("balancer", "room"),
        "replacement": checks("http", "vulnerabilities", "patches", "fidelity", "listening"),
        "live": checks("vulnerabilities"),
        "bake": checks("metrics"),
    }
    plan = as_way_back(a_plan(gates=gates, approval="one", steps=(10, 100)))
    assert (plan.steps, plan.approval, plan.window, plan.cold) == ((100,), "none", None, True)
    asked = {name: [check.name for check in gate.checks] for name, gate in plan.gates.items()}
    assert asked["replacement"] == ["http"] and asked["live"] == [HEALTH.name] and asked["bake"] == ["metrics"]
    raise_if_unsafe(plan, {})


def test_what_may_not_have_two_sides_goes_back_no_other_way() -> None:
    """A hurry starts a second side of a service that allows only one."""
    with pytest.raises(UnsafePlan):
        raise_if_unsafe(as_way_back(a_plan(coexist="forbidden")), {})


def test_only_such_a_plan_says_that_it_is_one() -> None:
    """The hash of each plan that was ever approved changes with this release."""
    assert "cold" not in a_plan().to_json() and as_way_back(a_plan()).to_json()["cold"] is True


def test_the_side_that_is_left_may_be_as_sick_as_it_is(tmp_path: Path) -> None:
    """The way back is barred by the very fault that it is for."""

    def ask(spec: CheckSpec, subject: Subject) -> Verdict:
        return Verdict.passed("well") if subject.slot == "green" else Verdict.failed("sick")

    world = World(tmp_path, as_way_back(a_plan()), ask=ask)
    row = world.drive(until=lambda now: now.row.outcome == "promoted")
    assert row.outcome == "promoted" and dict(world.weights) == {"blue": 0, "green": 100}


def test_a_freeze_stops_no_way_back(tmp_path: Path) -> None:
    """Everything is frozen because of an incident, and with it the way out of it."""
    world = World(tmp_path, as_way_back(a_plan()))
    Freezes(world.store.db).put(Freeze(ALL, "ops@host", "incident", "", world.clock.now(), None))
    row = world.drive(until=lambda now: now.row.outcome == "promoted")
    assert row.outcome == "promoted" and row.id == ROLLOUT

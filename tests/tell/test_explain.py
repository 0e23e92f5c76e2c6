"""At three in the morning: where it stands, why, what comes by itself, what to type. One test a situation."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from healthchecks.base import Subject, Verdict
from providers.base import weights_for
from rollout.decide import decide_roll_back
from rollout.fleet_journal import FleetJournal
from rollout.holds import Holds
from rollout.plan import CheckSpec
from rollout.rows import Hold
from rollout.tell.ahead import commands, next_by_itself
from rollout.tell.standing import situation_of, standing_of
from rollout.tell.words import HEADLINES
from tests.core.scene import ROLLOUT, World, a_plan, always_pass, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import case_now, standing, words


def asked(world: World, *steps: str) -> bool:
    """Is one of these gates being asked, with a first answer?"""
    wait = world.store.wait(ROLLOUT)
    return wait is not None and wait.step in steps and "verdicts" in wait.state


def typed(told: dict[str, Any]) -> list[str]:
    """The commands that are offered."""
    return [each["command"] for each in told["commands"]]


def says(world: World, kind: str, **data: Any) -> None:
    """A person's word in the journal."""
    world.store.decide(ROLLOUT, world.row.head_seq, kind, data, world.clock.now())


def test_before_anything_was_read(world: World) -> None:
    """A person asks at once after the start and gets a traceback."""
    told = standing(world)
    assert (told["situation"], told["traffic"], told["image"]) == ("acting", None, "base-1")
    assert "not read yet" in words(world)
    assert "rollout rollback shop" not in typed(told)


def test_in_the_middle_of_a_gate(world: World) -> None:
    """Nobody can tell whether it is stuck, and what becomes of it if everybody sleeps."""
    world.drive(lambda world: asked(world, "live:1:50"))
    told = standing(world)
    assert (told["situation"], told["phase"]) == ("gate", "shifting")
    assert told["gate"]["step"] == "live:1:50" and "2 looks in a row" in told["gate"]["rule"]
    assert told["evidence"][0]["on"] == {
        "slot": "green",
        "answer": "pass",
        "summary": "balancer on green",
        "evidence": "",
    }
    assert "100 % of traffic goes to green" in told["next"] and "all traffic goes to blue" in told["next"]
    wait = world.store.wait(ROLLOUT)
    assert wait is not None and told["until"] == wait.started_at + 60.0
    assert typed(told)[0] == "rollout rollback shop"
    assert {"rollout pause shop-1", "rollout abort shop-1 --reason TEXT"} <= set(typed(told))
    assert "green 50 % (base-2)" in words(world) and "1 min left" in words(world)


@pytest.mark.parametrize(
    ("step", "follows"),
    [
        ("preflight", "blue is mirrored"),
        ("proof", "50 % of traffic goes to green"),
        ("live:2:100", "it bakes"),
        ("bake", "green is promoted, and blue stays warm for 1 min"),
    ],
)
def test_what_follows_each_gate(world: World, step: str, follows: str) -> None:
    """A person expects another step than the one that comes."""
    world.drive(lambda world: asked(world, step))
    told = standing(world)
    assert follows in told["next"]
    assert ("nothing was changed" in told["next"]) == (step == "preflight")


def test_while_it_waits_for_hosts(world: World) -> None:
    """A launch that takes long looks like one that hangs."""
    world.drive(lambda world: (wait := world.store.wait(ROLLOUT)) is not None and wait.step == "running")
    told = standing(world)
    assert told["situation"] == "waiting" and told["until"] == world.clock.now() + 600.0
    assert "2 instances of green running" in told["why"][0]
    assert told["undo_limit_s"] == 60.0 and "unpin, park or delete" in told["undo"]


def test_waiting_for_approval(tmp_path: Path) -> None:
    """It waits for somebody who does not know it."""
    world = World(tmp_path, a_plan(approval="required"))
    world.drive(lambda world: world.row.outcome == "waiting_approval")
    told = standing(world)
    assert told["situation"] == "waiting_approval" and typed(told)[0] == "rollout approve shop-1"
    assert told["until"] == world.clock.now() + 7 * 86400.0
    assert "50 % of traffic goes to green" in told["next"] and "it turns back" in told["next"]
    assert "second person" in words(world)


def test_paused_while_green_has_traffic(world: World) -> None:
    """A paused rollout is thought to be safe, and nobody says that it may turn back."""
    world.drive(lambda world: asked(world, "live:1:50"))
    says(world, "paused", by="ops@host", reason="lunch")
    world.job()
    told = standing(world)
    assert told["situation"] == "paused" and "ops@host paused it: lunch" in told["why"]
    assert "is watched" in told["next"] and told["until"] is None
    assert typed(told)[:2] == ["rollout resume shop-1", "rollout rollback shop"]
    assert told["last_actor"]["who"] == "ops@host"
    assert "shop-1 is paused" in words(world)


def test_warm_and_well(world: World) -> None:
    """Nobody knows until when there is a way back."""
    world.drive(phase_is("warm"))
    world.job()
    told = standing(world, driver="serve (pid 7)")
    promoted = world.journal.value("promote")
    assert told["situation"] == "warm" and told["until"] == promoted["valid_until"]
    assert told["why"] == ["every gate passed"] and "only told" in told["next"]
    assert typed(told)[0] == "rollout rollback shop"
    assert "driven by serve (pid 7)" in words(world, driver="serve (pid 7)")
    assert "nobody drives it now" in words(world)


def test_warm_and_failing(world: World) -> None:
    """The pager rings, and explain says that all is well."""
    world.drive(phase_is("warm"))
    world.asking(failing_live)
    for _ in range(4):
        world.job()
        world.passes(10.0)
        if world.journal.warnings:
            break
    told = standing(world)
    assert told["situation"] == "warm" and any("errors under traffic" in why for why in told["why"])
    assert told["evidence"][0]["on"]["summary"] == "errors under traffic"
    assert told["evidence"][0]["beside"]["slot"] == "blue"


def test_held_by_somebody_else(world: World) -> None:
    """A deployment pipeline holds the service, and the rollout looks as if it hung."""
    world.drive(phase_is("warm"))
    now = world.clock.now()
    Holds(world.store.db).put(Hold("shop", "ci@host", "deploy 7", "", now, now + 9999.0))
    world.passes(60.0)
    for _ in range(3):
        world.job()
    told = standing(world, fleet=FleetJournal(world.store.db).entries(subject="shop"))
    assert told["situation"] == "held" and told["why"] == ["ci@host holds the service: deploy 7"]
    assert typed(told)[0] == "rollout hold shop --release" and told["hold"]["until"] == now + 9999.0
    assert told["last_actor"]["who"] == "ci@host"
    assert "stands still" in words(world) and "nothing watches it" in words(world)


SITUATIONS = (
    "halted paused held waiting_approval warm warm_over gate waiting acting rolling_back adopting retiring"
    " closed_promoted closed_rolled_back closed_aborted closed_by_hand adopted"
)


@pytest.mark.parametrize("situation", SITUATIONS.split())
@pytest.mark.parametrize("way_back_open", [True, False])
def test_every_command_that_is_offered_can_be_typed(world: World, situation: str, way_back_open: bool) -> None:
    """At three in the morning, the command that was offered is not known."""
    import typer.main

    from rollout.cli import app

    program: Any = typer.main.get_command(app)
    world.asking(failing_live)
    world.drive()
    offered = commands(case_now(world), situation, way_back_open)
    assert offered[-1]["command"] == "rollout report shop-1"
    for each in offered:
        _, name, *arguments = each["command"].split()
        command = program.commands[name]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} <= options, each
        assert ("rollout rollback" in each["command"]) <= (way_back_open or situation == "halted")
    assert HEADLINES[situation] and next_by_itself(case_now(world), situation)["next"]


@pytest.mark.parametrize("ended", ["early", "in time"])
def test_a_way_back_that_is_over_is_not_offered(world: World, ended: str) -> None:
    """A person relies on a way back that was given up."""
    world.drive(phase_is("warm"))
    if ended == "early":
        says(world, "warm_ended", by="ops@host")
        assert standing(world)["last_actor"]["did"] == "gave the way back up early"
    else:
        world.passes(61.0)
    told = standing(world)
    assert told["situation"] == "warm_over" and told["until"] is None and not told["way_back_open"]
    assert typed(told) == ["rollout resume shop-1", "rollout report shop-1"]
    assert "way back to" in words(world) and "is over" in words(world)


def test_rolling_back_says_what_was_seen_on_both_sides(world: World) -> None:
    """It turned back by itself, and nobody can say why without reading the journal."""
    world.asking(failing_live)
    world.drive(phase_is("rolling_back"))
    told = standing(world)
    assert told["situation"] == "rolling_back"
    assert "turned back by itself" in told["why"][0] and "2 times in a row" in told["why"][0]
    (evidence,) = told["evidence"]
    assert evidence["on"]["slot"] == "green" and evidence["on"]["summary"] == "errors under traffic"
    assert evidence["beside"] == {"slot": "blue", "answer": "pass", "summary": "good", "evidence": ""}
    assert told["gate"]["gate"] == "live"
    assert any("traffic: blue 100 %" in each["text"] for each in told["done"])
    text = words(world)
    assert "is turning back to blue" in text and "at the same time pass on" in text


def test_rolled_back_offers_what_can_be_done_next(world: World) -> None:
    """The image is denied, and nobody knows how to allow it again."""
    world.asking(failing_live)
    world.drive()
    told = standing(world)
    assert told["situation"] == "closed_rolled_back" and told["active_slot"] == "blue"
    assert typed(told) == [
        "rollout start shop --image REF",
        "rollout deny shop base-2 --lift",
        "rollout report shop-1",
    ]
    assert any("traffic was back" in each["text"] for each in told["done"])
    assert "nobody drives it" not in words(world)


def test_halted_by_a_strangers_edit(world: World) -> None:
    """Somebody changed the route by hand, and the next person overwrites it."""
    world.drive(phase_is("shifting"))
    world.edit(30)
    world.drive()
    told = standing(world)
    assert told["situation"] == "halted" and "someone else changed the route" in told["why"][0]
    assert told["traffic"] == {"blue": 70, "green": 30}  # as it was found
    assert "until a person decides" in told["next"] and told["until"] is None
    assert typed(told)[:2] == ["rollout resume shop-1", "rollout rollback shop"]
    assert "--force" not in " ".join(typed(told))
    assert "HALTED" in words(world)


def test_halted_because_the_original_cannot_serve(world: World) -> None:
    """It should have turned back, did not, and the person is not told what --force would do."""
    world.drive(lambda world: asked(world, "live:1:50"))
    world.cloud.switches.health_lies["shop/blue"] = "unhealthy"
    world.passes(1.0)
    decide_roll_back(
        world.store, world.provider, ROLLOUT, kind="abort", reason="slow", actor="me", at=world.clock.now()
    )
    told = standing(world)
    assert told["situation"] == "halted" and any("could not serve" in why for why in told["why"])
    assert "rollout rollback shop --force" in typed(told)


def test_taken_as_it_is(world: World) -> None:
    """After an adoption, explain still offers a rollback."""
    world.drive(phase_is("shifting"))
    world.edit(100)
    says(world, "adopted", by="ops@host", reason="it is right so", route=weights_for("green", 100), active="green")
    told = standing(world)
    assert told["situation"] == "adopting" and "took what serves as it is" in told["why"][0]
    assert typed(told) == ["rollout resume shop-1", "rollout report shop-1"]
    world.drive()
    told = standing(world)
    assert told["situation"] == "adopted" and "taken as it was" in words(world)


def test_closed_by_hand_says_who(world: World) -> None:
    """A service that was taken down is told as one that serves."""
    world.drive(phase_is("warm"))
    world.store.decide(
        ROLLOUT,
        world.row.head_seq,
        "closed",
        {"outcome": "promoted", "by": "ops@host", "reason": "the service was taken down"},
        world.clock.now(),
        outcome="promoted",
    )
    told = standing(world)
    assert told["situation"] == "closed_by_hand" and told["why"][0] == "ops@host closed it: the service was taken down"
    assert "somebody closed it" in words(world)


def test_promoted_and_over(world: World) -> None:
    """A finished rollout is told as one that waits for somebody."""
    world.drive()
    told = standing(world)
    assert told["situation"] == "closed_promoted" and typed(told) == ["rollout report shop-1"]
    assert told["undo"] == "a new rollout" and told["undo_limit_s"] is None


def test_trouble_with_the_platform_is_told(world: World) -> None:
    """The platform throttles, and it looks as if nothing happened for no reason."""
    world.drive(phase_is("patching"))
    says(world, "troubled", reason="Throttled: slow down")
    assert any("Throttled: slow down" in why for why in standing(world)["why"])


def test_a_pruned_journal_is_said_to_be(world: World) -> None:
    """An old rollout is explained from nothing, as if that were all."""
    world.drive()
    case = case_now(world)
    pruned = replace(case, entries=(), journal=type(case.journal)([]))
    assert situation_of(pruned) == "closed_promoted"
    assert "pruned" in standing_of(pruned, world.clock.now())["why"][0]


def test_a_phase_of_a_later_release_is_no_reason_to_fail(world: World) -> None:
    """After a downgrade, nobody can ask how it stands."""
    case = case_now(world)
    told = standing_of(replace(case, row=replace(case.row, phase="orbiting")), world.clock.now())
    assert told["undo"] == "not known to this release"


def always_hostile(spec: CheckSpec, subject: Subject) -> Verdict:
    """A check whose output tries to steer a terminal."""
    return Verdict.failed("\x1b[2J\u202egood\x07")


@pytest.mark.parametrize("ask", [always_pass, failing_live, always_hostile])
def test_every_moment_of_a_rollout_can_be_explained(tmp_path: Path, ask: Callable[..., Verdict]) -> None:
    """Explain fails exactly in the moment in which it is needed."""
    world = World(tmp_path, a_plan(approval="required"), ask=ask)
    for _ in range(200):
        told = standing(world)
        assert json.dumps(told) and told["since"] <= world.clock.now() and told["next"]
        text = words(world)
        assert "\x1b" not in text and "\u202e" not in text
        lines = [line for line in text.splitlines() if "rollout " not in line]
        assert all(len(line) <= 80 for line in lines), lines
        if world.row.outcome == "waiting_approval" and not world.entries("approved"):
            says(world, "approved", by="boss", plan_hash=world.row.plan_hash)
        if world.row.closed_at is not None:
            return
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()
    raise AssertionError("it never ended")

"""Where traffic was, as the journal proves it; how long it took to be back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollout.tell.case import case_of
from rollout.tell.gates import evidence_told, gates_of, rule_words, side_asked
from rollout.tell.traffic import last_known, marks_of, most_of, points_of, swaps_of
from tests.core.scene import ROLLOUT, World, phase_is
from tests.core.test_job import failing_live
from tests.tell.kit import case_now, entry


def test_every_route_is_told_once_with_how_it_is_known(world: World) -> None:
    """The report shows traffic where it was only meant to go."""
    world.drive()
    told = [(point.how, dict(point.weights)["green"], point.step) for point in points_of(case_now(world))]
    assert told == [("captured", 0, "capture"), ("declared", 50, "swap:1:50"), ("declared", 100, "swap:2:100")]


def test_a_strangers_route_is_told_as_found(world: World) -> None:
    """A change by hand is told as if this program had made it."""
    world.drive(phase_is("shifting"))
    world.edit(30)
    world.drive()
    point = points_of(case_now(world))[-1]
    assert (point.how, dict(point.weights)) == ("found", {"blue": 70, "green": 30})
    assert last_known(case_now(world)) == {"blue": 70, "green": 30}
    assert [text for _, text in marks_of(case_now(world))] == ["halted"]


def test_an_intent_is_no_route(world: World) -> None:
    """A swap that never took effect is drawn."""
    world.drive(phase_is("proving"))
    before = points_of(case_now(world))
    meant = entry(
        "intended",
        "swap:1:50",
        args={"weights": {"blue": 50, "green": 50}},
        seen={"weights": {"blue": 100, "green": 0}},
    )
    after = case_of(world.row, [*world.journal.entries, replace(meant, seq=99)])
    assert points_of(after) == before


def test_swaps_have_their_durations(world: World) -> None:
    """Nobody can say how long a swap takes."""
    world.asking(failing_live)
    world.drive()
    first, back = swaps_of(case_now(world))
    assert (first.step, first.write_s, first.followed_s) == ("swap:1:50", 0.0, 0.5)
    assert (back.step, dict(back.weights), back.followed_s) == ("back:swap", {"blue": 100, "green": 0}, 5.0)


def test_what_most_of_the_traffic_meets() -> None:
    """The image that serves is told wrong."""
    assert most_of({"blue": 90, "green": 10}) == "blue" and most_of({"blue": 0, "green": 100}) == "green"
    assert most_of(None) is None and most_of({}) is None


def test_the_time_until_traffic_was_back(world: World) -> None:
    """The number that the on-call engineer is measured by is wrong."""
    world.asking(failing_live)
    world.drive()
    case = case_now(world)
    assert case.back_s == 0.0 and case.confirmed_s == 5.0 and not case.back_within
    later = [replace(each, at=each.at + 3.0) if each.step == "back:swap" else each for each in case.entries]
    assert case_of(case.row, later).back_s == 3.0


def test_no_time_is_told_where_no_traffic_had_moved(world: World) -> None:
    """A patch that never had traffic is told as a rollback of zero seconds."""
    world.drive(phase_is("proving"))
    world.store.decide(
        ROLLOUT,
        world.row.head_seq,
        "roll_back_decided",
        {"kind": "abort", "reason": "x", "actor": "me", "deny": False, "readiness": "fine", "route": None},
        world.clock.now(),
    )
    world.drive()
    case = case_now(world)
    assert world.row.phase == "rolled_back" and not case.traffic_moved
    assert case.back_s is None and case.confirmed_s is None


def test_an_emergency_rollback_is_told_as_at_most(world: World) -> None:
    """The way back that took a second is told as half a minute, or one that took half a minute as a second."""
    world.drive(phase_is("warm"))
    said = {"kind": "rollback", "reason": "x", "actor": "me", "deny": False, "readiness": "fine", "by_person": True}
    decided = {**said, "route": {"blue": 0, "green": 100}}
    world.store.decide(ROLLOUT, world.row.head_seq, "roll_back_decided", decided, world.clock.now(), outcome="running")
    world.edit(0)
    world.passes(4.0)
    world.drive()
    case = case_now(world)
    assert case.back_within and case.back_s == pytest.approx(4.0, abs=0.6)


def test_a_decision_that_waited_for_the_store_counts_from_when_it_was_taken(world: World) -> None:
    """A rollback without the store is told as instant, or as taken before it was asked for."""
    world.asking(failing_live)
    world.drive()
    decided = [
        replace(each, data={**each.data, "spooled": True, "at": each.at - 20.0})
        if each.kind == "roll_back_decided"
        else each
        for each in world.journal.entries
    ]
    case = case_of(world.row, decided)
    assert case.back_s == 20.0


# Gates


def test_a_gate_that_was_paused_began_anew() -> None:
    """A gate is told as open for ever because somebody paused meanwhile."""
    rule = {"passes": 1}
    gates = gates_of(
        [
            entry("waiting", "proof", at=1.0, gate="replacement", rule=rule),
            entry("verdict_changed", "proof", at=2.0, check="c", answer="fail", summary="s"),
            entry("waiting", "paused:7", at=3.0),
            entry("waiting", "proof", at=5.0, gate="replacement", rule=rule),
            entry("ended", "proof", at=6.0, outcome="passed", why="1 passes"),
            entry("waiting", "live:1:50", at=7.0, gate="live", rule=rule),
            entry("roll_back_decided", at=8.0),
        ]
    )
    assert [(gate.step, gate.outcome, gate.ended_at, len(gate.changes)) for gate in gates] == [
        ("proof", "left", 3.0, 1),
        ("proof", "passed", 6.0, 0),
        ("live:1:50", "left", 8.0, 0),
    ]


def test_a_rule_reads_as_a_sentence() -> None:
    """A person at night has to know what passes and soak_s mean."""
    rule = {"passes": 3, "failures": 1, "interval_s": 5.0, "deadline_s": 300.0, "unknown_limit_s": 60.0, "soak_s": 0.0}
    words = rule_words(rule)
    assert "every 5 s" in words and "3 looks in a row that pass" in words and "1 look in a row" in words
    assert "longer than 1 min" in words and "within 5 min" in words
    assert "with 2 min of watched time," in rule_words({**rule, "soak_s": 120.0})


def test_only_the_preflight_is_about_the_original() -> None:
    """A failing patch is told as a failing original."""
    assert side_asked("preflight", "blue", "green") == "blue"
    assert {side_asked(gate, "blue", "green") for gate in ("replacement", "live", "bake")} == {"green"}


def test_evidence_is_short_and_says_so() -> None:
    """One check's dump makes the report unreadable."""
    assert evidence_told({}) == evidence_told(None) == evidence_told("text") == ""
    assert evidence_told({"b": 1, "a": "\x1b"}) == '{"a": "\\u001b", "b": 1}'
    assert evidence_told({"x": "y" * 9000}).endswith("more characters, which the journal has)")

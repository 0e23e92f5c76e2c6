"""One stream of events: what JSON lines, plain lines and the live view are told is the same, and plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.base import plain
from rollout.gate import GateRule, GateState
from rollout.journal import Entry
from rollout.rows import Wait
from rollout.view.stream import TOLD, Event, Picture, of_driver, of_entry, of_wait, said
from tests.core.scene import World
from tests.views.kit import looked, picture, sides, stands

RULE: dict[str, Any] = plain(GateRule(deadline_s=100.0, soak_s=20.0))


def entry(kind: str, step: str = "", **data: Any) -> Entry:
    """An entry of this kind."""
    return Entry("shop-1", 4, 100.0, 1, kind, step, data, "", "")


def gate(**changes: Any) -> Wait:
    """A wait at a gate that was looked at twice."""
    judged = GateState(passes=2, observed_s=5.0, looked_at=140.0).to_json()
    verdicts = {"http": {"answer": "pass", "summary": "200\nin \x1b[31m4 ms", "at": 140.0}}
    state = {"gate": "live", "rule": RULE, "judged": judged, "seen": "pass; 2 of 3", "verdicts": verdicts, **changes}
    return Wait("live:1:10", 100.0, None, 145.0, state)


def test_an_entry_keeps_the_fields_that_scripts_read() -> None:
    """A pipeline that reads `start --json` breaks with an upgrade."""
    event = of_entry(entry("done", "swap:1:10", value={"weights": {"blue": 90, "green": 10}}))
    assert event.line == {
        "event": "done",
        "id": "shop-1",
        "seq": 4,
        "at": 100.0,
        "step": "swap:1:10",
        "text": "traffic: blue 90 %, green 10 %",
    }
    assert (event.text, event.at) == ("traffic: blue 90 %, green 10 %", 100.0)


def test_a_look_keeps_the_fields_that_scripts_read() -> None:
    """The same for looks at a wait."""
    line = of_wait("shop-1", gate(), 141.0).line
    assert line is not None
    assert {name: line[name] for name in ("event", "step", "seen", "text", "waits")} == {
        "event": "looked",
        "step": "live:1:10",
        "seen": "pass; 2 of 3",
        "text": None,
        "waits": "live:1:10: pass; 2 of 3",
    }


def test_a_look_at_a_gate_has_its_progress_and_its_end() -> None:
    """Nobody can tell how much longer a soak takes, or when it would be given up."""
    data = of_wait("shop-1", gate(), 141.0).data
    assert data["soak"] == {"passes": 2, "of_passes": 3, "observed_s": 5.0, "of_s": 20.0}
    assert data["until"] == 200.0
    judged = {**gate().state["judged"], "lost_s": 1000.0, "discarded_s": 70.0}
    assert of_wait("shop-1", gate(judged=judged), 141.0).data["until"] == 200.0 + 1000 + 20, "as the gate judges it"


def test_verdicts_are_told_on_one_line_each() -> None:
    """A check's answer moves the cursor of whoever watches."""
    assert of_wait("shop-1", gate(), 141.0).data["verdicts"] == {
        "http": {"answer": "pass", "summary": "200 in �[31m4 ms", "at": 140.0}
    }


@pytest.mark.parametrize(
    ("wait", "until"),
    [
        (Wait("healthy", 1.0, 61.0, 2.0, {"for": "2 targets", "seen": "1 of 2"}), 61.0),
        (Wait("keep-warm", 1.0, None, 2.0, {"for": "time", "until": 99.0, "gate": "live", "judged": {"x": 1}}), 99.0),
        (Wait("approval", 1.0, 500.0, 2.0, {"for": "approval"}), 500.0),
        (Wait("paused:7", 1.0, None, 2.0, {"for": "a person", "seen": "paused by me: x", "judged": {"x": 1}}), None),
        (Wait("live:1:10", 1.0, None, 2.0, {"gate": "live"}), None),
    ],
)
def test_every_wait_says_until_when(wait: Wait, until: float | None) -> None:
    """A countdown ends at a time at which nothing happens."""
    data = of_wait("shop-1", wait, 5.0).data
    assert (data["until"], data["soak"], data["verdicts"]) == (until, None, {})


def test_what_is_only_shown_is_no_json_line() -> None:
    """A script that reads lines meets a whole summary for each of them."""
    assert Event("stands", stands()).line is None
    assert Event("listed", {"rollouts": []}).line is None
    assert said("left at once").line is None
    assert of_driver("shop-1", "process 12 on host").line == {
        "event": "driven",
        "id": "shop-1",
        "by": "process 12 on host",
    }


def test_a_picture_is_what_was_told_last() -> None:
    """The view shows an older reading than there is."""
    made = picture(
        Event("stands", stands(phase="proving")), Event("stands", stands()), Event("traffic", sides()),
        Event("looked", looked()),
    )  # fmt: skip
    assert (made.stands, made.looked, made.traffic) == (stands(), looked(), sides())
    assert Picture().after(Event("recovered")) == Picture()


@pytest.mark.parametrize("kind", ["ended", "failed", "roll_back_decided", "halted", "resumed", "closed", "adopted"])
def test_a_wait_that_is_over_is_not_shown(kind: str) -> None:
    """The verdicts of the last gate stand beside the next step, and are taken for its own."""
    assert picture(Event("looked", looked()), Event(kind)).looked == {}


def test_the_last_sentences_are_kept() -> None:
    """A terminal that was made smaller has nothing to show what went before."""
    made = picture(*(said(f"line {number}") for number in range(TOLD + 3)), Event("looked", looked()))
    assert [event.text for event in made.told] == [f"line {number}" for number in range(3, TOLD + 3)]


@given(st.lists(st.sampled_from(["opened", "looked", "traffic", "stands", "ended", "said", "anything"])))
def test_any_stream_adds_up(kinds: list[str]) -> None:
    """An event that nobody thought of ends the view."""
    data = {"looked": looked(), "traffic": sides(), "stands": stands()}
    made = picture(*(Event(kind, data.get(kind, {}), kind) for kind in kinds))
    assert len(made.told) == min(TOLD, len(kinds))
    assert bool(made.stands) == ("stands" in kinds)


def test_every_event_of_a_real_rollout_is_plain_data(world: World) -> None:
    """`start --json` ends with a traceback in the middle of a rollout."""
    for _ in range(200):
        wait = world.store.wait(world.row.id)
        if wait:
            assert json.dumps(of_wait(world.row.id, wait, world.clock.now()).line)
        if world.row.closed_at is not None:
            break
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()
    assert world.row.outcome == "promoted"
    assert all(json.dumps(of_entry(each).line) for each in world.journal.entries)

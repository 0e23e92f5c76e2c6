"""Words for a person who was asleep a minute ago: short lines, what matters first, commands that can be copied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.tell.chart import svg
from rollout.tell.words import HEADLINES, words_of
from tests.tell.kit import HOSTILE, Shape, is_plain

TOLD: dict[str, Any] = {
    "id": "shop-1",
    "service": "shop",
    "at": 1000.0,
    "past": False,
    "situation": "gate",
    "since": 940.0,
    "phase": "shifting",
    "outcome": "running",
    "original": "blue",
    "replacement": "green",
    "traffic": {"blue": 90, "green": 10},
    "traffic_read": "live",
    "image": f"sha256:{'ab' * 32}",
    "images": {"blue": f"sha256:{'ab' * 32}", "green": f"sha256:{'cd' * 32}"},
    "why": ["at live:1:10 it waits for: gate live"],
    "evidence": [],
    "gate": {"step": "live:1:10", "gate": "live", "rule": "It is asked often."},
    "done": [],
    "next": "it goes on",
    "until": None,
    "undo": "put traffic back",
    "undo_limit_s": 90.0,
    "commands": [{"command": "rollout rollback shop", "does": "put it back"}],
    "driven_by": None,
    "last_actor": None,
    "hold": None,
}


def text_of(**changes: Any) -> str:
    """In words, with something else than usual."""
    return words_of({**TOLD, **changes}, 80)


def test_the_first_lines_say_what_where_and_since_when() -> None:
    """The one thing that matters is at the end of two screens."""
    first, since, *rest = text_of().splitlines()
    assert first == "shop-1 is being proven at gate live:1:10"
    assert since.endswith("for 1 min (phase shifting)")
    traffic = "traffic blue 90 % (sha256:abababababab), green 10 % (sha256:cdcdcdcdcdcd), read now"
    assert " ".join(" ".join(rest[:2]).split()).startswith(traffic)


@pytest.mark.parametrize("situation", sorted(HEADLINES))
def test_every_situation_has_a_headline_with_its_sides(situation: str) -> None:
    """A placeholder stands where the side should be named."""
    first = text_of(situation=situation).splitlines()[0]
    assert first.startswith("shop-1 ") and "{" not in first


def test_a_situation_of_a_later_release_is_no_traceback() -> None:
    """One new word ends every explanation."""
    assert text_of(situation="closed_in_orbit").startswith("shop-1 is over")


def test_time_that_is_left_and_time_that_has_passed() -> None:
    """A deadline that is over is told as one to come."""
    assert "(5 min left)" in text_of(until=1300.0)
    assert "(that time has passed)" in text_of(until=900.0)
    assert "until 1970" not in text_of(until=None)


def test_who_drives_or_that_nobody_does() -> None:
    """A person waits for a step that nobody will take."""
    assert "nobody drives it now, so nothing happens" in " ".join(text_of().split())
    assert "driven by serve 7" in text_of(driven_by="serve 7")
    assert "nobody" not in text_of(situation="halted") and "nobody" not in text_of(situation="closed_promoted")
    assert "nothing watches it" in text_of(situation="paused")


def test_the_past_has_no_commands_and_says_when_it_was() -> None:
    """A command is typed that was right two hours ago."""
    text = text_of(past=True, commands=[])
    assert text.startswith("At 1970-01-01 00:16:40") and "You can" not in text and "nobody" not in text


def test_commands_are_never_folded() -> None:
    """A copied command is cut in half."""
    long = {"command": f"rollout abort {'s' * 60} --reason TEXT", "does": "stop it and put everything back"}
    text = text_of(commands=[*TOLD["commands"], long])
    assert f"  {long['command']}\n      {long['does']}" in text and "  rollout rollback shop\n      put it back" in text
    assert "  rollout rollback shop  put it back" in text_of()


def test_both_sides_of_the_evidence_are_told() -> None:
    """Nobody can see that the other side was well at the same time."""
    side = {"slot": "green", "answer": "fail", "summary": "9 of 10 failed", "evidence": ""}
    beside = {"slot": "blue", "answer": "pass", "summary": "0 of 90 failed", "evidence": ""}
    text = " ".join(text_of(evidence=[{"check": "http", "finding": "fail", "on": side, "beside": beside}]).split())
    assert "check http: fail on green: 9 of 10 failed; at the same time pass on blue: 0 of 90 failed" in text


@given(st.sampled_from(HOSTILE) | st.text(alphabet=st.characters(codec=None), max_size=300))
def test_nothing_that_others_wrote_reaches_the_terminal(text: str) -> None:
    """A reason clears the screen on which it is read."""
    actor = {"who": text, "did": "held", "at": 1.0}
    hold = {"by": text, "reason": text, "until": None}
    side = {"slot": "green", "answer": text, "summary": text, "evidence": text}
    evidence = [{"check": text, "finding": text, "on": side, "beside": side}]
    told = text_of(why=[text], evidence=evidence, last_actor=actor, hold=hold, driven_by=text, next=text)
    assert is_plain(told) and told.encode()


def test_the_legend_names_both_sides_and_their_roles() -> None:
    """In the second rollout green is the original, and the drawing is read the wrong way round."""
    points = [{"after_s": 1.0, "weights": {"blue": 0, "green": 100}}]
    shape = Shape(svg({"original": "green", "replacement": "blue", "points": points, "marks": []}))
    assert "green (original)" in shape.text and "blue (replacement)" in shape.text

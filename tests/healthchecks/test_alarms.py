"""Alarms of the platform's own, as a verdict."""

from __future__ import annotations

import pytest

from healthchecks import alarms
from healthchecks.alarms import Options
from providers.base import Alarm
from tests.healthchecks.fakes import World


def world(**states: str) -> World:
    """Alarms in these states."""
    return World(alarms={name: Alarm(name, state, "because") for name, state in states.items()})  # type: ignore[arg-type]


def test_the_slots_alarm_is_asked_for() -> None:
    """Otherwise the other side's alarm turns a good patch back."""
    seen = world(errors_blue="alarm", errors_green="ok")
    options = Options(["errors_{slot}"])
    assert alarms.ask(options, seen.subject("replacement")).answer == "pass"
    assert alarms.ask(options, seen.subject("original")).answer == "fail"


def test_both_sides_are_read_at_once() -> None:
    """Otherwise comparing with the side beside doubles the calls."""
    seen = world(errors_green="alarm", errors_blue="ok", all="ok")
    subject = seen.subject()
    alarms.ask(Options(["errors_{slot}", "all"]), subject)
    assert seen.asked == [("alarms", ("errors_blue", "errors_green", "all"))]


def test_the_share_that_rings_is_the_severity() -> None:
    """Otherwise one alarm of four weighs as much as all of them."""
    verdict = alarms.ask(Options(["a", "b", "c", "d"]), world(a="ok", b="alarm", c="ok", d="unknown").subject())
    assert (verdict.answer, verdict.severity) == ("fail", 0.25)
    assert "b: because" in verdict.summary


@pytest.mark.parametrize(("missing", "answer"), [("unknown", "unknown"), ("ok", "pass")])
@pytest.mark.parametrize("states", [{"a": "ok"}, {"a": "ok", "b": "unknown"}])
def test_silence_is_what_the_user_says(missing: str, answer: str, states: dict[str, str]) -> None:
    """Otherwise an alarm that was renamed passes every gate, or one that sleeps at night blocks them all."""
    verdict = alarms.ask(Options(["a", "b"], missing), world(**states).subject())  # type: ignore[arg-type]
    assert verdict.answer == answer
    assert len(verdict.evidence["silent"]) == 1


def test_an_alarm_needs_a_name() -> None:
    """Otherwise a check without alarms passes for ever."""
    for names in ([], ["a", " "]):
        with pytest.raises(ValueError, match="at least one alarm"):
            Options(names)

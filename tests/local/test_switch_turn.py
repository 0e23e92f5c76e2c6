"""The switch of a service without a balancer: whatever its commands do, never both sides, and never none for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.local.balancer import store
from providers.local.switch import turn as turns
from providers.local.switch.command import Ended
from providers.local.switch.model import Switch
from providers.local.switch.sides import Said, Sides
from providers.local.switch.turn import TURN, Overtaken, Stopped, Turn

GOOD, NO, UNKNOWN_DONE, UNKNOWN_NOT, LIE = "good", "no", "unknown but done", "unknown and not done", "lie"
HOWS = (GOOD, NO, UNKNOWN_DONE, UNKNOWN_NOT, LIE)


class FakeSides:
    """Two sides whose commands behave as they are told, one after the other; `truth` is which of them take work."""

    def __init__(self, hows: Iterator[str], unknown: Iterator[bool]) -> None:
        self.truth = {"blue": True, "green": False}
        self.ever_both = False
        self._hows, self._unknown = hows, unknown
        self.on_act: Callable[[], None] = lambda: None

    def ask(self, slot: str) -> Said:
        """The truth, or nothing."""
        if next(self._unknown, False):
            return Said("unknown", f"the status command of {slot} said nothing")
        return Said("enabled" if self.truth[slot] else "disabled")

    def act(self, action: str, slot: str, tag: str, revision: int, began: Callable[[int], None]) -> Ended:
        """As the next word says."""
        how = next(self._hows, GOOD)
        self.on_act()
        if how in (GOOD, UNKNOWN_DONE):
            self.truth[slot] = action == "enable"
        self.ever_both = self.ever_both or all(self.truth.values())
        return {
            GOOD: Ended(0),
            LIE: Ended(0),
            NO: Ended(1, why="ended with exit code 1"),
        }.get(how, Ended(None, why="did not end within 1 s and was killed"))


def a_turn(folder: Path, sides: FakeSides, *, forced: bool = False) -> tuple[store.StateStore, Turn]:
    """A switch that is about to begin; blue is declared."""
    store.create(folder, {"blue": 100, "green": 0}, {"blue": ["127.0.0.1:1"], "green": ["127.0.0.1:2"]})
    held = store.StateStore.open(folder, 1.0)
    return held, Turn(held, folder, cast(Sides, sides), "token", forced=forced)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that said no is asked again at once."""
    monkeypatch.setattr(turns, "AGAIN_S", 0.0)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(HOWS), max_size=8), st.lists(st.booleans(), max_size=8))
def test_never_both_and_what_is_settled_is_settled(hows: list[str], unknown: list[bool]) -> None:
    """A failing command leaves two sides at work, or none, and nobody is told."""
    sides = FakeSides(iter(hows), iter(unknown))
    with TemporaryDirectory() as folder:
        held, turn = a_turn(Path(folder), sides)
        try:
            turn.to("green")
        except Stopped as stopped:
            if stopped.settled:
                assert sides.truth == {"blue": True, "green": False}, str(stopped)
                assert not (Path(folder) / TURN).exists()
            assert held.state.weights == {"blue": 100, "green": 0}
        else:
            assert sides.truth == {"blue": False, "green": True}
            assert held.state.weights == {"blue": 0, "green": 100}
        assert not sides.ever_both
        held.close()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(HOWS), max_size=8), st.lists(st.booleans(), max_size=8), st.sampled_from(["blue", "green"])
)
def test_whatever_was_interrupted_the_next_one_ends_it(hows: list[str], unknown: list[bool], goal: str) -> None:
    """A switch that stopped half way is never ended by anybody."""
    sides = FakeSides(iter(hows), iter(unknown))
    with TemporaryDirectory() as folder:
        held, turn = a_turn(Path(folder), sides)
        with suppress(Stopped):
            turn.to("green")
        held.close()
        sides = mended(sides)
        held, turn = a_turn(Path(folder), sides)
        assert turn.to(goal) >= 0
        assert {slot for slot, on in sides.truth.items() if on} == {goal}
        assert not (Path(folder) / TURN).exists()
        held.close()


def mended(sides: FakeSides) -> FakeSides:
    """The same sides, whose commands work again."""
    again = FakeSides(iter(()), iter(()))
    again.truth = sides.truth
    return again


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from((GOOD, NO, UNKNOWN_DONE, UNKNOWN_NOT)), max_size=8), st.lists(st.booleans(), max_size=8)
)
def test_a_persons_word_at_night_never_has_both(hows: list[str], unknown: list[bool]) -> None:
    """A forced rollback over a status that says nothing enables one side beside the other."""
    sides = FakeSides(iter(hows), iter(unknown))
    sides.truth = {"blue": False, "green": True}
    with TemporaryDirectory() as folder:
        held, turn = a_turn(Path(folder), sides, forced=True)
        try:
            turn.to("blue")
            assert sides.truth == {"blue": True, "green": False}
        except Stopped:
            pass
        assert not sides.ever_both
        held.close()


def test_who_was_overtaken_runs_no_further_command(tmp_path: Path) -> None:
    """What was frozen goes on over the rollback when it wakes up."""
    sides = FakeSides(iter(()), iter(()))
    sides.on_act = lambda: store.seize(tmp_path)
    held, turn = a_turn(tmp_path, sides)
    with pytest.raises(Overtaken):
        turn.to("green")
    assert sides.truth == {"blue": False, "green": False}, "only the command that ran already took effect"
    assert store.load(tmp_path)[0].weights == {"blue": 100, "green": 0}
    held.close()


GOOD_SWITCH: dict[str, Any] = {"enable": ["a", "{slot}"], "disable": ["b"], "status": ["c", "{instance}"]}


@pytest.mark.parametrize(
    "change, why",
    [
        ({"enable": "systemctl start x"}, "given to no shell"),
        ({"disable": []}, "disable: a program"),
        ({"status": [""]}, "status: a program"),
        ({"status": ["a", 1]}, "status: a list"),
        ({"enable": ["a", "{slto}"]}, r"\{slto\} is not one of \{slot\}"),
        ({"enable": ["a\0"]}, "NUL"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 1e9}, "timeout_s"),
    ],
)
def test_what_is_no_command_is_refused(change: dict[str, Any], why: str) -> None:
    """A mistyped command is found out in the middle of a switch."""
    assert Switch.of(GOOD_SWITCH) is not None
    with pytest.raises(ValueError, match=why):
        Switch.of({**GOOD_SWITCH, **change})


@given(st.lists(st.text(st.characters(exclude_characters="\0{}"), min_size=1), min_size=1))
def test_arguments_arrive_as_they_were_written(parts: list[str]) -> None:
    """Something in an argument is taken for a shell's."""
    switch = Switch(enable=parts, disable=["x"], status=["y"])
    assert switch.calls("enable", "green", []) == [parts]
    assert Switch.of(switch.to_json()) == Switch.of({**switch.to_json()})

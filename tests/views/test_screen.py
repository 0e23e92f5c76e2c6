"""One stream, three ways to show it: JSON lines, plain lines, a live view; and whoever reads may go away."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from rollout.journal import Entry
from rollout.lease import Holder
from rollout.render import Screen
from rollout.rows import Wait
from rollout.view.overview import nothing
from rollout.view.standing import standing
from rollout.view.stream import Event
from tests.views.kit import NOW, PATIENCE_S, looked, sides, stands

HOLDER = Holder("host", "boot", 12, "1")
DONE = Entry("shop-1", 4, NOW, 1, "done", "swap:1:10", {"value": {"weights": {"blue": 90, "green": 10}}}, "", "")
FAILED = Entry("shop-1", 5, NOW, 1, "ended", "x", {"outcome": "failed", "reason": "http: 503"}, "", "")
WAIT = Wait("healthy", NOW, None, NOW, {"for": "2 targets", "seen": "1 of 2 healthy"})


class Tty:
    """A pseudo-terminal as a program's stderr; `text` is what was written to it until it was closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._ours, theirs = pty.openpty()
        self.stream: TextIO = os.fdopen(theirs, "w", encoding="utf-8")
        self._read = list[bytes]()
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()

    def screen(self, *, as_json: bool = False, quiet: bool = False) -> Screen:
        """A command's screen, with this as its stderr from now on."""
        self._monkeypatch.setattr(sys, "stderr", self.stream)
        return Screen(as_json=as_json, quiet=quiet)

    def _drain(self) -> None:
        try:
            while more := os.read(self._ours, 4096):
                self._read.append(more)
        except OSError:
            return  # closed

    def closed(self) -> str:
        """The program is over."""
        self.stream.close()
        self._reader.join(PATIENCE_S)
        return b"".join(self._read).decode()


@pytest.fixture
def tty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tty]:
    """Stderr is a terminal."""
    made = Tty(monkeypatch)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield made
    made.closed()


def draw(picture: Any, now: float, width: int, height: int) -> Any:
    """A picture of one line."""
    return f"phase {picture.stands['phase']}" if picture.stands else ""


def play(screen: Screen) -> None:
    """A little of a rollout."""
    with screen.live(draw):
        screen.say("begun")
        screen.entry(DONE)
        screen.wait(WAIT, "shop-1")
        screen.wait(WAIT, "shop-1")
        screen.elsewhere(HOLDER, "shop-1")
        screen.elsewhere(HOLDER, "shop-1")
        screen.tell(Event("traffic", sides()))
        screen.tell(Event("stands", stands()))
        screen.entry(FAILED)
    screen.document({"id": "shop-1"}, "the result")


# JSON


def test_json_is_a_line_an_event_and_the_result_last(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipeline cannot read what it is told, or takes an event for the result."""
    play(Screen(as_json=True))
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [each.get("event") for each in found] == [
        "done", "looked", "looked", "driven", "traffic", "ended", None,
    ]  # fmt: skip
    assert found[-1] == {"id": "shop-1"}
    assert found[0] == {
        "event": "done", "id": "shop-1", "seq": 4, "at": NOW, "step": "swap:1:10",
        "text": "traffic: blue 90 %, green 10 %",
    }  # fmt: skip
    assert found[4]["sides"]["green"]["failed"] == 3
    assert err == "begun\n"


def test_nothing_follows_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of `start --json` is a traffic reading that came late, and CI cannot find the outcome."""
    screen = Screen(as_json=True)
    screen.document({"id": "shop-1"}, "")
    screen.tell(Event("traffic", sides()))
    assert capsys.readouterr().out == '{"id": "shop-1"}\n'


def test_lines_of_several_threads_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    """A traffic reading is written into the middle of an event, and neither can be read."""
    screen = Screen(as_json=True)
    events = [Event("traffic", sides(at=number)) for number in range(200)]

    def tell_all() -> None:
        for event in events:
            screen.tell(event)

    threads = [threading.Thread(target=tell_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 800


# Plain lines


def test_off_a_terminal_each_thing_is_told_once_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A log is full of the same wait, or of control characters."""
    play(Screen(as_json=False))
    out, err = capsys.readouterr()
    assert out == "the result\n"
    assert [line.strip() for line in err.splitlines()] == [
        "begun",
        err.splitlines()[1],
        "waiting: healthy: 1 of 2 healthy",
        "process 12 on host drives it; watching",
        err.splitlines()[4],
    ]
    assert err.splitlines()[1].endswith("  traffic: blue 90 %, green 10 %") and "\x1b" not in err
    assert err.splitlines()[4].endswith("  failed: http: 503")


def test_each_rollouts_waits_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Of two rollouts that wait in turn, every look of both is told."""
    screen = Screen(as_json=False)
    for _ in range(3):
        for rollout in ("shop-1", "web-1"):
            screen.tell(Event("looked", looked(id=rollout)))
    assert capsys.readouterr().err.count("waiting:") == 2


def test_off_a_terminal_a_fleet_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A log of a whole fleet begins with nothing, or repeats everything every two seconds."""
    screen = Screen(as_json=False)
    for _ in range(3):
        screen.tell(Event("listed", {**nothing(), "rollouts": [stands()]}))
    assert capsys.readouterr().err.count("way back rollout rollback shop") == 1


def test_quiet_says_only_what_went_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """-q floods a cron job's mail; or hides its failure."""
    screen = Screen(as_json=False, quiet=True)
    play(screen)
    screen.problem("rollout: no")
    out, err = capsys.readouterr()
    assert (out, err) == ("the result\n", "rollout: no\n")


# Terminals


def test_a_terminal_has_a_live_view(tty: Tty, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal there are only lines."""
    play(tty.screen())
    said = tty.closed()
    for needed in (
        "begun",
        "traffic: blue 90 %",
        "process 12 on host drives it",
        "phase shifting",
        "failed: http: 503",
    ):
        assert needed in said
    assert "\x1b[36m" in said and "\x1b[31m" in said
    assert "waiting:" not in said
    assert capsys.readouterr().out == "the result\n"


def test_no_colours_where_none_are_wanted(tty: Tty, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot read red on black turns colours off, and they stay."""
    monkeypatch.setenv("NO_COLOR", "1")
    play(tty.screen())
    said = tty.closed()
    assert "phase shifting" in said
    assert not re.search(r"\x1b\[[0-9;]*m", said)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_dumb_terminal_gets_plain_lines(tty: Tty, monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    """An editor's shell window or a screen reader is full of control characters."""
    monkeypatch.setenv("TERM", term)
    play(tty.screen())
    said = tty.closed()
    assert "\x1b" not in said and "waiting: healthy: 1 of 2 healthy" in said


def test_json_and_quiet_have_no_live_view(tty: Tty) -> None:
    """A script that runs in a terminal gets pictures between its lines."""
    for screen in (tty.screen(as_json=True), tty.screen(quiet=True)):
        with screen.live(draw) as shown:
            assert shown is False
    assert tty.closed() == ""


def test_lines_of_a_command_without_a_view_have_colours(tty: Tty) -> None:
    """Only rollouts that are driven are coloured, refusals are not."""
    screen = tty.screen()
    screen.say("halted, a person is needed")
    screen.say("all is well")
    assert tty.closed() == "\x1b[31mhalted, a person is needed\x1b[0m\r\nall is well\r\n"


def test_an_error_leaves_the_picture_and_is_told_below(tty: Tty) -> None:
    """What went wrong is drawn over."""
    screen = tty.screen()
    with pytest.raises(ZeroDivisionError), screen.live(draw):
        screen.tell(Event("stands", stands()))
        raise ZeroDivisionError
    screen.problem("rollout: it failed")
    assert tty.closed().rstrip().endswith("rollout: it failed\x1b[0m")


def test_a_terminal_that_vanished_is_written_to_without_complaint(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks, and the view's failure ends what drives the rollout."""
    ours, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen(as_json=False)
    with screen.live(draw):
        screen.say("begun")
        os.close(ours)
        screen.tell(Event("stands", stands()))
        screen.say("going on")
    screen.say("after it")
    stream.close()


# Pipes


def test_a_closed_pipe_is_noticed_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rollout status --watch --json | head -1` goes on for ever; or a driver dies of it."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", stream)
    screen = Screen(as_json=True)
    assert not screen.deserted
    os.close(reader)
    assert screen.deserted, "also before anything else is written"
    screen.tell(Event("traffic", sides()))
    screen.tell(Event("traffic", sides()))
    assert screen.deserted, "and after the pipe was given up"
    stream.close()


# The result


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"ref": "CHG-1"}, "shop-20261121-6d5855  running (shifting)  CHG-1"),
        ({"paused": {"by": "me", "reason": "sale"}}, "  paused   by me: sale"),
        ({"warning": "http: 503"}, "  warning  http: 503"),
        ({"reason": "a\x1b[2J\nb"}, "  because  a�[2J b"),
        (
            {"driven_by": None},
            "  driven   by nobody: rollout serve, or rollout resume shop-20261121-6d5855",
        ),
        (
            {"driven_by": None, "outcome": "promoted"},
            "  watched  by nobody: rollout serve, or rollout resume shop-20261121-6d5855",
        ),
    ],
)
def test_the_result_says_what_a_person_has_to_know(changes: dict[str, Any], line: str) -> None:
    """A command ends, and the reason, the ticket or the want of a driver has to be looked up."""
    assert line in standing(stands(**changes)).split("\n")


def test_traffic_is_the_last_line() -> None:
    """The most important thing scrolls out of sight."""
    assert standing(stands()).split("\n")[-1] == "  traffic  blue 90 %, green 10 % (as last journalled)"


def test_a_wait_that_nobody_can_read_any_more_is_said_once_and_when_it_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A login that ended looks like a slow boot until the deadline has passed."""
    screen = Screen(as_json=False)
    lost = Wait("healthy", NOW, None, NOW, {"seen": "CredentialsExpired: log in again", "unreadable": True})
    for wait in (WAIT, lost, lost, WAIT, WAIT):
        screen.wait(wait, "shop-1")
    said = [line.strip() for line in capsys.readouterr().err.splitlines()]
    assert said == [
        "waiting: healthy: 1 of 2 healthy",
        "waiting: healthy: CredentialsExpired: log in again",
        "waiting: healthy: 1 of 2 healthy",
    ]

"""The live view on a terminal: lines stay, the picture is redrawn, and no terminal holds anything up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rollout.view.live import Live
from rollout.view.stream import Event, Picture, said
from tests.views.kit import Terminal, stands


@pytest.fixture(autouse=True)
def _a_usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")


def draw(picture: Picture, now: float, width: int, height: int) -> Any:
    """A picture of one line."""
    return f"phase {picture.stands['phase']} {width}x{height}" if picture.stands else ""


@contextmanager
def live(terminal: Terminal, *, leave: bool = True, drawn: Callable[..., Any] = draw, **more: Any) -> Iterator[Live]:
    """A view that is over at the end."""
    made = Live(terminal, drawn, lambda: 1.0, coloured=more.pop("coloured", False), **more)
    made.begin()
    try:
        yield made
    finally:
        made.close(leave=leave)


def screen(written: str, rows: int = 20) -> list[str]:
    """What stands on a terminal after all of this was written to it; only what rich writes is understood."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", written):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token.endswith("A") and token.startswith("\x1b["):
            row = max(0, row - int(token[2:-1] or 1))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif token == "\x1b[2J":
            lines, row, column = [""], 0, 0
        elif not token.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def test_lines_stay_and_the_picture_follows_them() -> None:
    """What happened is overwritten by what is; or each refresh leaves a copy of the picture behind."""
    terminal = Terminal()
    with live(terminal) as view:
        view.tell(said("first"))
        view.tell(Event("stands", stands(phase="proving")))
        terminal.wait_for("phase proving")
        view.tell(said("second"))
        view.tell(Event("stands", stands(phase="shifting")))
        terminal.wait_for("phase shifting")
    assert screen(terminal.text) == ["first", "second", "phase shifting 60x19", ""]
    assert terminal.text.endswith("\x1b[?25h"), "the cursor is there again"


def test_the_picture_goes_where_the_result_follows() -> None:
    """The same is told twice, one below the other."""
    terminal = Terminal()
    with live(terminal, leave=False) as view:
        view.tell(said("first"))
        view.tell(Event("stands", stands()))
        terminal.wait_for("phase shifting")
    assert [line for line in screen(terminal.text) if line] == ["first"]


def test_all_that_was_told_is_shown_before_the_end() -> None:
    """The last sentences, which say why, are lost."""
    terminal = Terminal()
    with live(terminal) as view:
        for number in range(50):
            view.tell(said(f"line {number}"))
    assert screen(terminal.text)[:50] == [f"line {number}" for number in range(50)]


def test_a_terminal_that_was_made_smaller_is_drawn_anew() -> None:
    """What the terminal broke into more lines stays as garbage above each new picture."""
    terminal = Terminal()
    with live(terminal) as view:
        view.tell(said("first"))
        view.tell(Event("stands", stands()))
        terminal.wait_for("60x19")
        terminal.columns = 30
        view.tell(said("second"))
        terminal.wait_for("30x19")
    assert screen(terminal.text) == ["first", "second", "phase shifting 30x19", ""]


def test_a_terminal_that_was_made_larger_is_used() -> None:
    """The view stays as narrow as it began, or blanks the screen at each change."""
    terminal = Terminal()
    with live(terminal) as view:
        view.tell(Event("stands", stands()))
        terminal.wait_for("60x19")
        terminal.columns = 100
        view.tell(said("more"))
        terminal.wait_for("100x19")
    assert "\x1b[2J" not in terminal.text


def test_times_are_counted_on_while_nothing_happens() -> None:
    """A countdown that stands still looks like a program that hangs."""
    terminal = Terminal()
    with live(terminal) as view:
        view.tell(Event("stands", stands()))
        terminal.wait_for("phase shifting", times=3)


def test_a_stopped_terminal_holds_nothing_up() -> None:
    """Ctrl-S in the wrong window, and a rollout is no longer driven; nor does Ctrl-C put traffic back."""
    terminal = Terminal(blocked=True)
    view = Live(terminal, draw, lambda: 1.0, coloured=False)
    view.begin()
    for number in range(10_000):
        view.tell(said(f"line {number}"))
    view.close(leave=True)
    assert terminal.text == ""
    terminal.open.set()
    terminal.wait_for("line 9999")


def test_a_fault_in_drawing_costs_only_the_picture() -> None:
    """A mistake in the view hides that the rollout was turned back, or ends it."""
    terminal = Terminal()

    def faulty(picture: Picture, now: float, width: int, height: int) -> Any:
        return draw(picture, now, width, height) if not picture.stands else 1 / 0

    with live(terminal, drawn=faulty) as view:
        view.tell(said("before"))
        terminal.wait_for("before")
        view.tell(Event("stands", stands()))
        terminal.wait_for("the live view ended (ZeroDivisionError")
        view.tell(said("turning back"))
    assert terminal.text.endswith("turning back\n")


def test_colours_only_where_they_are_wanted() -> None:
    """NO_COLOR is ignored by what scrolls by."""
    for coloured in (False, True):
        terminal = Terminal()
        with live(terminal, coloured=coloured, style_of=lambda text: "red") as view:
            view.tell(said("halted"))
        assert bool(re.search(r"\x1b\[[0-9;]*m", terminal.text)) == coloured

"""The only place that prints. stdout is data, stderr is for people; with --json stdout is JSON, a line an event."""

from __future__ import annotations

import errno
import json
import os
import select
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rollout.journal import Entry
    from rollout.lease import Holder
    from rollout.rows import Wait
    from rollout.view.live import Draw, Live
    from rollout.view.stream import Event

_MARKS = {
    "failed": ("31", "red"),
    "turning back": ("33", "yellow"),
    "halted": ("31", "red"),
    "interrupted": ("33", "yellow"),
    "warning": ("33", "yellow"),
    "paused": ("33", "yellow"),
    "traffic:": ("36", "cyan"),
    "promoted": ("32", "green"),
}


PAGE_COLUMNS = 160  # of what is piped into a file or another program


class Screen:
    """What a command shows. Colours and the live view are for terminals only. May be used from several threads."""

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet
        self.on_terminal = _is_terminal(sys.stderr) and not as_json
        self._coloured = self.on_terminal and not os.environ.get("NO_COLOR")
        self._live: Live | None = None
        self._guards = {"out": threading.RLock(), "err": threading.RLock()}
        self._ended = False  # the result was shown: nothing that is still under way may follow it
        self._lost = False
        self._waited: dict[str, tuple[str, bool]] = {}
        self._driver = ""
        self._listed = False

    def say(self, text: str) -> None:
        """A line for people."""
        if not self.quiet:
            self._write(text)

    def problem(self, text: str) -> None:
        """What went wrong; never silenced."""
        self._write(text)

    def document(self, data: Mapping[str, Any], text: str) -> None:
        """The command's result: one JSON document, or its text."""
        self.end(leave=not sys.stdout.isatty())
        self._put(sys.stdout, f"{json.dumps(data, sort_keys=True) if self.as_json else text}\n")

    def event(self, kind: str, **data: Any) -> None:
        if self.as_json:
            self._put(sys.stdout, json.dumps({"event": kind, **data}, sort_keys=True) + "\n")

    # The stream of rollouts that are driven or watched

    def tell(self, event: Event) -> None:
        """A JSON line, a plain line, or something for the live view."""
        live = self._live
        if live:
            live.tell(event)
            return
        with self._guards["out" if self.as_json else "err"]:
            if self._ended:
                return
            if self.as_json and event.line:
                self._put(sys.stdout, json.dumps(event.line, sort_keys=True) + "\n")
            elif not self.as_json and not self.quiet and (text := self._plain(event)):
                self._write(text)

    def entry(self, entry: Entry) -> None:
        from rollout.view.stream import of_entry

        self.tell(of_entry(entry))

    def wait(self, wait: Wait, rollout: str = "") -> None:
        """A look at what is waited for: a plain line only when another thing is waited for than before, or it
        cannot be read any more, or can be again."""
        from rollout.view.stream import of_wait

        self.tell(of_wait(rollout, wait, time.time()))

    def elsewhere(self, holder: Holder, rollout: str = "") -> None:
        """Somebody else drives it; told once."""
        from rollout.view.stream import of_driver

        if self._driver != str(holder):
            self._driver = str(holder)
            self.tell(of_driver(rollout, str(holder)))

    def _plain(self, event: Event) -> str | None:
        if event.kind == "listed" and not self._listed:
            from rollout.view.overview import overview, text_of

            self._listed = True  # what changes from then on is told in events
            return text_of(overview(event.data))
        if event.kind == "looked":
            rollout, now = str(event.data["id"]), (str(event.data["step"]), bool(event.data["unreadable"]))
            if self._waited.get(rollout) == now:
                return None
            self._waited[rollout] = now
            return f"          waiting: {event.data['waits']}"
        return line_of(event)

    # The live view

    @contextmanager
    def live(self, draw: Draw) -> Iterator[bool]:
        """While the body runs, a terminal shows the picture of now; True if it does."""
        if not self.on_terminal or self.quiet or self._live:
            yield False
            return
        from rollout.view.live import Live

        terminal = _Terminal(sys.stderr)
        self._live = Live(terminal, draw, time.time, coloured=self._coloured, style_of=_style, line_of=line_of)
        self._live.begin()
        try:
            yield True
        except BaseException:
            self.end_live(leave=True)
            raise
        self.end_live(leave=not sys.stdout.isatty())  # the result, which says all of it, is shown there next

    def end_live(self, *, leave: bool) -> None:
        """From here on lines are plain ones. `leave`: the last picture stays where it is."""
        live, self._live = self._live, None
        if live:
            live.close(leave=leave)

    def end(self, *, leave: bool) -> None:
        """The stream ends here: what a look that is under way would still tell is not shown."""
        with self._guards["out" if self.as_json else "err"]:
            self._ended = True
        self.end_live(leave=leave)

    @property
    def deserted(self) -> bool:
        """Nobody reads what a pipe was opened for: the end of whoever only watches."""
        return self._lost or _is_broken(sys.stdout if self.as_json else sys.stderr)

    def _write(self, text: str) -> None:
        live = self._live
        if live:
            from rollout.view.stream import said

            live.tell(said(text))
            return
        mark = _mark(text) if self._coloured else None
        self._put(sys.stderr, f"\033[{mark[0]}m{text}\033[0m\n" if mark else f"{text}\n")

    def _put(self, stream: TextIO, text: str) -> None:
        with self._guards["out" if stream is sys.stdout else "err"]:
            self._lost |= not _put(stream, text)


def line_of(event: Event) -> str | None:
    """What stays on the screen of an event, with its time."""
    if not event.text or event.kind == "said":
        return event.text
    if event.at is None:
        return f"          {event.text}"
    return f"{time.strftime('%H:%M:%S', time.localtime(event.at))}  {event.text}"


def _mark(text: str) -> tuple[str, str] | None:
    return next((mark for word, mark in _MARKS.items() if word in text), None)


def _style(text: str) -> str:
    mark = _mark(text)
    return mark[1] if mark else ""


class _Terminal:
    """A terminal as rich needs it. What cannot be written is lost, and nobody is told."""

    def __init__(self, stream: TextIO) -> None:
        self._descriptor = stream.fileno()
        self.encoding = "utf-8" if "utf" in (stream.encoding or "").lower() else "ascii"

    @property
    def file(self) -> IO[str]:
        return cast(IO[str], self)

    def size(self) -> tuple[int, int]:
        """What the terminal says, whatever COLUMNS says: a line that is too long would break the picture."""
        try:
            columns, rows = os.get_terminal_size(self._descriptor)
        except OSError:
            columns, rows = 0, 0
        return columns or 80, rows or 24

    def write(self, text: str) -> int:
        left = text.encode(self.encoding, "replace")
        with suppress(OSError):
            while left:  # past Python's buffers: their lock may be held by a thread that waits for the terminal
                left = left[os.write(self._descriptor, left) :]
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", "")


def _is_broken(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(found & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, found in poll.poll(0))
    except (OSError, ValueError):
        return False


def _put(stream: TextIO, text: str) -> bool:
    """Write at once. Where nobody reads any more (a closed terminal or pipe), what is being done goes on unheard."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            return True  # the line is lost; the next one may find room again
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return False
    return True


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80


def page_columns() -> int:
    """How wide a table on stdout may be."""
    return max(80, _columns()) if sys.stdout.isatty() else PAGE_COLUMNS


def ledger_text(ledger: Mapping[str, Any]) -> str:
    """The ledger as a table: what was fixed, remains, came in, is unknown."""
    from rich.console import Console
    from rich.table import Table

    from rollout.view.standing import LEDGER_PARTS

    table = Table("", "advisory", "package", "from → to", "what", box=None, pad_edge=False)
    for part in LEDGER_PARTS:
        for found in ledger[part]:
            table.add_row(part, *ledger_row(found))
    width = page_columns()
    plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))
    console = Console(width=width, no_color=plain, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def ledger_row(found: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Advisory, packages, their versions on both sides, and what it is; an unknown says why instead."""
    if "reason" in found:
        return "", str(found["subject"]), ", ".join(found["hosts"]), str(found["reason"])
    names = ", ".join(str(package["name"]) for package in found["packages"])
    versions = ", ".join(
        f"{'/'.join(package['old']) or 'absent'} → {'/'.join(package['new']) or 'absent'}"
        for package in found["packages"]
    )
    return str(found["id"]), names, versions, str(found["summary"])


_CONCERNS = {"blocks": "IN THE WAY", "unknown": "not known", "notice": "know that"}


def concern_lines(concerns: Sequence[Mapping[str, str]]) -> list[str]:
    """What the platform foresaw, one line each, in the order in which the plan has it."""
    return [f"  {_CONCERNS.get(found['kind'], found['kind']):10}   {found['text']}" for found in concerns]


def plan_text(plan: Mapping[str, Any], plan_hash: str, changes: bool) -> str:
    """What a plan would do, in the order in which it would do it."""
    from rollout.durations import format_duration

    original, replacement = plan["original"], "green" if plan["original"] == "blue" else "blue"
    images = ", ".join(f"{member} {image}" for member, image in plan["patch"]["images"].items())
    gates = {name: ", ".join(check["label"] for check in gate["checks"]) for name, gate in plan["gates"].items()}
    soak, bake = plan["gates"]["live"]["rule"]["soak_s"], plan["gates"]["bake"]["rule"]["soak_s"]
    steps = " → ".join(f"{step} %" for step in plan["steps"])
    lines = [
        f"{plan['service']['name']}: {original} serves; the mirror will be {replacement}",
        f"  1 preflight  {gates['preflight'] or 'no checks'}",
        f"  2 mirror     {plan['capacity']} × {original} into {replacement}",
        f"  3 patch      {plan['patch']['reference']} ({images})",
        f"  4 prove      {gates['replacement']}",
        f"  5 traffic    {steps}, {format_duration(soak)} each under: {gates['live']}",
        f"  6 bake       {format_duration(bake)}, then promote",
        f"  7 warm       {original} stays ready for {format_duration(plan['keep_warm_s'])}, then is given up",
        *concern_lines(plan.get("concerns", ())),
        f"  hash {plan_hash}",
        "changes are pending" if changes else f"nothing to do: {original} runs this image already",
    ]
    return "\n".join(lines)

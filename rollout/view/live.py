"""The live view on a terminal: what happens scrolls by, and the picture of now stays below it.

It is drawn by a thread of its own, so that a terminal that is slow or was stopped (Ctrl-S) holds nothing up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import IO, Any, Protocol

from rollout.view.stream import Event, Picture

REDRAW_S = 1.0
"""How often times are counted on while nothing happens."""

END_S = 1.5
"""How long a command waits for its last picture to be drawn."""

Draw = Callable[[Picture, float, int, int], Any]
"""(picture, now, width, height) → what rich draws."""


class Terminal(Protocol):
    """Where it is drawn. `file` never raises, whatever becomes of the terminal; `size` is in columns and rows."""

    @property
    def file(self) -> IO[str]: ...

    def size(self) -> tuple[int, int]: ...


class Live:
    """`tell` and `close` may be called from any thread, and return at once (`close` within END_S)."""

    def __init__(
        self,
        terminal: Terminal,
        draw: Draw,
        now: Callable[[], float],
        *,
        coloured: bool,
        style_of: Callable[[str], str] = lambda text: "",
        line_of: Callable[[Event], str | None] = lambda event: event.text,
    ) -> None:
        self._terminal, self._draw, self._now, self._coloured = terminal, draw, now, coloured
        self._style_of, self._line_of = style_of, line_of
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._leave = True
        self._picture = Picture()
        self._size = (0, 0)
        self._ended = threading.Event()

    def begin(self) -> None:
        threading.Thread(target=self._work, daemon=True, name="live view").start()

    def tell(self, event: Event) -> None:
        self._events.put(event)

    def close(self, *, leave: bool) -> None:
        """Show all that was told. `leave`: the last picture stays on the screen."""
        self._leave = leave
        self._events.put(None)
        self._ended.wait(END_S)

    def _work(self) -> None:
        try:
            self._show()
        except Exception as error:  # a fault in drawing must not cost what is to be read
            self._terminal.file.write(f"\nthe live view ended ({type(error).__name__}: {error}); lines follow\n")
            self._show_plainly()
        finally:
            self._ended.set()

    def _show(self) -> None:
        from rich.console import Console

        console = Console(
            file=self._terminal.file,
            force_terminal=True,
            force_interactive=True,
            color_system="auto" if self._coloured else None,
            highlight=False,
            markup=False,
            emoji=False,
        )
        shown = self._open(console)
        try:
            while True:
                events, more = self._taken()
                shown = self._refit(console, shown)
                for event in events:
                    self._picture = self._picture.after(event)
                    self._print(console, event)
                shown.refresh()
                if not more:
                    break
        finally:
            shown.transient = not self._leave
            shown.stop()

    def _open(self, console: Any) -> Any:
        from rich.live import Live as RichLive

        self._size = self._terminal.size()
        console.size = self._size
        shown = RichLive(
            console=console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
            get_renderable=self._drawn,
        )
        shown.start()
        return shown

    def _drawn(self) -> Any:
        width, height = self._size
        return self._draw(self._picture, self._now(), width, max(1, height - 1))

    def _refit(self, console: Any, shown: Any) -> Any:
        """A terminal that became smaller has broken the lines that were drawn: begin on an empty screen."""
        size = self._terminal.size()
        if size == self._size:
            return shown
        smaller = size[0] < self._size[0] or size[1] < self._size[1]
        self._size = size
        console.size = size
        if not smaller:
            return shown
        shown.stop()
        console.clear()
        for event in self._picture.told:
            self._print(console, event)
        return self._open(console)

    def _print(self, console: Any, event: Event) -> None:
        """A line that stays, above the picture."""
        from rich.text import Text

        text = self._line_of(event)
        if text:
            console.print(Text(text, style=self._style_of(text), overflow="fold"))

    def _taken(self) -> tuple[list[Event], bool]:
        """What was told since the last picture; False when that was all."""
        taken = list[Event]()
        try:
            event = self._events.get(timeout=REDRAW_S)
            while event is not None:
                taken.append(event)
                event = self._events.get_nowait()
        except queue.Empty:
            return taken, True
        return taken, False

    def _show_plainly(self) -> None:
        while (event := self._events.get()) is not None:
            if text := self._line_of(event):
                self._terminal.file.write(f"{text}\n")

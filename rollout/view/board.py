"""The live view of a whole fleet: the overview, cut to the terminal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rollout.telling import clock_time
from rollout.view.overview import overview
from rollout.view.panel import line, outcome_style


def board(listed: Mapping[str, Any], *, now: float, height: int) -> RenderableType:
    """At most `height` rows; what does not fit is counted. The last block, which is what to do, always stays."""
    if not listed:
        return Text("")
    *blocks, last = overview(listed)
    foot = [line(each) for each in last.lines][: max(1, height - 2)]
    foot.append(line((f"{clock_time(now)}  Ctrl-C ends the watching, and nothing else", "dim")))
    room, rows, left_out = height - len(foot), list[Text](), 0
    for block in blocks:
        shown = [line((block.lines[0], outcome_style(block.outcome))), *(line(each) for each in block.lines[1:])]
        if left_out or len(rows) + len(shown) > room - 1:  # one row is for the count
            left_out += 1
        else:
            rows += shown
    if left_out:
        rows.append(line((f"and {left_out} more: rollout status", "dim")))
    return Group(*(rows + foot)[-max(1, height) :])

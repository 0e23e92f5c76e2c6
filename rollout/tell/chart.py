"""Traffic over time as a drawing: an SVG of lines and text, without script, style attributes or anything from outside.

Pure; the same data is the same drawing. The two sides differ by dashes too, for those who print or see no colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from rollout.tell.clean import clean
from rollout.tell.moments import lasted

WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 704, 44, 204
TICKS = 4
ROWS = 3
"""Labels of marks stand in so many rows, so that those close together can be read."""


def x_of(after_s: float, begin_s: float, end_s: float) -> float:
    """Where a moment is from left to right."""
    return round(LEFT + (RIGHT - LEFT) * (after_s - begin_s) / (end_s - begin_s), 1)


def y_of(share: int) -> float:
    """Where a share of traffic (percent) is from top to bottom."""
    return round(BOTTOM - (BOTTOM - TOP) * min(max(share, 0), 100) / 100, 1)


def window_of(traffic: Mapping[str, Any]) -> tuple[float, float]:
    """From the first known route to a while after the last change: a day of warm time would squeeze all else."""
    times = [each["after_s"] for each in (*traffic["points"], *traffic["marks"])]
    begin, end = min(times), max(times)
    return begin, end + max((end - begin) * 0.08, 1.0)


def svg(traffic: Mapping[str, Any]) -> str:
    """The drawing; needs at least one point."""
    begin, end = window_of(traffic)
    sides = (traffic["original"], traffic["replacement"])
    told = f"Traffic of {sides[0]} and {sides[1]} over time, in percent; the table below has the numbers."
    lines = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">',
        *_axes(begin, end),
        *(_steps(traffic["points"], side, begin, end) for side in sides),
        *_marks(traffic["marks"], begin, end),
        *_legend(sides),
        "</svg>",
    ]
    return "\n".join(lines)


def _steps(points: Sequence[Mapping[str, Any]], side: str, begin: float, end: float) -> str:
    """One side's share: level until it changes, then at once at the next."""
    drawn = list[str]()
    for each in points:
        x, y = x_of(each["after_s"], begin, end), y_of(each["weights"].get(side, 0))
        drawn.append(f"H{x} V{y}" if drawn else f"M{x} {y}")
    name = side if side in ("blue", "green") else "other"
    return f'<path class="side {name}" d="{" ".join(drawn)} H{x_of(end, begin, end)}"/>'


def _axes(begin: float, end: float) -> list[str]:
    lines = list[str]()
    for share in (0, 50, 100):
        y = y_of(share)
        lines.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}"/>')
        lines.append(f'<text class="axis" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{share} %</text>')
    for tick in range(TICKS + 1):
        at = begin + (end - begin) * tick / TICKS
        x = x_of(at, begin, end)
        anchor = "start" if tick == 0 else "end" if tick == TICKS else "middle"
        label = "begin" if at <= 0 else f"+{lasted(at)}"
        lines.append(f'<line class="grid" x1="{x}" y1="{BOTTOM}" x2="{x}" y2="{BOTTOM + 5}"/>')
        lines.append(f'<text class="axis" x="{x}" y="{BOTTOM + 19}" text-anchor="{anchor}">{label}</text>')
    return lines


def _marks(marks: Sequence[Mapping[str, Any]], begin: float, end: float) -> list[str]:
    lines = list[str]()
    for number, each in enumerate(marks):
        x = x_of(each["after_s"], begin, end)
        y = TOP - 6 - 12 * (number % ROWS)
        text, beside = escape(clean(each["text"], 40)), f'x="{x + 4}" y="{y + 4}" text-anchor="start"'
        if x > (LEFT + RIGHT) / 2:
            beside = f'x="{x - 4}" y="{y + 4}" text-anchor="end"'
        lines.append(f'<line class="mark" x1="{x}" y1="{y}" x2="{x}" y2="{BOTTOM}"/>')
        lines.append(f'<text class="axis" {beside}>{text}</text>')
    return lines


def _legend(sides: Sequence[str]) -> list[str]:
    lines = list[str]()
    for number, side in enumerate(sides):
        x, y = LEFT + number * 170, HEIGHT - 8
        name = side if side in ("blue", "green") else "other"
        role = "original" if number == 0 else "replacement"
        lines.append(f'<line class="side {name}" x1="{x}" y1="{y - 4}" x2="{x + 28}" y2="{y - 4}"/>')
        lines.append(f'<text class="axis" x="{x + 34}" y="{y}">{escape(clean(side, 20))} ({role})</text>')
    return lines

"""The live view of one rollout: a picture as something that rich can draw, at a given size. Pure.

Every line is cut where the terminal ends, never wrapped; where there are too few rows, the least important go first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from rollout.summary import needs_a_driver
from rollout.telling import age, brief, clock_time, count, is_pause, short, visible
from rollout.view.stream import Picture

NARROW, WIDE = 60, 96
"""Columns from which a terminal has room for more."""

STYLES = {"pass": "green", "fail": "red", "unknown": "yellow", "ambient": "yellow"}
WORST_FIRST = ("fail", "unknown", "ambient", "pass")
NAMES = {"original": "cyan", "replacement": "magenta"}
EMPTY = "-"
DONE, TO_DO = "█", "░"


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of the view; those that are `needed` more (a higher number) stay when there is too little room."""

    needed: int
    rows: int
    shown: RenderableType


def panel(picture: Picture, *, now: float, width: int, height: int) -> RenderableType:
    """At most `height` rows of `width` cells; nothing while nothing is known."""
    stands = picture.stands
    if not stands:
        return Text("")
    parts = [
        Part(1, 1, Rule(style="dim")),
        Part(9, 1, _header(stands)),
        Part(5, 1, _patch(stands)),
        *(Part(8, 1, row) for row in _sides(stands, picture.traffic, width)),
        *_verdict_parts(picture, now),
        *(Part(6, 1, row) for row in _troubles(stands, picture.traffic)),
        *(Part(7, 1, row) for row in _waits(picture, now, width)),
        Part(10, 1, _last(stands)),
    ]
    return Group(*(part.shown for part in _that_fit(parts, height)))


def line(*pieces: str | tuple[str, str]) -> Text:
    """One row: cut with an ellipsis where the terminal ends, and without anything that could move a cursor."""
    clean = [_printable(piece) if isinstance(piece, str) else (_printable(piece[0]), piece[1]) for piece in pieces]
    return Text.assemble(*clean, no_wrap=True, overflow="ellipsis")


def _printable(text: str) -> str:
    return visible(" ".join(text.splitlines()))


def _that_fit(parts: Sequence[Part], height: int) -> list[Part]:
    left, kept = height, set[int]()
    for index, part in sorted(enumerate(parts), key=lambda each: -each[1].needed):
        if part.rows <= left:
            left -= part.rows
            kept.add(index)
    return [part for index, part in enumerate(parts) if index in kept]


def outcome_style(outcome: str) -> str:
    return {"promoted": "bold green", "halted": "bold red", "running": "bold"}.get(outcome, "bold yellow")


def _header(stands: Mapping[str, Any]) -> Text:
    how = "paused" if stands.get("paused") else stands["outcome"]
    return line(
        (brief(stands["service"]), "bold"), "  ", (how, outcome_style(how)), f" ({stands['phase']})  {stands['id']}"
    )


def _patch(stands: Mapping[str, Any]) -> Text:
    patch = brief(f"{stands['patch']} onto {stands['replacement']}, beside {stands['original']}")
    if stands["closed_at"] is not None:
        return line(f"{patch}; closed")
    if stands["driven_by"]:
        return line(f"{patch}; driven by {stands['driven_by']}")
    return line(f"{patch}; ", ("nobody drives it", "yellow" if needs_a_driver(stands) else ""))


COLUMNS = {"traffic": 7, "requests": 8, "failed": 6, "per s": 6, "in flight": 9}
NARROW_COLUMNS = ("traffic", "requests", "failed")
SIDE, NARROW_SIDE = 17, 5


def _sides(stands: Mapping[str, Any], traffic: Mapping[str, Any], width: int) -> list[Text]:
    """A row for each side, two where there is little room. What was not read is a dash, or unknown if that failed."""
    columns = NARROW_COLUMNS if width < NARROW else tuple(COLUMNS)
    first = NARROW_SIDE if width < NARROW else SIDE
    heads = "".join(f" {column:>{COLUMNS[column]}}" for column in columns)
    rows = [line((f"{'side':<{first}}{heads}{'  targets' if width >= WIDE else ''}", "dim"))]
    for slot in (stands["original"], stands["replacement"]):
        side = (traffic.get("sides") or {}).get(slot)
        role = "original" if slot == stands["original"] else "replacement"
        name = slot if width < NARROW else f"{slot:<5} {role}"
        counted = line((f"{name:<{first}}", NAMES[role]))
        for column, cell in _counts(stands, slot, side).items():
            if column in columns:
                counted.append(f" {cell:>{COLUMNS[column]}}", "bold red" if column == "failed" and cell > "0" else "")
        told = line(*([f"{role}, "] if width < NARROW else []), *_targets(side, traffic), *_image(side))
        rows += (
            [counted.append("  ").append_text(told)] if width >= WIDE else [counted, line("      ").append_text(told)]
        )
    return rows


def _counts(stands: Mapping[str, Any], slot: str, side: Mapping[str, Any] | None) -> dict[str, str]:
    share = side["weight"] if side else (stands["traffic"] or {}).get(slot)
    cells = {"traffic": EMPTY if share is None else f"{share} %"}
    for column, key in {"requests": "requests", "failed": "failed", "per s": "per_s", "in flight": "in_flight"}.items():
        value = side[key] if side else None
        cells[column] = EMPTY if value is None else count(value)
    return cells


def _targets(side: Mapping[str, Any] | None, traffic: Mapping[str, Any]) -> list[str | tuple[str, str]]:
    if side is None:
        unread = ("targets unknown", "yellow") if traffic.get("problem") else "targets not read yet"
        return [unread]
    words = {"healthy": "green", "unhealthy": "bold red", "unknown": "yellow"}
    found = [(f"{side[word]} {word}", style) for word, style in words.items() if side[word]]
    pieces: list[str | tuple[str, str]] = []
    for piece in found:
        pieces += [", ", piece] if pieces else [piece]
    return pieces or ["no targets"]


def _image(side: Mapping[str, Any] | None) -> list[str | tuple[str, str]]:
    return [("  " + short(side["image"], 28), "dim")] if side and side["image"] else []


def _verdict_parts(picture: Picture, now: float) -> list[Part]:
    """What each check of the current gate last said, and how long ago. The best ones are left out first."""
    verdicts = picture.looked.get("verdicts") or {}
    widest = min(max((len(check) for check in verdicts), default=0), 24)
    parts = []
    for check, told in verdicts.items():
        answer = str(told["answer"])
        row = line(
            (f"{answer:<8}", STYLES.get(answer, "")),
            f"{brief(check)[:widest]:<{widest}}  ",
            (f"{age(now - told['at']) + ' ago':>9}  ", "dim"),
            brief(str(told["summary"])),
        )
        parts.append(Part(4 if answer in WORST_FIRST[:2] else 2, 1, row))
    return parts


def _troubles(stands: Mapping[str, Any], traffic: Mapping[str, Any]) -> list[Text]:
    """What people should know before anything else."""
    found = []
    if traffic.get("problem"):
        found.append(line(("traffic ", "yellow"), f"unknown: {traffic['problem']}"))
    if stands["warning"]:
        found.append(line(("warning ", "bold yellow"), stands["warning"]))
    if stands["reason"]:
        found.append(line(("because ", "yellow"), brief(stands["reason"])))
    return found


def _waits(picture: Picture, now: float, width: int) -> list[Text]:
    """What it waits for, how much of it is done, and until when."""
    looked = picture.looked
    if not looked or picture.stands["closed_at"] is not None:
        return []
    if is_pause(looked["step"]):
        return [line(("waits   ", "dim"), (looked["waits"], "bold yellow"))]
    soak, until = looked["soak"], looked["until"]
    left = f", {age(until - now)} left" if until else ""
    if not soak:
        return [line(("waits   ", "dim"), brief(": ".join(filter(None, (looked["step"], looked["seen"])))), left)]
    done = f"{soak['passes']} passes ({soak['of_passes']} needed)"
    if soak["of_s"]:
        done += f", {soak['observed_s']:.0f} of {soak['of_s']:.0f} s"
    rows = [line(("waits   ", "dim"), f"{looked['step']}: {done}{left}")]
    if soak["of_s"] and width >= WIDE:
        share = min(1.0, soak["observed_s"] / soak["of_s"])
        rows[0].append("  ").append(DONE * round(share * 20), "green").append(TO_DO * (20 - round(share * 20)), "dim")
    return rows


def _last(stands: Mapping[str, Any]) -> Text:
    """The most important line: the way back while there is one, else what to type next."""
    if stands["way_back"]:
        until = stands["way_back_until"]
        return line(("back    ", "dim"), (stands["way_back"], "bold"), f" until {clock_time(until)}" if until else "")
    if stands["next"]:
        return line(("next    ", "dim"), brief(stands["next"]))
    return line(
        "closed" if stands["closed_at"] is not None else "nothing was changed yet: there is nothing to put back"
    )

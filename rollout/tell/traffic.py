"""Where traffic was, when: routes that were declared, routes that were found, and what each swap took. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.journal import Entry
from rollout.tell.case import Case

SWAPS = ("swap:", "back:swap", "back:hold:again")
MARKS = {
    "roll_back_decided": "turning back",
    "halted": "halted",
    "paused": "paused",
    "resumed": "resumed",
    "adopted": "taken as it is",
}


@dataclass(frozen=True, slots=True)
class Point:
    """From `at` on the route had these weights (percent). `how` is captured, declared (by us) or found."""

    at: float
    weights: Mapping[str, int]
    how: str
    step: str


@dataclass(frozen=True, slots=True)
class Swap:
    """`write_s`: from journalled intent to journalled result; `followed_s`: from there until clients followed."""

    step: str
    at: float
    weights: Mapping[str, int]
    write_s: float | None
    followed_s: float | None


def points_of(case: Case) -> list[Point]:
    """Every change of the route that the journal knows of, oldest first."""
    found = list[Point]()
    for entry in case.entries:
        for at, weights, how in _routes(entry):
            if not found or dict(found[-1].weights) != weights:
                found.append(Point(at, weights, how, entry.step))
    return found


def _routes(entry: Entry) -> Iterator[tuple[float, dict[str, int], str]]:
    value, data = entry.data.get("value"), entry.data
    if entry.kind == "done" and entry.step == "capture" and isinstance(value, Mapping):
        yield from _route(entry, value.get("route"), "captured")
    elif entry.kind == "intended":
        yield from _route(entry, data.get("seen"), "found")
    elif entry.kind == "done" and entry.step.startswith(SWAPS):
        yield from _route(entry, value, "declared")
    elif entry.kind in ("roll_back_decided", "resumed", "adopted"):
        yield from _route(entry, {"weights": data.get("route")}, "found")
    elif entry.kind == "halted" and isinstance(data.get("evidence"), Mapping):
        yield from _route(entry, data["evidence"].get("route"), "found")


def _route(entry: Entry, route: Any, how: str) -> Iterator[tuple[float, dict[str, int], str]]:
    weights = route.get("weights") if isinstance(route, Mapping) else None
    if isinstance(weights, Mapping) and weights and all(isinstance(share, int) for share in weights.values()):
        yield entry.at, {str(slot): int(share) for slot, share in weights.items()}, how


def last_known(case: Case) -> dict[str, int] | None:
    """Where traffic was last known to be; None before anybody looked."""
    points = points_of(case)
    return dict(points[-1].weights) if points else None


def most_of(weights: Mapping[str, int] | None) -> str | None:
    """The side that most of the traffic meets."""
    return max(sorted(weights), key=lambda slot: weights[slot]) if weights else None


def swaps_of(case: Case) -> list[Swap]:
    """Every swap that was carried out, and what it took."""
    found = list[Swap]()
    for index, entry in enumerate(case.entries):
        value = entry.data.get("value")
        if entry.kind != "done" or not entry.step.startswith(SWAPS) or not isinstance(value, Mapping):
            continue
        if value.get("already") or not isinstance(value.get("weights"), Mapping):
            continue
        meant = _last(case.entries[:index], "intended", entry.step)
        seen = next((each for each in case.entries[index:] if _followed(each, entry.step)), None)
        write_s = entry.at - meant.at if meant else None
        found.append(Swap(entry.step, entry.at, value["weights"], write_s, seen.at - entry.at if seen else None))
    return found


def _followed(entry: Entry, swap: str) -> bool:
    step = "back:observed" if swap.startswith("back:") else swap.replace("swap:", "observed:", 1)
    return entry.kind == "ended" and entry.step == step and entry.data.get("outcome") == "met"


def _last(entries: Sequence[Entry], kind: str, step: str) -> Entry | None:
    return next((entry for entry in reversed(entries) if entry.kind == kind and entry.step == step), None)


def marks_of(case: Case) -> list[tuple[float, str]]:
    """What a chart of the traffic points out."""
    marks = [(entry.at, MARKS[entry.kind]) for entry in case.entries if entry.kind in MARKS]
    if case.promoted_at is not None:
        marks.append((case.promoted_at, "promoted"))
    return sorted(marks)

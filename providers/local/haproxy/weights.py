"""weights.map: the one entry by which HAProxy shares traffic, on disk and in its memory. Pure.

An entry of ours is `green_pct 25:17`: percent on green, and the revision of the state that it stands for. HAProxy
uses the percent alone, so a person may set a bare `25`; that the revision is missing or another shows that it was a
person's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from providers.local.balancer.state import State

MAP, KEY = "weights.map", "green_pct"
_NUMBER = re.compile(r"\s*([+-]?)([0-9]{1,18})")


@dataclass(frozen=True)
class Entry:
    """One value of the map, as text. `percent` is what HAProxy makes of it."""

    text: str

    @property
    def percent(self) -> int:
        """0..100 on green; what is no number counts as 0, as HAProxy has it."""
        found = _NUMBER.match(self.text.partition(":")[0])
        if found is None or found[1] == "-":
            return 0
        return min(int(found[2]), 100)

    @property
    def weights(self) -> dict[str, int]:
        return {"blue": 100 - self.percent, "green": self.percent}

    @property
    def plain(self) -> bool:
        """Whether it is well formed: a percent, perhaps with a revision."""
        return re.fullmatch(r"(100|[0-9]{1,2})(:[0-9]{1,18})?", self.text) is not None


ABSENT = Entry("")


def entry_of(state: State) -> Entry:
    """What stands for this state."""
    return Entry(f"{percent(state.weights)}:{state.revision}")


def percent(weights: Mapping[str, int]) -> int:
    """The share of green. A share above 0 is never rounded to nothing, one below all never to everything."""
    blue, green = weights["blue"], weights["green"]
    share = round(100 * green / (blue + green))
    return min(max(share, 1 if green else 0), 100 if not blue else 99)


def file_text(entry: Entry) -> str:
    return f"{KEY} {entry.text}\n"


def from_file(text: str) -> Entry:
    """The entry of a map file (`key value` lines, # comments); ABSENT when there is none."""
    return _first(line for line in text.split("\n") if not line.lstrip().startswith("#"))


def from_memory(answer: str) -> Entry:
    """The entry of HAProxy's answer to `show map` (`0x… key value` lines)."""
    return _first(line.strip().partition(" ")[2] for line in answer.split("\n") if line.strip())


def _first(lines: Iterable[str]) -> Entry:
    values = []
    for line in lines:
        key, _, value = line.strip().partition(" ")
        if key == KEY:
            values.append(value.strip())
    if len(values) < 2:
        return Entry(values[0]) if values else ABSENT
    # HAProxy takes the first of several; that there are more is a person's doing and has to show.
    return Entry(values[0] if values[0] != values[1] else f"{values[0]} twice")

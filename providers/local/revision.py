"""The revision of a route. Standard library only: the emergency path uses it, too.

The balancer counts every change. Changed targets leave the route as it was, so they keep its revision: which of
the balancer's counts that holds for is kept in route.json. A hold mark is a part of the route and of its revision.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from providers.local.balancer.store import write_atomic

if TYPE_CHECKING:
    from providers.local.balancer.answers import StateAnswer

SAME = "route.json"


def of(directory: Path, state: StateAnswer) -> str:
    mark = state["mark"]
    suffix = "" if mark is None else "." + hashlib.sha256(json.dumps(mark).encode()).hexdigest()[:8]
    return f"r{_counted(directory, state['revision'])}{suffix}"


def keep(directory: Path, before: StateAnswer, after: StateAnswer) -> None:
    """Note that only targets changed between these two."""
    counts = {"count": after["revision"], "route": _counted(directory, before["revision"])}
    write_atomic(directory / SAME, json.dumps(counts).encode())


def _counted(directory: Path, count: int) -> int:
    try:
        kept = json.loads((directory / SAME).read_bytes())
        return int(kept["route"]) if kept["count"] == count else count
    except (OSError, ValueError, KeyError, TypeError):
        return count  # at worst a writer is told to read again

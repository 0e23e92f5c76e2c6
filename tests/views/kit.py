"""What the tests of the views share: pictures of a rollout, and what rich makes of them at a size."""

from __future__ import annotations

import io
import threading
from typing import IO, Any, cast

from rich.cells import cell_len
from rich.console import Console, RenderableType

from providers.base import Counters, Reading, Route, TargetHealth
from rollout.view.stream import Event, Picture

PATIENCE_S = 20.0
NOW = 1_800_000_000.0
DIGEST = "sha256:" + "ab12" * 16


def stands(**changes: Any) -> dict[str, Any]:
    """A summary as rollout/summary.py makes it."""
    return {
        "id": "shop-20261121-6d5855",
        "service": "shop",
        "phase": "shifting",
        "outcome": "running",
        "exit_code": 7,
        "active_slot": "blue",
        "image": DIGEST,
        "patch": "base-2",
        "original": "blue",
        "replacement": "green",
        "traffic": {"blue": 90, "green": 10},
        "traffic_read": "journal",
        "reason": "",
        "actor": "alice@host",
        "opened_reason": "CVE-2026-1",
        "ref": "",
        "paused": None,
        "warning": None,
        "opened_at": NOW - 60,
        "closed_at": None,
        "way_back_until": None,
        "way_back": "rollout rollback shop",
        "advisories": None,
        "next": "rollout resume shop-20261121-6d5855",
        "waits_for": "live:1:10",
        "driven_by": "process 12 on host",
        "recent": True,
        **changes,
    }


def looked(**changes: Any) -> dict[str, Any]:
    """A look at a gate, as the stream tells it."""
    return {
        "id": "shop-20261121-6d5855",
        "step": "live:1:10",
        "seen": "pass; 2 of 3 passes",
        "unreadable": False,
        "text": None,
        "waits": "live:1:10: pass; 2 of 3 passes",
        "until": NOW + 50,
        "soak": {"passes": 2, "of_passes": 3, "observed_s": 4.0, "of_s": 10.0},
        "verdicts": {
            "http": {"answer": "pass", "summary": "3 of 3 answered as expected", "at": NOW - 1},
            "balancer": {"answer": "fail", "summary": "1 of 2 targets unhealthy: refused", "at": NOW - 4},
        },
        **changes,
    }


def side(**changes: Any) -> dict[str, Any]:
    """One side of a traffic reading."""
    return {
        "role": "original",
        "image": DIGEST,
        "weight": 90,
        "requests": 1204,
        "failed": 0,
        "per_s": 45.2,
        "in_flight": 2,
        "healthy": 2,
        "unhealthy": 0,
        "unknown": 0,
        **changes,
    }


def sides(**changes: Any) -> dict[str, Any]:
    """A traffic reading of both sides."""
    green = side(role="replacement", weight=10, requests=131, failed=3, healthy=1, unhealthy=1, image="base-2")
    return {
        "id": "shop-20261121-6d5855",
        "at": NOW,
        "sides": {"blue": side(), "green": green},
        "problem": "",
        **changes,
    }


def picture(*events: Event) -> Picture:
    """What these events add up to."""
    made = Picture()
    for event in events:
        made = made.after(event)
    return made


def whole() -> Picture:
    """A rollout in the middle of its first step."""
    return picture(Event("stands", stands()), Event("looked", looked()), Event("traffic", sides()))


def lines(shown: RenderableType, width: int, *, colours: bool = False) -> list[str]:
    """What a terminal of this width shows."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=colours, color_system="standard" if colours else None)
    console.print(shown)
    return out.getvalue().rstrip("\n").split("\n")


def widest(shown: list[str]) -> int:
    return max(cell_len(line) for line in shown)


def reading(requests: int, at: float, *, counters_id: str = "one", failed: int = 0, errors: int = 0) -> Reading:
    """Blue has all traffic; green answers with `errors` times 5xx and the balancer with `failed`."""
    return Reading(
        route=Route({"blue": 90, "green": 10}, "r1"),
        targets={"blue": TargetHealth(2), "green": TargetHealth(1, 1, 1)},
        counters={"blue": Counters(requests, {"2xx": requests}), "green": Counters(errors, {"5xx": errors}, failed, 3)},
        counters_id=counters_id,
        at=at,
    )


class Terminal:
    """Keeps what is written. `size` is what it says of itself; `blocked` makes every write wait."""

    def __init__(self, *, blocked: bool = False) -> None:
        self.text = ""
        self.columns, self.rows = 60, 20
        self.open = threading.Event()
        self.encoding = "utf-8"
        self._written = threading.Condition()
        if not blocked:
            self.open.set()

    @property
    def file(self) -> IO[str]:
        return cast(IO[str], self)

    def size(self) -> tuple[int, int]:
        return self.columns, self.rows

    def write(self, text: str) -> int:
        self.open.wait(PATIENCE_S)
        with self._written:
            self.text += text
            self._written.notify_all()
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True

    def wait_for(self, text: str, times: int = 1) -> None:
        with self._written:
            assert self._written.wait_for(lambda: self.text.count(text) >= times, PATIENCE_S), self.text

"""What happens to rollouts as one stream of events: JSON lines, plain lines and the live view are told the same.

Pure: an event is plain data, a picture is what the events so far add up to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rollout.telling import brief, is_pause, sentence, waiting

if TYPE_CHECKING:
    from rollout.journal import Entry
    from rollout.rows import Wait

PICTURES = ("stands", "listed", "said")
"""Events that are for the eye only: what they show is in other events, or at the end in the summary."""
TOLD = 8
"""Sentences that a picture keeps."""


@dataclass(frozen=True, slots=True)
class Event:
    """`kind` is that of a journal entry, or one of

    looked   at a wait: `data` has id, step, seen, unreadable (nobody could tell), waits (in words), until (seconds
             since 1970, None: no end), soak ({passes, of_passes, observed_s, of_s}, None: not a gate) and verdicts
             (check → answer, summary, at)
    traffic  was read: id, at, sides (slot → rollout/meter.py's side; None: unknown) and problem (why, else empty)
    driven   by somebody else: id, by
    stands   how a rollout stands: its summary
    listed   how all stand: rollouts (summaries), holds, served_by
    said     to people, about the command itself

    `text` is what people read of it, None for nothing; `at` is when it happened.
    """

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    at: float | None = None

    @property
    def line(self) -> dict[str, Any] | None:
        """Its JSON line; None for what is shown only."""
        return None if self.kind in PICTURES else {"event": self.kind, **self.data}


def of_entry(entry: Entry) -> Event:
    told = sentence(entry)
    data = {"id": entry.rollout, "seq": entry.seq, "at": entry.at, "step": entry.step, "text": told}
    return Event(entry.kind, data, told, entry.at)


def of_wait(rollout: str, wait: Wait, now: float) -> Event:
    """`text` is None: few of many looks are worth a line, and whoever shows them knows which."""
    state = wait.state
    data = {
        "id": rollout,
        "step": wait.step,
        "seen": state.get("seen"),
        "unreadable": bool(state.get("unreadable")),
        "text": None,
        "waits": waiting(wait, now),
        "until": _until(wait),
        "soak": _soak(state) if not is_pause(wait.step) and "until" not in state else None,
        "verdicts": {
            check: {**told, "summary": brief(str(told["summary"]))} for check, told in state.get("verdicts", {}).items()
        },
    }
    return Event("looked", data)


def _until(wait: Wait) -> float | None:
    """When the wait ends in any case. A gate does not count the time in which nobody looked."""
    if "until" in wait.state:
        return float(wait.state["until"])
    rule, judged = wait.state.get("rule"), wait.state.get("judged")
    if is_pause(wait.step) or not rule or not judged:
        return wait.deadline_at
    given_s = rule["deadline_s"] + judged["lost_s"] + min(judged["discarded_s"], rule["soak_s"])
    return float(wait.started_at + given_s)


def _soak(state: Mapping[str, Any]) -> dict[str, Any] | None:
    rule, judged = state.get("rule"), state.get("judged")
    if not rule or not judged:
        return None
    return {
        "passes": judged["passes"],
        "of_passes": rule["passes"],
        "observed_s": judged["observed_s"],
        "of_s": rule["soak_s"],
    }


def of_driver(rollout: str, by: str) -> Event:
    return Event("driven", {"id": rollout, "by": by}, f"{by} drives it; watching")


def said(text: str) -> Event:
    return Event("said", {}, text)


_ENDS_WAIT = ("ended", "failed", "roll_back_decided", "adopted", "halted", "resumed", "closed")


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be seen now: of one rollout (`stands`), or of all (`listed`). Empty mappings: not known yet."""

    stands: Mapping[str, Any] = field(default_factory=dict)
    looked: Mapping[str, Any] = field(default_factory=dict)
    traffic: Mapping[str, Any] = field(default_factory=dict)
    listed: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[Event, ...] = ()

    def after(self, event: Event) -> Picture:
        told = (*self.told, event)[-TOLD:] if event.text else self.told
        if event.kind in ("stands", "looked", "traffic", "listed"):
            return replace(self, **{event.kind: event.data}, told=told)
        if event.kind in _ENDS_WAIT:
            return replace(self, looked={}, told=told)
        return replace(self, told=told)

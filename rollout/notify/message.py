"""News in words: what happened, why, where traffic was left, and what to type next. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

FLEET = "fleet"
"""What stands for the rollout in news of the fleet's own journal (rollout/fleet_journal.py)."""

TITLE_LENGTH = 120
TEXT_LENGTH = 600


@dataclass(frozen=True, slots=True)
class News:
    """One row of the outbox; from `step` on, what the rollout's journal said at that entry, where it is known."""

    id: int
    at: float
    kind: str
    service: str
    rollout: str
    seq: int
    data: Mapping[str, Any] = field(default_factory=dict)
    step: str = ""
    patch: str = ""
    reason: str = ""
    traffic: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a person reads: one line, some lines, and the next command. `at` is when it happened."""

    kind: str
    at: float
    title: str
    text: str
    next: str
    service: str = ""
    rollout: str = ""
    reason: str = ""
    traffic: Mapping[str, int] | None = None

    @property
    def body(self) -> str:
        return f"{self.text}\nnext: {self.next}" if self.next else self.text

    def to_json(self) -> dict[str, Any]:
        """The body of a webhook, as Standard Webhooks has it."""
        told = ("service", "rollout", "kind", "title", "text", "next", "reason")
        data = {name: getattr(self, name) for name in told}
        data["traffic"] = dict(self.traffic) if self.traffic is not None else None
        return {"type": f"rollout.{self.kind}", "timestamp": iso(self.at), "data": data}


def describe(news: News) -> Message:
    """Never fails, whatever the journal's data are."""
    headline, story, following = _TOLD.get(news.kind, _other)(news)
    reason = one_line(news.data.get("reason") or news.data.get("why") or news.reason, TEXT_LENGTH)
    lines = [f"{story}."]
    if reason:
        lines.append(f"reason: {reason}")
    if news.traffic:
        lines.append("traffic: " + ", ".join(f"{slot} {percent} %" for slot, percent in sorted(news.traffic.items())))
    patch = f", patch {news.patch}" if news.patch else ""
    rollout = one_line(news.data.get("rollout"), TITLE_LENGTH) if news.rollout == FLEET else news.rollout
    lines.append(f"rollout {rollout}{patch}, {iso(news.at)}" if rollout else iso(news.at))
    return Message(
        kind=news.kind,
        at=news.at,
        title=one_line(f"{news.service}: {headline}", TITLE_LENGTH),
        text="\n".join(one_line(line, TEXT_LENGTH) for line in lines),
        next=following,
        service=news.service,
        rollout=rollout,
        reason=reason,
        traffic=news.traffic,
    )


def iso(at: object) -> str:
    """Seconds since 1970 as a person and a program can read them; empty for what is no time."""
    try:
        return datetime.fromtimestamp(float(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def one_line(value: object, length: int) -> str:
    """Printable, on one line, at most so long: reasons may come from a platform's answers."""
    text = " ".join("".join(each if each.isprintable() else " " for each in str(value or "")).split())
    return text if len(text) <= length else text[: length - 1] + "…"


_Told = tuple[str, str, str]


def _halted(news: News) -> _Told:
    following = f"rollout status {news.rollout}, then rollout resume {news.rollout} or rollout rollback {news.service}"
    return "halted, a person is needed", "The rollout halted: only a person can decide how it goes on", following


def _rolled_back(news: News) -> _Told:
    following = f"rollout journal show {news.rollout}"
    if news.step == "rolled_back":
        headline = "put back by hand" if news.data.get("outcome") == "aborted" else "rolled back"
        return headline, "Traffic is back where it was before the patch", following
    return "rollout ended", "The rollout was ended before its patch was accepted", following


def _approval(news: News) -> _Told:
    until = iso(news.data.get("deadline_at"))
    story = "The patched side is ready; nothing is moved before somebody approves"
    return "approval wanted", story + (f", until {until}" if until else ""), f"rollout approve {news.rollout}"


def _ending(news: News) -> _Told:
    until = iso(news.data.get("until"))
    story = "The warm side is about to be given up" + (f", at {until}" if until else "")
    return "the way back is ending", story + "; until then traffic can be put back", f"rollout rollback {news.service}"


def _failing(news: News) -> _Told:
    story = "A check fails on the promoted side; nothing turns back by itself after promotion"
    return "failing after promotion", story, f"rollout status {news.rollout}, or rollout rollback {news.service}"


def _weak(news: News) -> _Told:
    story = "The warm side could not take all traffic back as it is, and was not put right by itself"
    return "the way back is not whole", story, f"rollout status {news.rollout}, then rollout explain {news.service}"


def _drill(news: News) -> _Told:
    story = "A rehearsal of the way back failed; traffic was not touched"
    return "the drill of the way back failed", story, f"rollout rollback {news.service} --drill"


def _campaign(news: News) -> _Told:
    if "occurrence" in news.data:
        story = f"The campaign was to start at {iso(news.data['occurrence'])}, and did not"
        return "the campaign was missed", story, f"rollout wave start {news.service}"
    story = "Nothing more of the campaign is begun until a person lets it go on; what was begun goes on"
    following = f"rollout wave status {news.service}, then rollout wave resume {news.service} or rollout wave abort"
    return "the campaign is stopped", story, following


def _go_on(news: News) -> _Told:
    story = f"Wave {news.data.get('wave', '')} is through; the next one begins when a person lets it"
    following = f"rollout wave status {news.service}, then rollout wave go-on {news.service}"
    return "a word to go on is wanted", story, following


def _other(news: News) -> _Told:
    return (
        news.kind.replace("_", " "),
        "Something that people want to be told",
        f"rollout status {news.rollout}",
    )


_TOLD: Mapping[str, Callable[[News], _Told]] = {
    "halted": _halted,
    "rolled_back": _rolled_back,
    "approval_wanted": _approval,
    "way_back_ending": _ending,
    "failing_while_warm": _failing,
    "way_back_weak": _weak,
    "drill_failed": _drill,
    "campaign_stopped": _campaign,
    "go_on_wanted": _go_on,
}

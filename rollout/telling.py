"""Journal entries and waits as plain sentences: one stream feeds progress, status and the journal's listing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollout.journal import Entry
    from rollout.rows import Wait

_PHASES = {
    "preparing": "preparing: is the service fit to be rolled out?",
    "mirroring": "mirroring the serving side",
    "patching": "patching the mirror",
    "proving": "proving the mirror healthy and more secure, before it has traffic",
    "shifting": "moving traffic step by step",
    "baking": "baking: all traffic is on the new side, and watched",
    "warm": "promoted; the old side stays warm",
    "retiring": "the window is over: giving the old side up",
    "retired": "the old side was given up",
    "rolling_back": "putting traffic back",
    "rolled_back": "rolled back",
    "adopting": "taking what serves now as it is",
    "adopted": "taken as it was; the next rollout begins from there",
}


def shares(weights: Mapping[Any, int]) -> str:
    return ", ".join(f"{slot} {share} %" for slot, share in sorted(weights.items()))


def sentence(entry: Entry) -> str | None:
    """What an entry says to a person; None for what only replay needs."""
    if entry.kind == "waiting" and entry.step == "approval":
        return f"approval is wanted, by somebody else than who started it: rollout approve {entry.rollout}"
    teller = _TELLERS.get(entry.kind)
    told = teller(entry.step, entry.data) if teller else None
    return brief(told) if told else None


def brief(text: str, longest: int = 320) -> str:
    """On one line, without control characters, and not endless: the journal has the whole of it."""
    text = visible(" ".join(text.split()))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def visible(text: str) -> str:
    """What a platform or a person wrote must not steer the terminal that shows it."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _done(step: str, data: Mapping[str, Any]) -> str | None:
    value = data.get("value")
    if step.startswith(("swap:", "back:swap", "back:hold:again")) and isinstance(value, Mapping):
        note = f" ({value['note']})" if value.get("note") else ""
        return f"traffic: {shares(value['weights'])}{note}"
    if step == "capture":
        return f"captured: {shares(value['route']['weights'])}, {value['healthy']} healthy" if value else None
    if step.startswith("keep:") and isinstance(value, Mapping) and "already" not in value:
        was = f"{value['slot']}'s floor was lowered to {value['found']} by somebody or a schedule"
        return f"{was}: it is {value['floor']} again, which the way back stands on until the rollout ends"
    simple = {
        "card": "wrote the rollback card: from here a rollback is one command",
        "mirror": "mirrored the serving side",
        "patch": "the patched image is ready",
        "launch": "launched the mirror",
        "attach": "the mirror is a target of the balancer, with no traffic",
        "give-up": "gave the old side up",
        "back:give-up": "gave the patched side up",
        "back:deny": "denied the image for this service: a check on it failed",
    }
    return simple.get(step)


def _ended(step: str, data: Mapping[str, Any]) -> str | None:
    outcome = data["outcome"]
    if outcome == "passed":
        return f"gate {step} passed ({data['why']})"
    if outcome == "met" and step in ("running", "healthy"):
        return f"{step}: {data['seen']}"
    if outcome == "gave_up":
        return f"{step}: went on without it ({data['seen']})"
    return f"failed: {data['reason']}" if outcome == "failed" else None


def _verdict(step: str, data: Mapping[str, Any]) -> str | None:
    return f"check {data['check']}: {data['answer']}: {data['summary']}"


def _decided(data: Mapping[str, Any]) -> str:
    """The reason was told just before, where it was the rollout's own."""
    if data["kind"] == "gate":
        return f"turning back by itself; {data['readiness']}"
    return f"turning back, as {data['actor']} asked: {data['reason']}"


def _adopted(data: Mapping[str, Any]) -> str:
    """What serves is what the route says."""
    return f"{data['by']} took what serves now as it is: {shares({k: v for k, v in data['route'].items() if v})}"


_WARNINGS = {
    "failing": "what serves fails its checks while the way back is open",
    "way_back_ending": "the way back is about to close",
    "way_back": "the way back is not what it should be",
    "kept": "the way back is not kept with the traffic itself",
}

_TELLERS: Mapping[str, Callable[[str, Mapping[str, Any]], str | None]] = {
    "opened": lambda step, data: f"opened by {data['actor']}",
    "entered": lambda step, data: _PHASES.get(step),
    "done": _done,
    "failed": lambda step, data: f"failed: {data['reason']}",
    "ended": _ended,
    "troubled": lambda step, data: f"trouble: {data['reason']}; trying again",
    "recovered": lambda step, data: "recovered",
    "verdict_changed": _verdict,
    "roll_back_decided": lambda step, data: _decided(data),
    "warm_ended": lambda step, data: f"{data['by']} ended the warm time early",
    "halted": lambda step, data: f"halted, a person is needed: {data['reason']}",
    "resumed": lambda step, data: f"{data.get('by') or data.get('actor')} let it go on",
    "paused": lambda step, data: f"paused by {data['by']}: {data['reason'] or 'no reason given'}",
    "waiting": lambda step, data: f"stands still: {data['seen']}" if is_pause(step) else None,
    "adopted": lambda step, data: _adopted(data),
    "warned": lambda step, data: f"warning: {data['reason']}",
    "cleared": lambda step, data: f"no longer so: {_WARNINGS.get(data['about'], data['about'])}",
    "approved": lambda step, data: f"{data['by']} approved",
    "closed": lambda step, data: f"closed: {data['outcome']}",
}


def waiting(wait: Wait, now: float) -> str:
    """What a rollout waits for, what was last seen of it, and for how long still."""
    if is_pause(wait.step):
        return brief(wait.state.get("seen") or "paused")
    if "until" in wait.state:
        return f"{wait.step} until {clock_time(wait.state['until'])}"
    wanted = wait.state.get("for") or f"gate {wait.state.get('gate', '')}"
    seen = wait.state.get("seen", "")
    left = f", {max(0.0, wait.deadline_at - now):.0f} s left" if wait.deadline_at else ""
    return brief(f"{wait.step}: {seen or wanted}{left}")


def is_pause(step: str) -> bool:
    """Nothing is waited for but a person's word."""
    return step in ("held", "frozen") or step.startswith("paused:")


def clock_time(at: float) -> str:
    """A time as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def minute(at: float) -> str:
    """The same, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def short(image: str | None, longest: int = 28) -> str:
    """Enough of an image's name to tell it from another: of a digest the beginning, of a path the end."""
    if not image:
        return "-"
    image = brief(image)
    kind, colon, digest = image.rpartition(":")
    if colon and len(digest) >= 32:
        return f"{kind[-12:]}:{digest[:12]}"
    return image if len(image) <= longest else f"…{image[1 - longest :]}"


def age(seconds: float) -> str:
    """As short as it can be: 4 s, 12 min, 3 h, 2 d."""
    seconds = max(0.0, seconds)
    for limit, unit, word in ((100, 1, "s"), (100 * 60, 60, "min"), (48 * 3600, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {word}"
    return f"{seconds / 86400:.0f} d"


def count(value: float) -> str:
    """A count or a rate in at most seven characters, up to a million millions."""
    for limit, unit, sign in ((1e13, 1e9, "G"), (1e10, 1e6, "M"), (1e7, 1e3, "k")):
        if value >= limit / 10:
            return f"{value / unit:.1f}{sign}" if value / unit < 99_999 else f"{value / unit:.0f}{sign}"
    return f"{value:.0f}" if isinstance(value, int) or value >= 100 else f"{value:.1f}"

"""Journal entries and waits as plain sentences: one stream feeds progress, status and the journal's listing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

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
}


def shares(weights: Mapping[str, int]) -> str:
    return ", ".join(f"{slot} {share} %" for slot, share in sorted(weights.items()))


def sentence(entry: Entry) -> str | None:
    """What an entry says to a person; None for what only replay needs."""
    teller = _TELLERS.get(entry.kind)
    told = teller(entry.step, entry.data) if teller else None
    return brief(told) if told else None


def brief(text: str, longest: int = 320) -> str:
    """On one line, and not endless: the journal has the whole of it."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _done(step: str, data: Mapping[str, Any]) -> str | None:
    value = data.get("value")
    if step.startswith(("swap:", "back:swap", "back:hold:again")) and isinstance(value, Mapping):
        return f"traffic: {shares(value['weights'])}"
    if step == "capture":
        return f"captured: {shares(value['route']['weights'])}, {value['healthy']} healthy" if value else None
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
    "approved": lambda step, data: f"{data['by']} approved",
    "closed": lambda step, data: f"closed: {data['outcome']}",
}


def waiting(wait: Wait, now: float) -> str:
    """What a rollout waits for, what was last seen of it, and for how long still."""
    if "until" in wait.state:
        return f"{wait.step} until {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(wait.state['until']))}"
    wanted = wait.state.get("for") or f"gate {wait.state.get('gate', '')}"
    seen = wait.state.get("seen", "")
    left = f", {max(0.0, wait.deadline_at - now):.0f} s left" if wait.deadline_at else ""
    return f"{wait.step}: {seen or wanted}{left}"

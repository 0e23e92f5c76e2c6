"""How one rollout stands as lines for people: what went wrong, the way back, where traffic is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rollout.telling import brief, minute, shares

LEDGER_PARTS = ("fixed", "remaining", "introduced", "unknown")


def standing(summary: Mapping[str, Any]) -> str:
    """All of it, the most important line last."""
    from rollout.summary import needs_a_driver  # what it imports is not needed for an overview of nothing

    ref = f"  {brief(summary['ref'])}" if summary["ref"] else ""
    lines = [
        f"{summary['id']}  {_stage(summary)}{ref}",
        f"  patch    {summary['patch']} onto {summary['replacement']}, beside {summary['original']}",
    ]
    if summary.get("waits_for"):
        lines.append(f"  waits    {summary['waits_for']}")
    if summary.get("driven_by"):
        lines.append(f"  driven   {summary['driven_by']}")
    elif needs_a_driver(summary):
        watched = "watched" if summary["outcome"] == "promoted" else "driven"
        lines.append(f"  {watched:8} by nobody: rollout serve, or rollout resume {summary['id']}")
    lines += trouble(summary, longest=2000)
    if summary["advisories"]:
        lines.append(f"  security {advisories_line(summary['advisories'])}")
    lines += [*way_back(summary), *next_command(summary), *danger(summary)]
    if summary["traffic"]:
        read = "" if summary["traffic_read"] == "live" else " (as last journalled)"
        lines.append(f"  traffic  {shares(summary['traffic'])}{read}")
    return "\n".join(lines)


def trouble(summary: Mapping[str, Any], longest: int = 320) -> list[str]:
    """What holds it up, and why it is where it is, in at most `longest` characters."""
    lines = []
    if summary["paused"]:
        lines.append(f"  paused   by {brief(summary['paused']['by'])}: {brief(summary['paused']['reason'])}")
    if summary["reason"]:
        lines.append(f"  because  {brief(summary['reason'], longest)}")
    if summary["warning"]:
        lines.append(f"  warning  {summary['warning']}")
    return lines


def way_back(summary: Mapping[str, Any]) -> list[str]:
    """The command that puts traffic back, and when that was last tried; empty where no way back is open."""
    if not summary["way_back"]:
        return []
    drilled = [f"  drilled  {summary['drilled']}"] if summary.get("drilled") else []
    return [f"  way back {summary['way_back']}{until(summary['way_back_until'])}", *drilled]


def next_command(summary: Mapping[str, Any]) -> list[str]:
    return [f"  next     {summary['next']}"] if summary["next"] else []


def danger(summary: Mapping[str, Any]) -> list[str]:
    """That nothing serves."""
    return [f"  DANGER   {summary['not_serving']}"] if summary.get("not_serving") else []


def until(at: float | None) -> str:
    return f" until {minute(at)}" if at else ""


def advisories_line(ledger: Mapping[str, Any]) -> str:
    counts = ledger.get("counts") or {part: len(ledger[part]) for part in LEDGER_PARTS}
    return ", ".join(f"{counts[part]} {part}" for part in LEDGER_PARTS)


def _stage(summary: Mapping[str, Any]) -> str:
    """Where it is in a few words; a way back that is under way is never told as a way forward."""
    outcome, phase = summary["outcome"], summary["phase"]
    if summary.get("turning_back") and outcome == "running":
        by = "" if summary["turning_back"] == "by itself" else f", as {summary['turning_back']} asked"
        return f"turning back{by} ({phase})"
    paused = "paused, " if summary["paused"] else ""
    return f"{paused}{outcome}" if outcome == phase else f"{paused}{outcome} ({phase})"

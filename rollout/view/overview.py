"""How everything stands as lines for people, each rollout with the command that puts it back. Pure, standard library.

The same lines are `rollout status` on paper and, cut to the terminal, the live view of a whole fleet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.telling import brief, minute, shares, short
from rollout.view.standing import danger, next_command, trouble, until, way_back

EMPTY = "no rollouts yet; begin with: rollout plan SERVICE"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together; the first says what they are about. `outcome` is for its colour."""

    lines: tuple[str, ...]
    outcome: str = ""


def nothing() -> dict[str, Any]:
    """What the listing says where there is no store yet."""
    return {"rollouts": [], "freezes": [], "holds": [], "served_by": None, "workers": [], "rollback_only": None}


def unattended(listed: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The open rollouts that nobody drives, though they should be."""
    from rollout.summary import needs_a_driver  # what it imports is not needed where there is nothing yet

    return [summary for summary in listed["rollouts"] if needs_a_driver(summary)]


def overview(listed: Mapping[str, Any]) -> list[Block]:
    """In the order of `rollout/listing.py`, what needs a person at the end."""
    recent = [_recent(summary) for summary in listed["rollouts"] if summary["recent"]]
    older = [_older(summary) for summary in listed["rollouts"] if not summary["recent"]]
    holds = [_hold(hold) for hold in listed["holds"]]
    frozen = [_hold({**each, "service": each["scope"]}) for each in listed.get("freezes", ())]
    lines = []
    if older:
        lines.append(Block(("before the last 24 hours:", *older)))
    if holds:
        lines.append(Block(("held, so that no rollout takes a step:", *holds)))
    if frozen:
        lines.append(Block(("FROZEN, so that nothing takes a step forward (rollout freeze off SCOPE):", *frozen)))
    if not listed["rollouts"]:
        lines.append(Block((EMPTY,)))
    return [*recent, *lines, Block(tuple(_driving(listed)))]


def text_of(blocks: Sequence[Block]) -> str:
    return "\n".join(line for block in blocks for line in block.lines)


def _recent(summary: Mapping[str, Any]) -> Block:
    how = "paused" if summary["paused"] else summary["outcome"]
    ref = f" ({brief(summary['ref'])})" if summary["ref"] else ""
    why = f": {brief(summary['opened_reason'])}" if summary["opened_reason"] else ""
    lines = [
        f"{summary['id']}  {how} ({summary['phase']})  {minute(summary['opened_at'])}",
        f"  opened   by {brief(summary['actor'])}{ref}{why}",
    ]
    lines += trouble(summary)
    if summary["driven_by"]:
        lines.append(f"  driven   by {summary['driven_by']}")
    lines += [*(way_back(summary) or next_command(summary)), *danger(summary)]
    lines.append(f"  traffic  {_traffic(summary)}")
    return Block(tuple(lines), how)


def _traffic(summary: Mapping[str, Any]) -> str:
    """Which image most of it meets, and where it is."""
    if not summary["traffic"]:
        return "not moved yet"
    patched = summary["active_slot"] == summary["replacement"]
    image = f"{brief(summary['patch'])} {short(summary['image'])}" if patched else short(summary["image"])
    read = "" if summary["traffic_read"] == "live" else ", as last journalled"
    return f"{shares(summary['traffic'])} ({image}{read})"


def _older(summary: Mapping[str, Any]) -> str:
    ended = summary["closed_at"] or summary["opened_at"]
    return f"  {summary['id']}  {summary['outcome']} ({summary['phase']})  {minute(ended)}"


def _hold(hold: Mapping[str, Any]) -> str:
    ref = f" ({brief(hold['ref'])})" if hold["ref"] else ""
    why = brief(hold["reason"]) or "no reason given"
    return f"  {hold['service']}  by {brief(hold['actor'])}{ref}{until(hold['until'])}: {why}"


def _driving(listed: Mapping[str, Any]) -> list[str]:
    """Whether anybody sees to what is open."""
    server = listed["served_by"]
    lines = [f"served by {server['holder']} since {minute(server['since'])}"] if server else []
    if (workers := len(listed.get("workers", ()))) and not server:
        lines.append(f"workers: {workers}; no rollout serve is running: campaigns, notifications and checkpoints wait")
    for summary in unattended(listed) if listed["rollouts"] else ():
        watched = "watches" if summary["outcome"] == "promoted" else "drives"
        lines += [f"nobody {watched} {summary['id']}:", f"  rollout serve, or rollout resume {summary['id']}"]
    if listed.get("rollback_only"):
        lines.append(str(listed["rollback_only"]))
    return lines or (["no rollout serve is running"] if listed["rollouts"] else [])

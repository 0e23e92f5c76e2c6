"""What the balancers' words for a target's health mean. Pure, and only the standard library: the emergency path is
built on it, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from providers.contract.routing import TargetHealth

REASONS, REASON_LENGTH = 5, 200
Judged = Literal["healthy", "unhealthy", "unknown", "leaving"]
STATES: Mapping[str, Judged] = {
    "healthy": "healthy",
    "unhealthy": "unhealthy",
    "unhealthy.draining": "unhealthy",
    "draining": "leaving",
}
"""All others (initial, unused, unavailable, and what AWS may add) are unknown: nobody has judged them."""
ALL_ONE: Mapping[str, int] = {}
Listed = Sequence[Mapping[str, Any]]
"""The TargetHealthDescriptions of one target group."""


def registered(listed: Listed) -> set[str]:
    """The ids of the targets that are in the target group, and not on their way out."""
    return set(_hosts(listed))


def health(groups: Sequence[Listed], units: Mapping[str, int] = ALL_ONE) -> TargetHealth:
    """Of one slot, from all of its target groups: a host counts as healthy only where all of them call it so, as
    unhealthy where one does, and as unknown where one has not judged it or does not have it. It counts for as many
    `units` as are said of it, for one where none are: then there is at least as much as is said."""
    each = [_hosts(listed) for listed in groups]
    count = {"healthy": 0, "unhealthy": 0, "unknown": 0}
    for host in {host for hosts in each for host in hosts}:
        said = {hosts.get(host, "unknown") for hosts in each}
        judged = "unhealthy" if "unhealthy" in said else "unknown" if "unknown" in said else "healthy"
        count[judged] += units.get(host, 1)
    reasons = {_reason(item) for listed in groups for item in listed if _judged(item) == "unhealthy"}
    draining = {item["Target"]["Id"] for listed in groups for item in listed if _drains(item)}
    return TargetHealth(**count, reasons=tuple(sorted(reasons)[:REASONS]), draining=len(draining))


def _hosts(listed: Listed) -> dict[str, Judged]:
    """The worst that is said of each host; one that listens on several ports is several targets."""
    found: dict[str, Judged] = {}
    worst: tuple[Judged, ...] = ("unhealthy", "unknown", "healthy")
    for item in listed:
        said = _judged(item)
        if said != "leaving":
            host = item["Target"]["Id"]
            found[host] = min(said, found.get(host, said), key=worst.index)
    return found


def _judged(item: Mapping[str, Any]) -> Judged:
    told = item["TargetHealth"]
    return "leaving" if told.get("Reason") == "Target.NotRegistered" else STATES.get(told["State"], "unknown")


def _drains(item: Mapping[str, Any]) -> bool:
    """Is it out, and may still end what it began?"""
    return bool(item["TargetHealth"]["State"] == "draining")


def _reason(item: Mapping[str, Any]) -> str:
    said = item["TargetHealth"]
    parts = [said.get("Reason", ""), said.get("Description", "")]
    return (": ".join(part for part in parts if part) or said["State"])[:REASON_LENGTH]

"""How a rollout stands, as the one object that every command ends with. Light: status must be quick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rollout import exits
from rollout.journal import Entry, Journal
from rollout.phases import can_turn_back
from rollout.rows import Row
from rollout.telling import brief, waiting

if TYPE_CHECKING:
    from rollout.store import Store

LEDGER = {"fixed", "remaining", "introduced", "unknown"}
"""The parts by which a check's evidence is known to be a ledger of advisories."""


def summarise(row: Row, entries: list[Entry], *, now: float, route: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Plain data with at least id, service, phase, outcome, active_slot, image, exit_code.

    `route` is where traffic was read to be now; without it, where the journal last left it.
    """
    journal, plan = Journal(entries), row.plan
    traffic = dict(route) if route is not None else last_route(journal)
    if is_gone(journal):
        traffic = None
    window = is_way_back_open(row, journal, now)
    return {
        "id": row.id,
        "service": row.service,
        "phase": row.phase,
        "turning_back": turning_back(journal),
        "outcome": row.outcome,
        "exit_code": exits.code_for(row.outcome),
        "active_slot": _active(traffic),
        "image": _image(plan, traffic),
        "patch": _patch(plan["patch"]),
        "original": plan["original"],
        "replacement": "green" if plan["original"] == "blue" else "blue",
        "traffic": traffic,
        "traffic_read": "live" if route is not None else "journal",
        "reason": why(journal),
        "actor": row.actor,
        "opened_reason": row.reason,
        "ref": _ref(journal),
        "paused": _paused(journal),
        "warning": _warning(journal),
        "opened_at": row.opened_at,
        "closed_at": row.closed_at,
        "way_back_until": (journal.value("promote") or {}).get("valid_until") if window else None,
        "way_back": f"rollout rollback {row.service}" if window else None,
        "advisories": advisories(journal),
        "next": next_command(row, paused=journal.paused is not None),
    }


def stand(store: Store, row: Row, now: float, route: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The summary, with what it waits for now and who drives it (None: nobody, or it is closed)."""
    summary = summarise(row, store.entries(row.id), now=now, route=route)
    wait, driver = store.wait(row.id), store.driver(row.id, now)
    summary["waits_for"] = waiting(wait, now) if wait and row.closed_at is None else None
    summary["driven_by"] = str(driver) if driver and row.closed_at is None else None
    return summary


def needs_a_driver(summary: Mapping[str, Any]) -> bool:
    """It would go on by itself, or is warm and unwatched, but nobody is there to do it."""
    stands_by_itself = summary["outcome"] == "halted" or summary["paused"]
    return summary["closed_at"] is None and summary.get("driven_by") is None and not stands_by_itself


def is_way_back_open(row: Row, journal: Journal, now: float) -> bool:
    """Written, not used yet, and not past its end."""
    if (
        row.closed_at is not None
        or journal.decision
        or journal.adoption
        or not can_turn_back(row.phase)
        or journal.value("card") is None
    ):
        return False
    valid_until = (journal.value("promote") or {}).get("valid_until")
    return valid_until is None or bool(valid_until > now)


def last_route(journal: Journal) -> dict[str, int] | None:
    """The route that was last known to be declared."""
    for entry in reversed(journal.entries):
        if entry.kind == "adopted":
            return dict(entry.data["route"])
        value = entry.data.get("value") if entry.kind == "done" else None
        if isinstance(value, Mapping) and "weights" in value:
            return dict(value["weights"])
    captured = journal.value("capture")
    return dict(captured["route"]["weights"]) if captured else None


def _active(traffic: Mapping[str, int] | None) -> str | None:
    return max(traffic, key=lambda slot: traffic[slot]) if traffic else None


def _patch(patch: Mapping[str, Any]) -> str:
    """As it was asked for; of an image that a campaign pinned, the name that the platform knows it by."""
    pinned = patch["reference"] in patch["images"].values()
    return str(patch.get("provenance", {}).get("name") or patch["reference"]) if pinned else str(patch["reference"])


def _image(plan: Mapping[str, Any], traffic: Mapping[str, int] | None) -> str | None:
    """The image that most of the traffic meets."""
    active = _active(traffic)
    if active in (None, plan["original"]):
        return str(plan["original_image"])
    return ", ".join(plan["patch"]["images"].values())


def is_gone(journal: Journal) -> bool:
    """Its service was taken down, so that nothing of it has traffic any more."""
    return journal.closed is not None and "by" in journal.closed.data


def turning_back(journal: Journal) -> str | None:
    """Who decided that traffic goes back, while that is not complete yet."""
    if journal.decision is None or journal.closed:
        return None
    return "by itself" if journal.decision.data["kind"] == "gate" else str(journal.decision.data["actor"])


def why(journal: Journal) -> str:
    """The reason for where it stands, in words; empty when all went well."""
    entry = journal.halt or journal.decision
    return str(entry.data["reason"]) if entry else ""


def _paused(journal: Journal) -> dict[str, str] | None:
    said = journal.paused
    return {"by": str(said.data["by"]), "reason": str(said.data["reason"])} if said else None


def _warning(journal: Journal) -> str | None:
    """The latest warning that still holds."""
    warned = max(journal.warnings.values(), key=lambda entry: entry.seq, default=None)
    return brief(str(warned.data["reason"])) if warned else None


def _ref(journal: Journal) -> str:
    """The ticket or change that it was opened for; empty when none was named."""
    opened = journal.entries[0] if journal.entries and journal.entries[0].kind == "opened" else None
    return str(opened.data.get("ref") or "") if opened else ""


def advisories(journal: Journal) -> dict[str, Any] | None:
    """The ledger of the latest look at vulnerabilities; None before there was one."""
    for entry in reversed(journal.entries):
        for verdict in entry.data.get("verdicts", ()):
            if set(verdict["evidence"]) >= LEDGER:
                return dict(verdict["evidence"])
    return None


def next_command(row: Row, *, paused: bool = False) -> str | None:
    """What to type next; None when nothing is left to do."""
    if row.outcome == "rolled_back" and row.closed_at is not None:
        return f"rollout journal show {row.id} has the evidence; then rollout start {row.service} --image REF"
    if row.closed_at is None and paused:
        return f"rollout resume {row.id}"
    if row.closed_at is not None or row.outcome == "promoted":
        return None
    if row.outcome == "halted" and row.phase == "adopting":
        return f"put all traffic on one side, then rollout adopt {row.service} --reason TEXT"
    if row.outcome == "halted":
        return f"rollout explain {row.id}, then rollout resume {row.id} or rollout rollback {row.service}"
    if row.outcome == "waiting_approval":
        return f"rollout approve {row.id}"
    return f"rollout resume {row.id}"

"""Are the journals what they were? Chains recomputed, held against checkpoints, and against an archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.care.chains import Chain, fleet_chain, orphans, rollout_chains
from rollout.care.checkpoint import CheckpointFile, read_checkpoints
from rollout.care.vanished import vanished
from rollout.database import Reads
from rollout.fleet_journal import FLEET
from rollout.telling import clock_time as when

if TYPE_CHECKING:
    from rollout.wiring import Installation

Marks = dict[str, dict[tuple[int, str], float]]
"""For each chain the heads that checkpoints have of it, and when the first of them was written."""


def verify(installation: Installation, which: str | None, against: Path | None = None) -> dict[str, Any]:
    """Chains that were recomputed, what is broken, and what no checkpoint protects. Raises OSError, UnknownRollout."""
    from rollout.control import find

    only = find(installation, which).id if which else None
    held = read_checkpoints(against) if against else None
    with installation.store.db.snapshot() as taken:
        return verify_store(taken, only, held)


def verify_store(db: Reads, only: str | None = None, held: CheckpointFile | None = None) -> dict[str, Any]:
    """The same for a store that is open."""
    marks = _marks(held) if held else {}
    fleet = fleet_chain(db)
    broken = [f"{_FLEETS} {fleet.problem}"] if fleet.problem else []
    broken += [f"{_FLEETS} {found}" for found in _against(fleet, marks.pop(FLEET, {}))]
    heads: dict[str, Any] = {}
    pruned, left, whole = [], dict[str, int](), 0
    for chain in rollout_chains(db, fleet, only):
        marked = marks.pop(chain.name, {})
        problems = [chain.problem] if chain.problem else _against(chain, marked)
        broken += problems
        whole += not problems
        pruned += [chain.name] if chain.pruned else []
        heads[chain.name] = {"entries": chain.head[0], "head": chain.head[1]}
        left[chain.name] = chain.head[0] - max((seq for seq, _ in marked), default=0)
    if only is None:
        broken += orphans(db) + vanished(db, fleet)
        broken += [_missing(name, marked) for name, marked in sorted(marks.items())]
    broken += held.problems if held else []
    verified = {"broken": broken, "verified": whole, "heads": heads, "pruned": pruned}
    fleets = {"entries": fleet.head[0], "head": fleet.head[1]}
    return {**verified, "fleet": fleets, "against": _told(held, left, fleet) if held else None}


def verify_text(verified: Mapping[str, Any]) -> str:
    """For people; what matters most comes last."""
    entries = sum(head["entries"] for head in verified["heads"].values())
    against = verified["against"]
    lines = []
    if verified["pruned"]:
        lines.append(
            f"{len(verified['pruned'])} of them are archived: their heads are as on record, their entries are not here "
            f"(rollout journal verify --archive FILE)"
        )
    lines += against["notes"] if against else []
    lines.append(_unprotected_text(against) if against else _NOTHING_PROTECTS)
    if verified["broken"]:
        return "\n".join([*lines, *verified["broken"], f"{len(verified['broken'])} journals are broken"])
    return "\n".join([*lines, f"{verified['verified']} journals are whole, {entries} entries"])


_FLEETS = "the fleet's own record:"
_NOTHING_PROTECTS = (
    "Not protected: entries cut from the end together with their head, and whole rollouts. Write checkpoints to "
    "another disk (rollout journal checkpoint --out FILE), and verify with --against FILE."
)


def _unprotected_text(against: Mapping[str, Any]) -> str:
    at, left = against["at"], against["unprotected"]
    since = f"since the last checkpoint at {when(at)}" if at is not None else "and there is no checkpoint"
    if not left["entries"] and not left["fleet_entries"]:
        return f"nothing was written {since}: all is protected" if at is not None else "there is no checkpoint"
    parts = [f"{_count(left['entries'], 'entry', 'entries')} of {_count(left['rollouts'], 'rollout', 'rollouts')}"]
    if left["fleet_entries"]:
        parts.append(f"{left['fleet_entries']} of the fleet's own record")
    return f"{' and '.join(parts)} {since} are not protected"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _told(held: CheckpointFile, left: Mapping[str, int], fleet: Chain) -> dict[str, Any]:
    last = held.last
    notes = [f"{held.path}: {line.after}" for line in held.checkpoints[:1] if line.after]
    if held.torn:
        notes.append(f"{held.path}: {_count(held.torn, 'line was', 'lines were')} cut off by a crash and skipped")
    missing = {name: count for name, count in left.items() if count > 0}
    unprotected = {
        "entries": sum(missing.values()),
        "rollouts": len(missing),
        "fleet_entries": max(0, fleet.head[0] - (last.fleet[0] if last else 0)),
    }
    return {
        "file": str(held.path),
        "lines": len(held.checkpoints),
        "torn": held.torn,
        "at": last.at if last else None,
        "notes": notes,
        "unprotected": unprotected,
    }


def _marks(held: CheckpointFile) -> Marks:
    marks: Marks = {}
    for line in held.checkpoints:
        marks.setdefault(FLEET, {}).setdefault(line.fleet, line.at)
        for name, (seq, link, _) in line.heads.items():
            marks.setdefault(name, {}).setdefault((seq, link), line.at)
    return marks


def _against(chain: Chain, marked: Mapping[tuple[int, str], float]) -> list[str]:
    """What the checkpoints of one chain show; at most one line for it."""
    for (seq, link), at in sorted(marked.items(), key=lambda item: item[1]):
        if chain.head[0] < seq:
            return [
                f"{chain.name}: its end was cut off: the checkpoint of {when(at)} has entry {seq}, and it ends at "
                f"entry {chain.head[0]}"
            ]
        found = chain.hash_at(seq)
        if found != link and not (chain.pruned and found is None):
            return [f"{chain.name}: it was rewritten: entry {seq} is not the one that the checkpoint of {when(at)} has"]
    return []


def _missing(name: str, marked: Mapping[tuple[int, str], float]) -> str:
    at = min(marked.values())
    return f"{name}: it is missing: the checkpoint of {when(at)} has it, and the store does not"

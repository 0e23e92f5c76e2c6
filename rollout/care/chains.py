"""Hash chains recomputed from what the store's file really holds, row by row. Standard library only.

Stricter than reading a journal: a row that says the same in other bytes, a link column that nobody reads, and a
summary row that its journal does not bear out are found as well.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollout.database import Reads
from rollout.fleet_journal import FLEET
from rollout.journal import GENESIS, Entry, Journal, canonical, first_broken_link

Head = tuple[int, str]
"""Sequence and hash of a chain's last entry; (0, GENESIS) of an empty one."""


@dataclass(frozen=True, slots=True)
class Chain:
    """One chain as it was found. `problem` is empty when it is whole; `pruned` when its entries are archived."""

    name: str
    entries: Sequence[Entry]
    head: Head
    problem: str = ""
    pruned: bool = False
    closed: bool = False

    def hash_at(self, seq: int) -> str | None:
        """The hash of one entry; None where it is not there (any more)."""
        if seq == 0:
            return GENESIS
        if self.pruned:
            return self.head[1] if seq == self.head[0] else None
        return self.entries[seq - 1].hash if seq <= len(self.entries) else None


class Unreadable(ValueError):
    """A row that no release of this program wrote."""


def head_of(entries: Sequence[Entry]) -> Head:
    return (entries[-1].seq, entries[-1].hash) if entries else (0, GENESIS)


def chain_problem(entries: Sequence[Entry]) -> str:
    """As `first_broken_link`, and each entry's own word about the one before it counts, too."""
    prev = GENESIS
    try:
        if broken := first_broken_link(entries):
            return broken
        for entry in entries:
            if entry.prev != prev:
                return f"{entry.rollout}: entry {entry.seq} names another entry before it than the one that is there"
            prev = entry.hash
    except (ValueError, TypeError, RecursionError) as error:
        return f"an entry cannot be read: {error}"
    return ""


def fleet_chain(db: Reads) -> Chain:
    """The chain of what concerns no one rollout."""
    query = "SELECT 'fleet', seq, at, 0, kind, subject, data, prev, hash FROM fleet_journal ORDER BY seq"
    return _chain(FLEET, db.all(query))


def prunings(fleet: Chain) -> dict[str, tuple[Head, str]]:
    """Rollouts whose entries were archived: head and digest of their rows, as the fleet's chain has them on record.

    The digest is empty where an earlier release archived.
    """
    found = {}
    for entry in fleet.entries:
        if entry.kind == "pruned":
            head = (entry.data.get("head_seq", 0), entry.data.get("head_hash", ""))
            found[str(entry.data.get("rollout"))] = (head, str(entry.data.get("row", "")))
    return found


def rollout_chains(db: Reads, fleet: Chain, only: str | None = None) -> Iterator[Chain]:
    """The chain of every rollout (or of one), oldest first, held against its row in the list of rollouts."""
    pruned = prunings(fleet)
    where, arguments = ("WHERE id = ?", (only,)) if only else ("", ())
    listed = db.all(f"SELECT {_COLUMNS} FROM rollouts {where} ORDER BY opened_at, id", *arguments)  # noqa: S608 - fixed
    for found in listed:
        row = dict(zip(_COLUMNS.split(", "), found, strict=True))
        yield _rollout_chain(db, row, pruned)


def orphans(db: Reads) -> list[str]:
    """Entries of rollouts that the list does not have."""
    query = "SELECT rollout, count(*) FROM journal WHERE rollout NOT IN (SELECT id FROM rollouts) GROUP BY rollout"
    return [f"{rollout}: {count} entries, but no such rollout is listed" for rollout, count in db.all(query)]


_KEPT = "id, service, key, plan, plan_hash, actor, reason, opened_at, phase, outcome, closed_at, head_seq, head_hash"
_COLUMNS = f"{_KEPT}, pruned_at"


def row_digest(db: Reads, rollout: str) -> str:
    """What stands for a rollout's row once its entries are archived: nothing of it changes any more."""
    (found,) = db.all(f"SELECT {_KEPT} FROM rollouts WHERE id = ?", rollout)  # noqa: S608 - fixed
    return _digest(found)


def _digest(values: Sequence[Any]) -> str:
    return hashlib.sha256(repr(tuple(values)).encode("utf-8", "surrogatepass")).hexdigest()


def _rollout_chain(db: Reads, row: Mapping[str, Any], pruned: Mapping[str, tuple[Head, str]]) -> Chain:
    name, head = str(row["id"]), (row["head_seq"], row["head_hash"])
    chain = _chain(name, db.all("SELECT * FROM journal WHERE rollout = ? ORDER BY seq", name))
    closed = row["closed_at"] is not None
    if row["pruned_at"] is not None:
        return Chain(name, (), head, _pruned_problem(chain, row, pruned), pruned=True, closed=closed)
    problem = chain.problem
    if not problem and chain.head != head:
        problem = f"{name}: the journal ends at entry {chain.head[0]}, its head says {head[0]}"
        if chain.head[0] == head[0]:
            problem = f"{name}: the journal's last entry is not the one that its head names"
    return Chain(name, chain.entries, chain.head, problem or _row_problem(row, chain.entries), closed=closed)


def _pruned_problem(chain: Chain, row: Mapping[str, Any], pruned: Mapping[str, tuple[Head, str]]) -> str:
    if chain.entries:
        return f"{chain.name}: it is said to be archived, but {len(chain.entries)} entries of it are here"
    if chain.name not in pruned:
        return f"{chain.name}: its entries are gone, and no archiving of them is on record"
    head, digest = pruned[chain.name]
    if head != (row["head_seq"], row["head_hash"]):
        return f"{chain.name}: it was archived with another head than its row has"
    if digest and digest != _digest([row[column] for column in _KEPT.split(", ")]):
        return f"{chain.name}: its row in the list was edited since it was archived"
    return ""


def _row_problem(row: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    """What the list of rollouts says otherwise than the journal that it sums up."""
    name = row["id"]
    if not entries:
        return f"{name}: it has no journal"
    opened = entries[0]
    try:
        journal = Journal(entries)
    except (KeyError, TypeError, AttributeError) as error:
        return f"{name}: its entries say what no release of this program writes: {error!r}"
    try:
        plan = json.loads(row["plan"])
        plan_hash = hashlib.sha256(canonical(plan).encode()).hexdigest()
    except (ValueError, TypeError, RecursionError):
        return f"{name}: its plan cannot be read"
    said = {
        "plan": (plan_hash, opened.data.get("plan_hash")),
        "plan's hash": (row["plan_hash"], opened.data.get("plan_hash")),
        "actor": (row["actor"], opened.data.get("actor")),
        "reason": (row["reason"], opened.data.get("reason")),
        "beginning": (row["opened_at"], opened.at),
        "phase": (row["phase"], journal.phase),
        "end": (row["closed_at"], journal.closed.at if journal.closed else None),
    }
    planned = plan.get("service") if isinstance(plan, dict) else None
    if isinstance(planned, dict) and "name" in planned:
        said["service"] = (row["service"], planned["name"])
    if "key" in opened.data:
        said["key"] = (row["key"], opened.data["key"])
    if journal.closed and "outcome" in journal.closed.data:
        said["outcome"] = (row["outcome"], journal.closed.data["outcome"])
    wrong = [what for what, (listed, recorded) in said.items() if listed != recorded]
    return f"{name}: its {' and '.join(wrong)} in the list is not what its journal recorded" if wrong else ""


def _chain(name: str, rows: Sequence[Any]) -> Chain:
    entries: list[Entry] = []
    for row in rows:
        try:
            entries.append(_entry(row))
        except Unreadable as error:
            return Chain(name, entries, head_of(entries), f"{name}: entry {row[1]} {error}")
    return Chain(name, entries, head_of(entries), chain_problem(entries))


def _entry(row: Any) -> Entry:
    rollout, seq, at, epoch, kind, step, data, prev, link = row
    try:
        parsed = json.loads(data)
        same = canonical(parsed) == data
    except (ValueError, TypeError, RecursionError):
        raise Unreadable("cannot be read: its data is not JSON") from None
    if not same or not isinstance(parsed, dict):
        raise Unreadable("was edited: its data is not as it was written")
    return Entry(rollout, seq, at, epoch, kind, step, parsed, prev, link)

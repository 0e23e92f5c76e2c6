"""Old rollouts leave the store for an archive; that they were there, and how they ended, stays on record.

The row with its head stays, and the fleet's own chain records the archiving: so chains stay whole, and an archive
file can be checked against both for ever.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.care.chains import Chain, Head, chain_problem, head_of, rollout_chains, row_digest
from rollout.care.checkpoint import sync_folder
from rollout.database import Transaction
from rollout.fleet_journal import FLEET, append_to_fleet
from rollout.journal import GENESIS, Entry, canonical
from rollout.rows import Row

if TYPE_CHECKING:
    from rollout.wiring import Installation

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}")
MANY = 1_000_000


@dataclass(frozen=True, slots=True)
class Pruned:
    """One rollout that was (or, in a rehearsal, would be) archived. `file` is below the archive's folder."""

    rollout: str
    closed_at: float
    entries: int
    file: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """What was archived, and what was left though it is old enough, each with why."""

    pruned: Sequence[Pruned]
    left: Sequence[str]


class BadArchive(Exception):
    """An archive file that is damaged or was edited; the message says where."""


def prune(
    installation: Installation, older_than_s: float, archive: Path, *, dry_run: bool = False, at_most: int | None = None
) -> Pruning:
    """Archive rollouts that were closed longer ago than that. Raises OSError when the archive cannot be written.

    Never: a service's latest rollout, one whose images are denied, one that a rollback card still stands for.
    `at_most` so many in one call, for a process that has other things to do.
    """
    now, pruned, left = installation.clock.now(), list[Pruned](), list[str]()
    for row in old_rollouts(installation, now - older_than_s):
        if at_most is not None and len(pruned) >= at_most:
            break
        if why := why_kept(installation, row):
            left.append(f"{row.id}: {why}")
            continue
        chain = _chain(installation, row.id)
        if chain.problem:
            left.append(f"{chain.problem}; what is broken is not archived (rollout journal verify {row.id})")
            continue
        file = f"{row.id}.jsonl.gz"
        if another := _another_archive(archive / file, chain.head):
            left.append(f"{row.id}: {another}")
            continue
        if not dry_run:
            write_archive(archive / file, chain.entries)
            if not _remove(installation, row, chain.head, file, now):
                left.append(f"{row.id}: it changed meanwhile")
                continue
        pruned.append(Pruned(row.id, row.closed_at or 0.0, len(chain.entries), file))
    return Pruning(pruned, left)


def old_rollouts(installation: Installation, before: float) -> list[Row]:
    """Closed before that time and not archived, oldest first; the latest of each service never."""
    rows = installation.store.rollouts(limit=MANY)
    latest = {row.service: row.id for row in reversed(rows)}
    old = [row for row in rows if row.closed_at is not None and row.closed_at < before and row.pruned_at is None]
    return [row for row in reversed(old) if latest[row.service] != row.id]


def why_kept(installation: Installation, row: Row) -> str:
    """Why a rollout that is old enough stays; empty when it may go."""
    from rollout.card import CardUnreadable

    if not _SAFE.fullmatch(row.id):
        return "its name cannot be a file's name"
    images = sorted(set(row.plan.get("patch", {}).get("images", {}).values()))
    query = f"SELECT image FROM denials WHERE rollout = ? OR image IN ({', '.join(['?', *('?' for _ in images)])})"  # noqa: S608 - only marks
    if denied := installation.store.db.all(query, row.id, "", *images):
        return f"{denied[0][0]} is denied: why is in this journal"
    try:
        card = installation.cards.read(row.service)
    except CardUnreadable as error:
        return str(error)
    if card and card.rollout == row.id and not card.closed:
        return "its rollback card is open"
    return ""


def _another_archive(path: Path, head: Head) -> str:
    """Why an archive file of that name is not to be overwritten; empty when there is none, or the same."""
    if not path.exists():
        return ""
    try:
        found = head_of(read_archive(path))
    except BadArchive:
        return ""  # a crash cut it off: the entries are here still
    return "" if found == head else f"{path} holds another journal of that name"


def write_archive(path: Path, entries: Sequence[Entry]) -> None:
    """All entries as JSON lines with their hashes, compressed, flushed to disk and read back. OSError, BadArchive."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = "".join(f"{canonical(_plain(entry))}\n" for entry in entries).encode()
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:  # the same entries are the same bytes
        file.write(content)
    try:
        with aside.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(packed.getvalue())
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)
    again = read_archive(path)
    if head_of(again) != head_of(entries) or len(again) != len(entries):
        raise BadArchive(f"{path}: what was read back is not what was written; nothing was removed from the store")


def read_archive(path: Path) -> list[Entry]:
    """The entries of an archive file, whose chain was recomputed. Raises OSError, BadArchive."""
    entries = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                entries.append(Entry(**json.loads(line)))
    except (ValueError, TypeError, EOFError, gzip.BadGzipFile, RecursionError) as error:
        raise BadArchive(f"{path}: line {len(entries) + 1} cannot be read: {error}") from error
    except Exception as error:  # zlib.error has no common root with the others
        if isinstance(error, OSError):
            raise
        raise BadArchive(f"{path} is damaged: {error}") from error
    if not entries:
        raise BadArchive(f"{path} holds no entries")
    if problem := chain_problem(entries):
        raise BadArchive(f"{path}: {problem}")
    return entries


def verify_archive(installation: Installation, path: Path) -> dict[str, Any]:
    """Is the file whole, and what the store has on record? BadArchive, OSError."""
    entries = read_archive(path)
    name, head = entries[0].rollout, head_of(entries)
    known = [row for row in installation.store.rollouts(limit=MANY) if row.id == name]
    problem = ""
    if known and (known[0].head_seq, known[0].head_hash) != head:
        recorded = f"entry {known[0].head_seq}, {known[0].head_hash[:12]}…"
        problem = f"{name}: the archive ends at entry {head[0]}, and not as the store has it on record ({recorded})"
    return {"rollout": name, "entries": len(entries), "head": head[1], "on_record": bool(known), "problem": problem}


def _chain(installation: Installation, rollout: str) -> Chain:
    with installation.store.db.snapshot() as taken:
        return next(rollout_chains(taken, Chain(FLEET, (), (0, GENESIS)), rollout))


def _remove(installation: Installation, row: Row, head: Head, file: str, now: float) -> bool:
    """Rows out and the record of it in, in one transaction; False when the rollout is not as it was read."""
    digest = row_digest(installation.store.db, row.id)
    with installation.store.db.transaction() as db:
        query = "SELECT head_seq, head_hash, closed_at, pruned_at FROM rollouts WHERE id = ?"
        if db.execute(query, (row.id,)).fetchone() != (*head, row.closed_at, None) or _is_latest(db, row):
            return False
        for table in ("journal", "waits", "drivers"):
            db.execute(f"DELETE FROM {table} WHERE rollout = ?", (row.id,))  # noqa: S608 - three fixed names
        db.execute("UPDATE rollouts SET pruned_at = ? WHERE id = ?", (now, row.id))
        said = {"rollout": row.id, "head_seq": head[0], "head_hash": head[1], "file": file, "row": digest}
        append_to_fleet(db, "pruned", row.service, said, now)
    return True


def _is_latest(db: Transaction, row: Row) -> bool:
    query = "SELECT id FROM rollouts WHERE service = ? ORDER BY number DESC LIMIT 1"
    return bool(db.execute(query, (row.service,)).fetchone() == (row.id,))


def _plain(entry: Entry) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


def pruned_note(installation: Installation, row: Row) -> str:
    """What whoever reads an archived rollout is told; empty for one whose entries are here."""
    if row.pruned_at is None:
        return ""
    from rollout.fleet_journal import FleetJournal

    files = [
        entry.data["file"]
        for entry in FleetJournal(installation.store.db).entries(subject=row.service)
        if entry.kind == "pruned" and entry.data["rollout"] == row.id
    ]
    return f"its {row.head_seq} entries were archived: {files[-1] if files else 'where to is not on record'}"

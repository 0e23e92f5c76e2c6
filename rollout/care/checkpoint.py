"""Checkpoints: the heads of all chains, written down where whoever can edit the store cannot.

One JSON line each, appended to `checkpoints.jsonl` of a folder that should be on another disk or machine. Each carries
the hash of the line before, which is the running digest of all that was written so far. A line names every rollout,
but for closed ones that an earlier line of the file names as closed with the same head. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.care.chains import Head
from rollout.fleet_journal import FleetJournal
from rollout.journal import GENESIS, canonical

if TYPE_CHECKING:
    from rollout.database import Database
    from rollout.wiring import Installation

FILE = "checkpoints.jsonl"
FULL_BYTES = 16_000_000
"""A file as long as this is kept aside, and a new one begun, which names everything again."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One line. `heads` maps a rollout to sequence, hash, and whether it was closed; `at` is seconds since 1970.

    `settled` is how many closed rollouts are left out. `after` says, in the first line of a file that follows another
    one, why it was begun.
    """

    at: float
    heads: Mapping[str, tuple[int, str, bool]]
    fleet: Head
    epochs: Mapping[str, int]
    settled: int
    prev: str
    hash: str
    after: str = ""


@dataclass
class CheckpointFile:
    """What a file of checkpoints holds. `torn` are lines that a crash cut off; `problems` what was edited."""

    path: Path
    checkpoints: list[Checkpoint] = field(default_factory=list)
    torn: int = 0
    problems: list[str] = field(default_factory=list)
    ends_in_newline: bool = True

    closed_heads: dict[str, Head] = field(default_factory=dict)
    """Rollouts that some line names as closed, with the head that the latest such line gives."""
    epochs: dict[str, int] = field(default_factory=dict)
    """The highest epoch of each service that was ever written down."""

    @property
    def last(self) -> Checkpoint | None:
        return self.checkpoints[-1] if self.checkpoints else None

    def add(self, line: Checkpoint) -> None:
        self.checkpoints.append(line)
        self.closed_heads |= {name: (seq, link) for name, (seq, link, closed) in line.heads.items() if closed}
        for service, epoch in line.epochs.items():
            self.epochs[service] = max(epoch, self.epochs.get(service, 0))


def write_checkpoint(installation: Installation, folder: Path) -> Path:
    """Append a checkpoint to the file in `folder`, flushed to disk; the file. Raises OSError, StoreError.

    Where the store was restored since the last line, its heads went back: the file is kept aside and a new one begun,
    as for one that is full.
    """
    return append_checkpoint(installation.store.db, folder / FILE, installation.clock.now())


def append_checkpoint(db: Database, path: Path, now: float) -> Path:
    """The same for a file of any name."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with db.alone("checkpoint") as alone:  # two lines after the same one would look edited
        if not alone:
            raise OSError("another process is writing a checkpoint at this moment")
        _append(db, path, now)
    sync_folder(path.parent)
    return path


def _append(db: Database, path: Path, now: float) -> None:
    known = read_checkpoints(path) if path.exists() else CheckpointFile(path)
    last, after = known.last, ""
    if last and (why := _finished(db, known, last)):
        aside = _free_name(path, stamp(last.at))
        path.replace(aside)
        after = f"{why}; the lines before are in {aside.name}"
        known = CheckpointFile(path)
    line = next_checkpoint(db, known, now, last.hash if last else GENESIS, after)
    torn = b"" if known.ends_in_newline else b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, torn + _text(line).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _finished(db: Database, known: CheckpointFile, last: Checkpoint) -> str:
    """Why no line is to follow in this file; empty when the next one may."""
    restored = [entry for entry in FleetJournal(db).entries() if entry.kind == "restored"]
    if restored and (restored[-1].at > last.at or restored[-1].seq > last.fleet[0]):
        return "the store was restored"
    return "the file was full" if known.path.stat().st_size >= FULL_BYTES else ""


def _free_name(path: Path, until: str) -> Path:
    number, aside = 1, path.with_name(f"{path.stem}.until-{until}{path.suffix}")
    while aside.exists():
        number, aside = number + 1, path.with_name(f"{path.stem}.until-{until}-{number}{path.suffix}")
    return aside


def next_checkpoint(db: Database, known: CheckpointFile, now: float, prev: str, after: str = "") -> Checkpoint:
    """The line that follows those that are known."""
    with db.transaction() as one:  # all heads of one instant
        rows = one.execute("SELECT id, head_seq, head_hash, closed_at IS NOT NULL FROM rollouts ORDER BY id").fetchall()
        epochs = dict(one.execute("SELECT name, epoch FROM services ORDER BY name").fetchall())
        fleet = FleetJournal(db).head()
    closed = known.closed_heads
    heads = {
        name: (seq, link, bool(over)) for name, seq, link, over in rows if not over or closed.get(name) != (seq, link)
    }
    bare = Checkpoint(float(now), heads, fleet, epochs, len(rows) - len(heads), prev, "", after)
    return Checkpoint(**{**_fields(bare), "hash": _hash(bare)})


def read_checkpoints(path: Path) -> CheckpointFile:
    """All lines of a file, and what is wrong with it. Raises OSError."""
    found = CheckpointFile(path)
    content = path.read_bytes()
    found.ends_in_newline = content.endswith(b"\n") or not content
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    gap = 0
    for number, text in enumerate(lines, start=1):
        try:
            line = _parsed(text)
        except (ValueError, TypeError, KeyError, RecursionError):
            gap = number
            found.torn += 1
            continue
        _judge(found, line, number)
        found.add(line)
        gap = 0
    if gap and found.ends_in_newline:  # a crash cannot have left a whole line
        found.torn -= 1
        found.problems.append(f"{path}: line {gap} was edited: it cannot be read")
    return found


def _judge(found: CheckpointFile, line: Checkpoint, number: int) -> None:
    place = f"{found.path}: line {number}"
    last = found.last
    if line.hash != _hash(line):
        found.problems.append(f"{place} was edited: it does not match its hash")
    elif last and line.prev != last.hash:
        found.problems.append(f"{place} does not follow the one before it: a line was edited, moved or removed")
    elif not last and line.prev != GENESIS and not line.after:
        found.problems.append(f"{place} is the first, but another one was before it")


def _parsed(text: bytes) -> Checkpoint:
    data = json.loads(text)
    heads = {str(name): (int(seq), str(link), bool(closed)) for name, (seq, link, closed) in data["heads"].items()}
    epochs = {str(name): int(epoch) for name, epoch in data["epochs"].items()}
    seq, link = data["fleet"]
    return Checkpoint(
        float(data["at"]),
        heads,
        (int(seq), str(link)),
        epochs,
        int(data["settled"]),
        str(data["prev"]),
        str(data["hash"]),
        str(data.get("after", "")),
    )


def _fields(line: Checkpoint) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Checkpoint.__slots__}


def _hash(line: Checkpoint) -> str:
    return hashlib.sha256(canonical({**_fields(line), "hash": ""}).encode()).hexdigest()


def _text(line: Checkpoint) -> str:
    return canonical(_fields(line))


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def sync_folder(folder: Path) -> None:
    """A new or renamed file's name is on disk when this returns, where the file system can say so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError:
        return  # object-store mounts know no such thing
    finally:
        os.close(descriptor)


def stamp(at: float) -> str:
    """A time as it goes into file names: 20260101T000000Z."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))

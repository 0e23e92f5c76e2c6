"""Doctor: the store's file, its integrity, its chains, its checkpoints, and the clock that it is written by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.care.chains import fleet_chain, rollout_chains
from rollout.care.checkpoint import FILE, read_checkpoints
from rollout.care.findings import Finding, ok, problem, warning
from rollout.care.restored import is_rollback_only, looks_restored
from rollout.database import StoreError
from rollout.schema import MIGRATIONS
from rollout.telling import clock_time as when

if TYPE_CHECKING:
    from rollout.wiring import Installation

AHEAD_S = 5.0
"""How far an entry may be ahead of this clock: two processes never read it at the same instant."""
LATE = 2.0
"""A checkpoint is overdue after so many times its interval."""


def opens(installation: Installation) -> Iterator[Finding]:
    """Is it there, a store of this release, and undamaged?"""
    if installation.is_shared:
        yield from _shared(installation)
        return
    path = installation.store_path
    if not path.exists():
        yield warning("store", f"there is no store at {path} yet", "the first rollout up or rollout start makes it")
        return
    fix = f"rollout store restore BACKUP --yes; until then rollout rollback works without the store ({path})"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)) as db:
            (schema,) = db.execute("PRAGMA user_version").fetchone()
            said = [found for (found,) in db.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        yield problem("store", f"{path} cannot be read: {error}", fix)
        return
    if schema > len(MIGRATIONS):
        text = f"{path} was written by a newer release (schema {schema}, this one knows {len(MIGRATIONS)})"
        yield problem("store", text, "use that release")
    elif said != ["ok"]:
        yield problem("store", f"{path} is damaged: {'; '.join(said)}", fix)
    else:
        yield ok("store", f"{path} opens, schema {schema}, and is undamaged")


def _shared(installation: Installation) -> Iterator[Finding]:
    try:
        path = installation.store.path
        ((version,),) = installation.store.db.all("SELECT current_setting('server_version')")
    except StoreError as error:
        fix = "see the message, and `store:` in the fleet file; until then rollout rollback works without the store"
        yield problem("store", str(error), fix)
        return
    yield ok("store", f"{path} answers (PostgreSQL {version}), schema {len(MIGRATIONS)}")


def server(installation: Installation) -> Iterator[Finding]:
    """PostgreSQL: does it keep what it says it has kept, and how far is its clock from this machine's?"""
    if not installation.is_shared:
        return
    from rollout.wiring import SystemClock

    store = installation.store
    ((fsync,),) = store.db.all("SELECT current_setting('fsync')")
    if fsync != "on":
        fix = "set fsync = on: a power cut takes what was done out of the journal, and traffic stays where it is"
        yield problem("server", f"{store.path} does not flush to disk what it keeps (fsync = {fsync})", fix)
    apart_s = abs((store.db.time() or 0.0) - SystemClock().now())
    if apart_s > AHEAD_S:
        text = f"the store's clock and this machine's are {apart_s:.0f} s apart; the store's is used"
        yield warning("server", text, "let both follow the same time servers")
    if fsync == "on" and apart_s <= AHEAD_S:
        yield ok("server", "it flushes to disk, and its clock is this machine's")


def heads(installation: Installation) -> Iterator[Finding]:
    """The head of every journal is its last entry; journals of open rollouts are recomputed as a whole."""
    db = installation.store.db
    wrong = db.all(
        "SELECT r.id FROM rollouts r LEFT JOIN journal j ON j.rollout = r.id AND j.seq = r.head_seq"
        " WHERE r.pruned_at IS NULL AND (j.hash IS NULL OR j.hash != r.head_hash"
        " OR EXISTS (SELECT 1 FROM journal k WHERE k.rollout = r.id AND k.seq > r.head_seq))"
    )
    found = [f"{name}: its head is not its last entry" for (name,) in wrong]
    with installation.store.db.snapshot() as taken:
        fleet = fleet_chain(taken)
        found += [f"the fleet's own record: {fleet.problem}"] if fleet.problem else []
        for (name,) in taken.all("SELECT id FROM rollouts WHERE closed_at IS NULL"):
            found += [chain.problem for chain in rollout_chains(taken, fleet, name) if chain.problem]
    for text in sorted(set(found)):
        yield problem("journals", text, "rollout journal verify; then ask who can write the state folder")
    if not found:
        yield ok("journals", "all heads fit, and the journals of open rollouts are whole")


def rollback_only(installation: Installation) -> Iterator[Finding]:
    """Was the store put back from a backup, by us or by hand?"""
    if why := is_rollback_only(installation.store.db):
        yield problem("restored", why, "rollout repair --restored")
        return
    told = [why for name in sorted(installation.fleet.services) if (why := looks_restored(installation, name))]
    for why in told:
        yield problem("restored", why, "rollout repair --restored")
    if not told:
        yield ok("restored", "the store is as new as its rollback cards")


def checkpoints(installation: Installation) -> Iterator[Finding]:
    """Written where they should be, in time, and borne out by their own chain."""
    keep = installation.fleet.keep
    if keep.checkpoints is None:
        fix = (
            "set keep.checkpoints to a folder on another disk, or write them with rollout journal checkpoint --out FILE"
        )
        yield warning("checkpoints", "none are kept: a journal that is cut at its end cannot be found", fix)
        return
    path = installation.fleet_file.absolute().parent / keep.checkpoints / FILE
    fix = f"rollout journal checkpoint --out {path}; rollout serve writes one every {keep.checkpoint_every_s:.0f} s"
    if not path.exists():
        yield warning("checkpoints", f"there is none in {path} yet", fix)
        return
    held = read_checkpoints(path)
    for text in held.problems:
        yield problem("checkpoints", text, f"rollout journal verify --against {path}; keep that file as evidence")
    now = installation.clock.now()
    late = held.last is None or now - held.last.at > LATE * keep.checkpoint_every_s
    if late:
        yield warning("checkpoints", f"the last one is of {when(held.last.at) if held.last else 'never'}", fix)
    elif not held.problems:
        yield ok("checkpoints", f"the last of {len(held.checkpoints)} is of {when(held.last.at) if held.last else ''}")
    if _same_disk(path, installation.state_dir):
        yield warning(
            "checkpoints", f"{path} is on the store's own disk", "set keep.checkpoints to another disk or a mount"
        )


def _same_disk(path: Path, folder: Path) -> bool:
    return path.stat().st_dev == folder.stat().st_dev


def clock(installation: Installation) -> Iterator[Finding]:
    """Is it later than the latest entry? Whether it is right is not judged."""
    latest_of = "SELECT max(at) AS at FROM journal UNION ALL SELECT max(at) FROM fleet_journal"
    (latest,) = installation.store.db.all(f"SELECT max(at) FROM ({latest_of}) AS either")[0]  # noqa: S608 - fixed
    now = installation.clock.now()
    if latest is not None and latest > now + AHEAD_S:
        text = f"the journal's latest entry is of {when(latest)}, and this machine says {when(now)}"
        yield problem("clock", text, "set the clock right: windows and soaks are judged by it")
    else:
        yield ok("clock", f"this machine says {when(now)}; no entry is later")

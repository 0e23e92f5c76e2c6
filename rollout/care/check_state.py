"""Doctor: the state folder, what the emergency path left in it, and the rollback cards."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rollout.care.findings import Finding, ok, problem, warning
from rollout.state_dir import is_for_group

if TYPE_CHECKING:
    from rollout.wiring import Installation

FREE_BYTES = 500 * 1000 * 1000
FREE_SHARE = 0.05


def state_folder(installation: Installation) -> Iterator[Finding]:
    """There, ours, private, writable, and with room on its disk."""
    folder = installation.state_dir
    if not folder.exists():
        yield warning("state", f"{folder} is not there yet", "the first rollout up or rollout start makes it")
        return
    if not folder.is_dir():
        yield problem("state", f"{folder} is no folder", f"move it away, or set state: in {installation.fleet_file}")
        return
    yield from _owner_and_mode(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield problem("state", f"{folder} cannot be written by {_name(os.getuid())}", f"sudo chown -R $USER {folder}")
    yield free_space(folder)


def free_space(folder: Path) -> Finding:
    space = os.statvfs(folder)
    free, whole = space.f_bavail * space.f_frsize, max(1, space.f_blocks * space.f_frsize)
    told = f"{free / 1e9:.1f} GB ({100 * free / whole:.0f} %) free on the disk of {folder}"
    if free < FREE_BYTES or free < FREE_SHARE * whole:
        fix = "make room: a full disk keeps rollouts from going on (rollout rollback works nevertheless)"
        return warning("disk", told, fix)
    return ok("disk", told)


def _owner_and_mode(folder: Path) -> Iterator[Finding]:
    seen = folder.stat()
    mode = stat.S_IMODE(seen.st_mode)
    if seen.st_uid != os.getuid():
        yield warning(
            "state",
            f"{folder} belongs to {_name(seen.st_uid)}, and this is {_name(os.getuid())}",
            f"run rollout as {_name(seen.st_uid)}",
        )
    shared = is_for_group(folder)
    others = mode & (0o007 if shared else 0o077)
    if others & 0o022:
        fix = f"chmod {'o-w' if shared else 'go-w'} {folder}"
        yield problem("state", f"{folder} can be written by others (mode {mode:04o})", fix)
    elif others & 0o055:
        fix = f"chmod {'2770' if shared else '700'} {folder}"
        yield warning("state", f"{folder} can be read by others (mode {mode:04o})", fix)
    elif shared:
        yield ok("state", f"{folder} is for its group {_group(seen.st_gid)}")
    elif seen.st_uid == os.getuid():
        yield ok("state", f"{folder} is {_name(seen.st_uid)}'s alone")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"


def spool(installation: Installation) -> Iterator[Finding]:
    """Decisions that the emergency path could not journal."""
    left = sorted((installation.state_dir / "spool").glob("*.json"))
    if left:
        text = f"{len(left)} decisions of rollout rollback are not journalled yet, such as {left[0]}"
        yield problem("spool", text, "rollout repair")
    else:
        yield ok("spool", "nothing waits to be journalled")


def cards(installation: Installation) -> Iterator[Finding]:
    """Each card can be read, and is of a rollout and a service that are known."""
    folder = installation.cards
    readable, unreadable = folder.all()
    for told in unreadable:
        yield problem("cards", told, "rollout repair writes it again, if its rollout is open")
    known = set(installation.fleet.services)
    with_store = installation.has_store
    strange = 0
    for card in readable:
        path = folder.path(card.service)
        if card.service != path.stem or card.service not in known:
            strange += 1
            fix = f"put the service back into {installation.fleet_file}, or remove {path} when it is gone for good"
            yield warning("cards", f"{path} is of {card.service}, which the fleet file does not have", fix)
        elif with_store and not installation.store.db.all("SELECT 1 FROM rollouts WHERE id = ?", card.rollout):
            strange += 1
            yield problem("cards", f"{path} is of {card.rollout}, which the store does not know", _BEHIND)
    if not unreadable and not strange:
        ways = sum(not card.closed for card in readable)
        yield ok("cards", f"{len(readable)} rollback cards can be read, {ways} of them open")


_BEHIND = "rollout repair --restored: the store seems to be older than what was done"

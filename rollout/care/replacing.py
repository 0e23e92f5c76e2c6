"""One store file takes another one's place: at each instant there is a whole store under the name, or none was before.

The log of the file that goes must go first: SQLite would replay it into whatever has the name then.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from rollout.care.checkpoint import stamp, sync_folder

BESIDE = ("-wal", "-shm", "-journal")


def put_in_place(copy: Path, path: Path, now: float) -> Path | None:
    """Rename `copy` to `path`; where the store from before is kept, None where there was none. Raises OSError."""
    there, aside = path.exists(), _free_name(path, now)
    if there:
        with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=10.0)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the last to close also removes log and index
        _second_name(path, aside)
    moved: list[str] = []
    try:
        for suffix in BESIDE:  # also without a main file: what a lost store left is no part of the new one
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
                moved.append(suffix)
        sync_folder(path.parent)
        copy.replace(path)
    except OSError:
        for suffix in moved:
            Path(f"{aside}{suffix}").rename(f"{path}{suffix}")
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return aside if there else None


def _second_name(path: Path, aside: Path) -> None:
    """The file under both names, so that a crash leaves no moment without a store."""
    try:
        os.link(path, aside)
    except OSError:  # a file system without links
        shutil.copy2(path, aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())


def _free_name(path: Path, now: float) -> Path:
    number, aside = 1, path.with_name(f"{path.name}.before-{stamp(now)}")
    while any(Path(f"{aside}{suffix}").exists() for suffix in ("", *BESIDE)):
        aside, number = path.with_name(f"{path.name}.before-{stamp(now)}-{number}"), number + 1
    return aside

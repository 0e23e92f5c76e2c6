"""A small durable queue in one SQLite file, its worker, and the commands that switch its sides: all that a service
without a balancer needs. Jobs are claimed in a transaction; a claim whose worker died is given back by `disable`.

    queue_program.py worker FOLDER             works while its side is enabled (started by the provider)
    queue_program.py enable|disable|status|stats FOLDER SLOT      (started by the program as the owner's commands)
    queue_program.py put FOLDER COUNT

Whatever changes sides is in the table `sides_log`, with both sides as they are after it. A file named
FOLDER/broken-ACTION-SLOT breaks a command: `fail`, `hang`, `lie` (it does nothing and says 0), `garbage`, `half` (it
does it, and then hangs).
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from pathlib import Path

TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, claimed_by TEXT, pid INTEGER, done INTEGER DEFAULT 0, by TEXT);
CREATE TABLE IF NOT EXISTS sides (slot TEXT PRIMARY KEY, enabled INTEGER);
CREATE TABLE IF NOT EXISTS sides_log (at REAL, slot TEXT, action TEXT, blue INTEGER, green INTEGER, revision INTEGER);
INSERT OR IGNORE INTO sides VALUES ('blue', 0), ('green', 0);
COMMIT;
"""
IDLE_S, WORK_S = 0.01, 0.005


def opened(folder: Path, service: str) -> sqlite3.Connection:
    db = sqlite3.connect(folder / f"queue-{service}.db", timeout=30, isolation_level=None)
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sides_log'").fetchone():
        db.executescript(TABLES)
    return db


def put(db: sqlite3.Connection, count: int) -> None:
    db.executemany("INSERT INTO jobs DEFAULT VALUES", [()] * count)


def enabled(db: sqlite3.Connection, slot: str) -> bool:
    return bool(db.execute("SELECT enabled FROM sides WHERE slot = ?", (slot,)).fetchone()[0])


def switch(db: sqlite3.Connection, slot: str, on: bool) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE sides SET enabled = ? WHERE slot = ?", (on, slot))
    both = dict(db.execute("SELECT slot, enabled FROM sides"))
    said = (time.time(), slot, "enable" if on else "disable", both["blue"], both["green"])
    db.execute("INSERT INTO sides_log VALUES (?, ?, ?, ?, ?, ?)", (*said, int(os.environ.get("ROLLOUT_REVISION", 0))))
    db.execute("COMMIT")


def in_work(db: sqlite3.Connection, slot: str) -> int:
    query = "SELECT id, pid FROM jobs WHERE claimed_by = ? AND done = 0"
    left = db.execute(query, (slot,)).fetchall()
    dead = [job for job, pid in left if not Path(f"/proc/{pid}").exists()]
    db.executemany("UPDATE jobs SET claimed_by = NULL WHERE id = ? AND done = 0", [(job,) for job in dead])
    return len(left) - len(dead)


def work(db: sqlite3.Connection, slot: str, name: str) -> None:
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    while not ending:
        db.execute("BEGIN IMMEDIATE")
        job = db.execute("SELECT id FROM jobs WHERE claimed_by IS NULL ORDER BY id LIMIT 1").fetchone()
        if not enabled(db, slot) or job is None:
            db.execute("ROLLBACK")
            time.sleep(IDLE_S)
            continue
        db.execute("UPDATE jobs SET claimed_by = ?, pid = ? WHERE id = ?", (slot, os.getpid(), job[0]))
        db.execute("COMMIT")
        time.sleep(WORK_S)
        db.execute("UPDATE jobs SET done = done + 1, by = ? WHERE id = ?", (name, job[0]))


def broken(folder: Path, action: str, slot: str) -> str:
    path = folder / f"broken-{action}-{slot}"
    how = path.read_text().strip() if path.exists() else ""
    if how == "fail":
        sys.exit(f"{action} {slot}: no")
    if how == "hang":
        time.sleep(3600)
    if how == "garbage":
        say("perhaps")
    if how in ("lie", "garbage"):
        sys.exit(0)
    return how


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def main(action: str, folder: Path, *more: str) -> None:
    service = os.environ.get("ROLLOUT_SERVICE", "shop").partition("@")[0]
    db = opened(folder, service)
    if action == "worker":
        name = os.environ["ROLLOUT_INSTANCE"]
        slot = next(slot for slot in ("blue", "green") if f"-{slot}-" in name)
        work(db, slot, name)
        return
    if action == "put":
        put(db, int(more[0]))
        return
    slot = more[0]
    how = broken(folder, action, slot)
    if action == "enable":
        switch(db, slot, True)
    elif action == "disable":
        switch(db, slot, False)
        while in_work(db, slot):
            time.sleep(IDLE_S)
    elif action == "status":
        say("enabled" if enabled(db, slot) else "draining" if in_work(db, slot) else "disabled")
    elif action == "stats":
        done = db.execute("SELECT COUNT(*) FROM jobs WHERE claimed_by = ? AND done > 0", (slot,)).fetchone()[0]
        say(f'{{"done": {done}, "failed": 0, "in_flight": {in_work(db, slot)}}}')
    if how == "half":
        time.sleep(3600)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])

"""What is on record of each instance: instances/<id>.json, written before it is started, and its log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from providers.base import Slot
from providers.local.balancer.identity import Identity
from providers.local.files import read_json, write_json

LOG_LIMIT = 1 << 20  # bytes
KEPT = 64 << 10  # bytes of a full log that stay in <id>.log.1


@dataclass(frozen=True)
class Record:
    """One instance. pid, start and boot_id name its process once known; `problem` why it could not start.

    stopping: it was asked to stop and only waits for the end. created_at: unix seconds. listens: it serves on its port.
    """

    id: str
    slot: Slot
    port: int
    image: str
    token: str
    created_at: float
    pid: int | None = None
    start: int | None = None
    boot_id: str | None = None
    problem: str = ""
    stopping: bool = False
    listens: bool = True

    @property
    def identity(self) -> Identity | None:
        if self.pid is None or self.start is None or self.boot_id is None:
            return None
        return Identity(self.pid, self.start, self.boot_id)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def started(self, identity: Identity) -> Record:
        return replace(self, pid=identity.pid, start=identity.start, boot_id=identity.boot_id)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        return cls(**data)


class Records:
    """The instances on record of one service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def all(self, slot: Slot | None = None) -> list[Record]:
        """Oldest first."""
        found = [self.read(path.stem) for path in self.folder.glob("*.json")]
        records = [record for record in found if record is not None and slot in (None, record.slot)]
        return sorted(records, key=lambda record: (record.created_at, record.id))

    def read(self, name: str) -> Record | None:
        data = read_json(self.folder / f"{name}.json")
        return None if data is None else Record.from_json(data)

    def write(self, record: Record) -> None:
        write_json(self.folder / f"{record.id}.json", asdict(record))

    def remove(self, record: Record) -> None:
        """The record last: a crash before it is finished by the next removal."""
        for name in (f"{record.id}.log", f"{record.id}.log.1", f"{record.id}.exit", f"{record.id}.json"):
            (self.folder / name).unlink(missing_ok=True)

    def log(self, record: Record) -> Path:
        return self.folder / f"{record.id}.log"

    def output(self, record: Record) -> str:
        """What an instance said last, as far as it is kept."""
        try:
            with self.log(record).open("rb") as file:
                file.seek(max(0, self.log(record).stat().st_size - KEPT))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def bound_log(self, record: Record) -> None:
        """Keep the end of a full log and begin it anew; its process appends, and goes on at the beginning."""
        log = self.log(record)
        try:
            if log.stat().st_size <= LOG_LIMIT:
                return
            with log.open("r+b") as file:
                file.seek(-KEPT, 2)
                log.with_name(f"{log.name}.1").write_bytes(file.read())
                file.truncate(0)
        except OSError:
            return  # a log is not worth a failed observation

    def set_exit(self, record: Record, code: int) -> None:
        write_json(self.folder / f"{record.id}.exit", code)

    def exit_code(self, record: Record) -> int | None:
        code: int | None = read_json(self.folder / f"{record.id}.exit")
        return code

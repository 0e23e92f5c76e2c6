"""Drills: whether the way back was tried lately, and what came of it.

A drill is a fact of the fleet's journal (`drilled`); where the store cannot be reached, a file in `<state>/drills`
keeps the last one of a service until somebody journals it. Standard library only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.state_dir import make_folder, share
from rollout.telling import age, brief

if TYPE_CHECKING:
    from rollout.database import Database

KIND = "drilled"
FOLDER = "drills"


@dataclass(frozen=True, slots=True)
class Drill:
    """One try of a way back, all but the change itself.

    `seconds` it took; `via`: `direct` or `daemon`; `readiness`: what was seen of the original; `why`: what went wrong,
    empty where it is `ok`.
    """

    service: str
    rollout: str
    at: float
    ok: bool
    seconds: float
    via: str
    actor: str
    readiness: str = ""
    why: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Drill:
        """Raises KeyError, TypeError, ValueError for what is none."""
        service, rollout = str(data["service"]), str(data["rollout"])
        texts = {name: str(data.get(name, "")) for name in ("via", "actor", "readiness", "why")}
        return cls(
            service=service,
            rollout=rollout,
            at=float(data["at"]),
            ok=data["ok"] is True,
            seconds=float(data["seconds"]),
            **texts,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def record(db: Database, drill: Drill, *, spooled: bool = False) -> None:
    """Into the fleet's journal; one that failed is news, too. Raises StoreError."""
    from rollout.fleet_journal import FleetJournal

    data = {**drill.to_json(), **({"spooled": True} if spooled else {})}
    FleetJournal(db).append(KIND, drill.service, data, drill.at)


def keep(folder: Path, drill: Drill) -> None:
    """Beside the cards, for a store that cannot be reached: the last one of each service. Raises OSError."""
    make_folder(folder)
    aside = folder / f".{drill.service}.{os.getpid()}"
    aside.write_text(json.dumps(drill.to_json()) + "\n")
    share(aside)
    aside.replace(folder / f"{drill.service}.json")


def kept(folder: Path) -> Iterator[tuple[Path, Drill]]:
    """What lies in the folder; what cannot be read is left out."""
    for path in sorted(folder.glob("*.json")):
        try:
            yield path, Drill.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, KeyError):
            continue


def merge(db: Database, folder: Path) -> list[Drill]:
    """Journal what was kept beside the cards; repeatable."""
    merged = []
    for path, drill in kept(folder):
        record(db, drill, spooled=True)
        path.unlink(missing_ok=True)
        merged.append(drill)
    return merged


def last_drills(db: Database | None, folder: Path | None = None) -> dict[str, Drill]:
    """The last drill of each service that ever had one, from the journal and from what lies beside the cards."""
    found = dict[str, Drill]()
    for at, data in _journalled(db) if db is not None else ():
        try:
            drill = Drill.from_json({"at": at, **json.loads(data)})
        except (ValueError, TypeError, KeyError):
            continue
        found[drill.service] = drill
    for _, drill in kept(folder) if folder is not None else ():
        if drill.service not in found or drill.at > found[drill.service].at:
            found[drill.service] = drill
    return found


def _journalled(db: Database) -> list[Any]:
    newest = f"SELECT max(seq) FROM fleet_journal WHERE kind = '{KIND}' GROUP BY subject"  # noqa: S608 - a constant
    return db.all(f"SELECT at, data FROM fleet_journal WHERE seq IN ({newest})")  # noqa: S608 - the same


def with_drill(summary: Mapping[str, Any], last: Mapping[str, Drill], now: float) -> dict[str, Any]:
    """A rollout's summary with the last drill of its service: `drill` as data (None: never), `drilled` in words."""
    drill = last.get(summary["service"])
    words = told(drill, now, summary["service"], summary["id"])
    return {**summary, "drill": drill.to_json() if drill else None, "drilled": words}


def told(drill: Drill | None, now: float, service: str, rollout: str = "") -> str:
    """In words: `3 d ago in 0.4 s`, `never: rollout rollback shop --drill`, `FAILED 2 h ago: …`."""
    if drill is None:
        return f"never: rollout rollback {service} --drill"
    ago = f"{age(now - drill.at)} ago"
    through = " through rollout serve" if drill.via == "daemon" else ""
    earlier = f", of {drill.rollout}" if rollout and drill.rollout != rollout else ""
    if not drill.ok:
        return f"FAILED {ago}{through}{earlier}: {brief(drill.why, 200)}"
    return f"{ago} in {drill.seconds:.1f} s{through}{earlier}"


def is_due(rollout: str, drill: Drill | None, every_s: float, now: float, again_s: float) -> bool:
    """Is it time to try the way back of this rollout? One that failed is tried again after `again_s`, if that is
    sooner; a new card is tried at once."""
    if drill is None or drill.rollout != rollout:
        return True
    wait_s = every_s if drill.ok else min(every_s, again_s)
    return abs(now - drill.at) >= wait_s

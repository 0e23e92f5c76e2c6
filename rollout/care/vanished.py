"""Denials, holds and freezes that are on record and not in force, though no record says that they ended.

Only what is certain: a hold that ends by itself ends without a record; a freeze's row stays. Standard library only.
"""

from __future__ import annotations

import json
from typing import Any

from rollout.care.chains import Chain
from rollout.database import Reads
from rollout.freeze import ROW as FREEZE_ROW
from rollout.journal import canonical


def vanished(db: Reads, fleet: Chain) -> list[str]:
    """In words; what cannot be read is its chain's matter."""
    there = {(service, image) for service, image in db.all("SELECT service, image FROM denials")}
    denied = _denied_by_people(fleet) | _denied_by_rollouts(db, fleet)
    told = [
        f"{service}: {image} was denied, and is not any more, though no record says that it was lifted"
        for service, image in sorted(denied - there)
    ]
    return told + _holds(db, fleet) + _freezes(db, fleet)


def _denied_by_people(fleet: Chain) -> set[tuple[str, str]]:
    denied: set[tuple[str, str]] = set()
    for entry in fleet.entries:
        subject = (entry.step, str(entry.data.get("image", "")))
        if entry.kind == "denied" and subject[1]:
            denied.add(subject)
        elif entry.kind == "denial_lifted":
            denied.discard(subject)
    return denied


def _denied_by_rollouts(db: Reads, fleet: Chain) -> set[tuple[str, str]]:
    lifted: dict[tuple[str, str], float] = {}
    for entry in fleet.entries:
        if entry.kind == "denial_lifted":
            subject = (entry.step, str(entry.data.get("image", "")))
            lifted[subject] = max(entry.at, lifted.get(subject, entry.at))
    query = (
        "SELECT service, intended.at, done.data FROM journal AS done JOIN rollouts ON id = done.rollout"
        " JOIN journal AS intended ON intended.rollout = done.rollout AND intended.step = done.step"
        " AND intended.kind = 'intended' WHERE done.kind = 'done' AND done.step = 'back:deny'"
    )
    return {
        (service, image)
        for service, at, data in db.all(query)
        for image in _images(data)
        if lifted.get((service, image), at - 1) < at
    }


def _images(data: str) -> list[str]:
    try:
        value: Any = json.loads(data)["value"]["denied"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return []
    return [image for image in value if isinstance(image, str)] if isinstance(value, list) else []


def _holds(db: Reads, fleet: Chain) -> list[str]:
    last = {entry.step: entry for entry in fleet.entries if entry.kind in ("held", "released")}
    there = dict(db.all("SELECT service, actor FROM holds"))
    told = []
    for service, entry in sorted(last.items()):
        if entry.kind == "held" and service not in there and entry.data.get("until", 0) is None:
            told.append(f"{service}: it was held, and is not any more, though no record says that it was released")
        elif entry.kind == "released" and service in there:
            told.append(f"{service}: it is held by {there[service]}, and no record says so")
        elif entry.kind == "held" and service in there and there[service] != entry.data.get("actor"):
            told.append(f"{service}: it is held by another than the record says")
    return told + [f"{service}: it is held, and no record says so" for service in sorted(there.keys() - last.keys())]


def _freezes(db: Reads, fleet: Chain) -> list[str]:
    """A row goes only when somebody lifts it, and says what its record says."""
    last = {str(entry.data.get("scope", "")): entry for entry in fleet.entries if entry.kind in ("frozen", "thawed")}
    rows = db.all("SELECT name, value FROM facts WHERE name LIKE ?", FREEZE_ROW + "%")
    there = {str(name).removeprefix(FREEZE_ROW): str(value) for name, value in rows}
    told = []
    for scope, entry in sorted(last.items()):
        if entry.kind == "thawed":
            continue  # what is there after it is judged below
        if scope not in there:
            told.append(f"{scope}: it was frozen, and is not any more, though no record says that it was lifted")
        elif there[scope] != canonical(entry.data):
            told.append(f"{scope}: it is frozen otherwise than the record says")
    unsaid = [scope for scope in sorted(there) if scope not in last or last[scope].kind == "thawed"]
    return told + [f"{scope}: it is frozen, and no record says so" for scope in unsaid]

"""How everything stands: open rollouts and those of the last day, the latest of every other service, holds, who serves.

Light: `rollout status` reads only this. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rollout.care.restored import is_rollback_only
from rollout.drills import last_drills, with_drill
from rollout.freeze import Freezes
from rollout.holds import Holds
from rollout.presence import Server, present_server, present_workers
from rollout.rows import Hold, Row
from rollout.store import Store
from rollout.summary import stand

RECENT_S = 24 * 3600.0

Routes = Callable[[Sequence[Row]], Mapping[str, Mapping[str, int]]]
"""Where traffic is now, for those rollouts (by id) of which it could be read."""


def list_all(
    store: Store, now: float, routes: Routes = lambda rows: {}, drills_beside: Path | None = None
) -> dict[str, Any]:
    """Plain data: rollouts (summaries, newest first, each with `recent` and the last `drill` of its service), holds,
    served_by (None: nobody), workers (beside each other on one store). `drills_beside`: the folder with drills that are
    not journalled yet.
    """
    recent, older = recent_rows(store, now)
    read = routes(recent)
    found = [{**stand(store, row, now, read.get(row.id)), "recent": True} for row in recent]
    found += [{**stand(store, row, now), "recent": False} for row in older]
    tried = last_drills(store.db, drills_beside)
    found = [with_drill(each, tried, now) for each in found]
    server = present_server(store.db, now)
    return {
        "rollouts": found,
        "freezes": [freeze.to_json() for freeze in Freezes(store.db).all(now)],
        "holds": [_hold(hold) for hold in Holds(store.db).all(now)],
        "served_by": _server(server) if server else None,
        "workers": [_server(worker) for worker in present_workers(store.db, now)],
        "rollback_only": is_rollback_only(store.db),
    }


def recent_rows(store: Store, now: float) -> tuple[list[Row], list[Row]]:
    """Open ones and those that ended within the last day; and of every other service the latest. Newest first."""
    since = now - RECENT_S
    query = "SELECT id, service FROM rollouts WHERE closed_at IS NULL OR closed_at >= ? ORDER BY number DESC"
    recent = store.db.all(query, since)
    services = {service for _, service in recent}
    latest = store.db.all("SELECT service, max(opened_at) FROM rollouts GROUP BY service ORDER BY 2 DESC")
    older = [store.rollouts(service, limit=1)[0] for service, _ in latest if service not in services]
    return [store.rollout(rollout) for rollout, _ in recent], older


def _hold(hold: Hold) -> dict[str, Any]:
    return {name: getattr(hold, name) for name in Hold.__slots__}


def _server(server: Server) -> dict[str, Any]:
    return {"holder": str(server.holder), "since": server.since, "seen_at": server.seen_at}

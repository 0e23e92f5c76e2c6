"""Which services a wave or a campaign has begun: what `rollout rollback --wave` puts back. Standard library only."""

from __future__ import annotations

from rollout.database import Database


def services_of(db: Database, name: str) -> list[str]:
    """The services that the newest run of this name has begun, in its order; empty where there is none.

    `name` is a campaign, a wave of one (`monthly/canary`), or a run's id, with or without a wave.
    """
    campaign, slash, wave = name.partition("/")
    found = db.all(
        "SELECT id FROM campaign_runs WHERE campaign = ? OR id = ? ORDER BY started_at DESC, number DESC LIMIT 1",
        campaign,
        campaign,
    )
    if not found:
        return []
    query = "SELECT service, wave FROM campaign_members WHERE run = ? AND rollout != '' ORDER BY position"
    return [service for service, of in db.all(query, found[0][0]) if not slash or of == wave]

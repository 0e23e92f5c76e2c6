"""What is due becomes wake-ups: what the store is asked, and which queue a rollout is woken through. Pure.

Any number of processes ask; a wake-up that waits already is not in the answer, and a second one is refused by its lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rollout.engine.serve import BACK, LATER, WATCHED
from rollout.lease import LEASE_S, Holder, is_provably_dead
from rollout.plan import STORY

URGENT = "urgent:"
DUE = f"""
    WITH clock AS MATERIALIZED (SELECT extract(epoch FROM clock_timestamp())::double precision AS now),
    due AS (
        SELECT id, due_at, CASE WHEN phase = 'rolling_back' OR EXISTS (
                        SELECT 1 FROM journal WHERE rollout = id AND kind = 'roll_back_decided') THEN {BACK}
                    WHEN phase IN ('shifting', 'baking') THEN {WATCHED} ELSE {LATER} END AS urgency
        FROM rollouts
        WHERE closed_at IS NULL AND due_at <= (SELECT now FROM clock)
            AND (%(named)s::text[] IS NULL OR id = ANY(%(named)s))),
    first AS (
        SELECT * FROM due
        WHERE NOT EXISTS (
            SELECT 1 FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock =
            (CASE WHEN urgency = {LATER} THEN '' ELSE '{URGENT}' END || due.id) COLLATE "default")
        ORDER BY urgency, due_at, id LIMIT %(most)s)
    SELECT first.*, (plan::jsonb ->> 'story')::integer AS story, services.holder AS leased_to, lease_expires_at,
           drivers.holder AS driver, drivers.seen_at, clock.now
    FROM clock, first JOIN rollouts ON rollouts.id = first.id JOIN services ON services.name = service
        LEFT JOIN drivers ON drivers.rollout = first.id
    ORDER BY urgency, first.due_at, first.id
"""  # noqa: S608 - fixed words
"""`named`: only of these rollouts, or of all (None). `most`: no more than so many; only of these is the plan read, for
its story."""
NEXT = """
    SELECT min(due_at) - extract(epoch FROM clock_timestamp())::double precision AS seconds
    FROM rollouts WHERE closed_at IS NULL AND due_at > extract(epoch FROM clock_timestamp())::double precision
"""
PRIORITIES = {BACK: 20, WATCHED: 10, LATER: 0}


@dataclass(frozen=True, slots=True)
class WakeUp:
    """One job for the queue. `lock`: of those that wait, there is one of a kind for each rollout."""

    rollout: str
    urgency: int
    story: int

    @property
    def queue(self) -> str:
        return queue_of(self.story, urgent=self.urgency != LATER)

    @property
    def priority(self) -> int:
        return PRIORITIES[self.urgency]

    @property
    def lock(self) -> str:
        """What became urgent while it waited with the rest is queued once more."""
        return self.rollout if self.urgency == LATER else f"{URGENT}{self.rollout}"


def queue_of(story: int, *, urgent: bool) -> str:
    """A rollout that a newer release began is woken where that release runs."""
    return f"{'urgent' if urgent else 'later'}-{story}"


def queues(*, urgent_only: bool) -> list[str]:
    """Those that this release listens to."""
    stories = range(1, STORY + 1)
    urgent = [queue_of(story, urgent=True) for story in stories]
    return urgent if urgent_only else urgent + [queue_of(story, urgent=False) for story in stories]


def wake_ups(due: Iterable[Mapping[str, Any]]) -> list[WakeUp]:
    """Those of the rows of DUE that nobody drives now, the most urgent first."""
    return [
        WakeUp(row["id"], row["urgency"], row["story"]) for row in due if not _is_leased(row) and not _has_driver(row)
    ]


def _is_leased(row: Mapping[str, Any]) -> bool:
    """A job acts on its service at this moment, as far as can be told."""
    return row["leased_to"] is not None and row["lease_expires_at"] > row["now"] and not _is_dead(row["leased_to"])


def _has_driver(row: Mapping[str, Any]) -> bool:
    """A command drives it, and goes on once it has gone."""
    return row["driver"] is not None and abs(row["now"] - row["seen_at"]) <= LEASE_S and not _is_dead(row["driver"])


def _is_dead(holder: str) -> bool:
    return is_provably_dead(Holder.from_json(json.loads(holder)))

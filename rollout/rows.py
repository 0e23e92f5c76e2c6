"""What the store lists: a rollout in one row, and what it waits for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One rollout as listed; the journal is the truth, this is its summary."""

    id: str
    service: str
    key: str | None
    plan: Mapping[str, Any]
    plan_hash: str
    actor: str
    reason: str
    opened_at: float
    phase: str
    outcome: str
    closed_at: float | None
    head_seq: int
    head_hash: str
    due_at: float
    pruned_at: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """What a rollout waits for: the state of a gate or fact between two looks."""

    step: str
    started_at: float
    deadline_at: float | None
    due_at: float
    state: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody excludes rollouts from a service, until a time or until it is released."""

    service: str
    actor: str
    reason: str
    ref: str
    at: float
    until: float | None

"""Rollback cards for tests that need no rollout."""

from __future__ import annotations

from typing import Any

from rollout.card import Card


def a_card(**more: Any) -> Card:
    """The way back of shop-1 to blue; `more` says what is otherwise."""
    said: dict[str, Any] = {
        "rollout": "shop-1",
        "service": "shop",
        "provider": "memory",
        "original": "blue",
        "replacement": "green",
        "target": {"service": "shop"},
        "capacity": 2,
        "write_timeout_s": 5.0,
        "app_version": "1.0",
        "written_at": 100.0,
    }
    return Card(**{**said, **more})

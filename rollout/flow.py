"""How a story stops before its end. All derive from BaseException: no `except Exception` on the way may eat them.

`rollout.store.Fenced` is the fourth of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class NotYet(BaseException):
    """The next step has to wait; come back at `due_at` (seconds since 1970; None: when a person says so)."""

    def __init__(self, why: str, due_at: float | None) -> None:
        super().__init__(why)
        self.why, self.due_at = why, due_at


class TurnBack(BaseException):
    """The forward story may not go on. `deny` holds the image to be denied: only after a check on it failed."""

    def __init__(self, reason: str, evidence: Mapping[str, Any] | None = None, *, deny: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.evidence, self.deny = reason, dict(evidence or {}), deny


class Halt(BaseException):
    """Only a person can go on: traffic stays as it is."""

    def __init__(self, reason: str, evidence: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.evidence = reason, dict(evidence or {})


class StoryChanged(Exception):
    """The journal does not fit the story that this release tells: it must not be driven."""

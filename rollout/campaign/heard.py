"""What the journals of a run's rollouts say that their rows do not: that it turns back, that it is paused, and by whom.

Ten thousand journals are not read every other second: only what was written since the last look. Standard library.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rollout.campaign.model import Member
from rollout.database import Database

_WORDS = "('roll_back_decided', 'paused', 'resumed')"


@dataclass(frozen=True, slots=True)
class _Heard:
    seq: int = 0
    decided: bool = False
    paused_for: str = ""


class Heard:
    """Keeps what it heard; one for each process that looks again and again."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._heard: dict[str, _Heard] = {}

    def complete(self, members: Iterable[tuple[Member, int]]) -> list[Member]:
        """The members of a run, as `register.members` gave them, with `decided` and `paused`."""
        return [self._completed(member, head) for member, head in members]

    def _completed(self, member: Member, head: int) -> Member:
        if not member.is_open:
            self._heard.pop(member.rollout, None)
            return member
        heard = self._heard.get(member.rollout, _Heard())
        if head > heard.seq:
            heard = self._heard[member.rollout] = self._listen(member.rollout, heard, head)
        return replace(member, decided=member.decided or heard.decided, paused=heard.paused_for)

    def _listen(self, rollout: str, heard: _Heard, head: int) -> _Heard:
        query = f"SELECT kind, data FROM journal WHERE rollout = ? AND seq > ? AND kind IN {_WORDS} ORDER BY seq"  # noqa: S608 - fixed
        for kind, data in self._db.all(query, rollout, heard.seq):
            if kind == "roll_back_decided":
                heard = replace(heard, decided=True)
            else:
                heard = replace(heard, paused_for=str(json.loads(data).get("run") or "-") if kind == "paused" else "")
        return replace(heard, seq=head)

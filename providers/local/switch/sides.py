"""What can be known of both sides of a service without a balancer: who lives, what its own commands say.

Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from providers.local.balancer.answers import CountersAnswer
from providers.local.records import Record, Records
from providers.local.switch import command
from providers.local.switch.command import Ended
from providers.local.switch.model import Switch

Word = Literal["enabled", "mixed", "disabled", "dead", "unknown"]
"""mixed: some processes are enabled, others are not. dead: there is no living process that could take work."""

LOOK_S = 5.0
SHOWN = 80


@dataclass(frozen=True)
class Said:
    """What a side is, as its status command says; `why` it is unknown."""

    word: Word
    why: str = ""

    @property
    def on(self) -> bool:
        """Some of it may take work."""
        return self.word in ("enabled", "mixed")

    @property
    def off(self) -> bool:
        return self.word in ("disabled", "dead")


class Sides:
    """The commands of one service, as its folder has them."""

    def __init__(self, directory: Path, switch: Switch, folder: Path) -> None:
        self._service, self._switch, self._folder = directory.parent.name, switch, folder
        self._records = Records(directory.parent / "instances")

    @property
    def timeout_s(self) -> float:
        return self._switch.timeout_s

    def living(self, slot: str) -> list[Record]:
        """Those that may be alive: one whose start was interrupted counts, too."""
        return [record for record in self._records.all() if record.slot == slot and _may_live(record)]

    def ask(self, slot: str) -> Said:
        """What the status command says now."""
        living = self.living(slot)
        if not living:
            return Said("dead")
        words = set()
        for argv in self._switch.calls("status", slot, living):
            ended = self._run(argv, slot, "status", living, LOOK_S)
            word = ended.out.strip()
            if not ended.good:
                return Said("unknown", f"the status command of {slot} {ended.why}")
            if word not in ("enabled", "disabled"):
                told = repr(word[:SHOWN])
                return Said("unknown", f"the status command of {slot} printed {told}, neither enabled nor disabled")
            words.add(word)
        if len(words) > 1:
            return Said("mixed")
        return Said("enabled" if words == {"enabled"} else "disabled")

    def act(self, action: str, slot: str, tag: str, revision: int, began: Callable[[int], None]) -> Ended:
        """Enable or disable a side; the first command that does not end with 0 ends it."""
        living, seconds = self.living(slot), 0.0
        for argv in self._switch.calls(action, slot, living):
            more = {command.TAG: tag, "ROLLOUT_REVISION": str(revision)}
            ended = self._run(argv, slot, action, living, self._switch.timeout_s, more, began)
            seconds += ended.seconds
            if not ended.good:
                return ended
        return Ended(0, seconds=seconds)

    def counters(self, slot: str) -> CountersAnswer | None:
        """What the stats command counted; zeros where there is none, None where what it said is no answer."""
        living = self.living(slot)
        counts = {"done": 0, "failed": 0, "in_flight": 0}
        for argv in self._switch.calls("stats", slot, living) if self._switch.stats else ():
            ended = self._run(argv, slot, "stats", living, LOOK_S)
            read = _counts(ended.out) if ended.good else None
            if read is None:
                return None
            counts = {key: counts[key] + read[key] for key in counts}
        return CountersAnswer(
            requests=counts["done"] + counts["failed"],
            responses={"2xx": counts["done"]},
            failed=counts["failed"],
            in_flight=counts["in_flight"],
            latency_ms_sum=0.0,
            retries=0,
            fallbacks=0,
            client_gone=0,
            cut=0,
        )

    def _run(
        self,
        argv: list[str],
        slot: str,
        action: str,
        living: list[Record],
        timeout_s: float,
        more: Mapping[str, str] | None = None,
        began: Callable[[int], None] = lambda pid: None,
    ) -> Ended:
        variables = {
            "ROLLOUT_SERVICE": self._service,
            "ROLLOUT_SLOT": slot,
            "ROLLOUT_ACTION": action,
            "ROLLOUT_INSTANCES": " ".join(record.address for record in living),
            "ROLLOUT_INSTANCE_IDS": " ".join(record.id for record in living),
            **(more or {}),
        }
        return command.run(argv, self._folder, variables, min(timeout_s, self._switch.timeout_s), began)


def _may_live(record: Record) -> bool:
    if record.identity is None:
        return not record.problem
    return record.identity.alive


def _counts(text: str) -> dict[str, int] | None:
    try:
        said: Any = json.loads(text)
        counts = {key: said[key] for key in ("done", "failed", "in_flight")}
    except (ValueError, KeyError, TypeError):
        return None
    whole = all(isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in counts.values())
    return counts if whole else None

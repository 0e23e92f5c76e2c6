"""Is any of the platform's own alarms ringing for the slot?

An alarm that does not exist, or has too little data, is unknown: silence is no proof. One without `{slot}` in its name
is about both sides, and rings for both. Severity: the share of the alarms that ring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import Alarm

SHOWN = 20  # alarms in the evidence
PLACE = "{slot}"


@dataclass(frozen=True)
class Options:
    """`names` of alarms; `{slot}` in a name stands for blue or green. `missing`: what an alarm is that does not exist
    or has too little data, unknown or ok.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    names: Sequence[str]
    missing: Literal["unknown", "ok"] = "unknown"

    def __post_init__(self) -> None:
        if not self.names or not all(name.strip() for name in self.names):
            raise ValueError("names lists at least one alarm")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    both = [_name(name, slot) for name in options.names for slot in sorted((subject.slot, subject.beside))]
    known = subject.readings.alarms(tuple(dict.fromkeys(both)))
    names = list(dict.fromkeys(_name(name, subject.slot) for name in options.names))
    ringing = [known[name] for name in names if name in known and known[name].state == "alarm"]
    silent = [name for name in names if name not in known or known[name].state not in ("ok", "alarm")]
    evidence = {
        "ringing": [_plain(one) for one in ringing[:SHOWN]],
        "silent": [_silence(name, known) for name in silent[:SHOWN]],
        "asked": len(names),
    }
    if ringing:
        summary = f"{len(ringing)} of {len(names)} alarms ring: {short(ringing[0].name)}: {short(ringing[0].reason)}"
        return Verdict.failed(summary, severity=len(ringing) / len(names), **evidence)
    if silent and options.missing == "unknown":
        summary = f"{len(silent)} of {len(names)} alarms say nothing: {_silence(silent[0], known)}"
        return Verdict.unknown(summary, **evidence)
    quiet = f", {len(silent)} say nothing" if silent else ""
    return Verdict.passed(f"no alarm of {len(names)} rings{quiet}", **evidence)


def _name(name: str, slot: str) -> str:
    return name.replace(PLACE, slot)


def _plain(alarm: Alarm) -> dict[str, Any]:
    return {"name": short(alarm.name), "reason": short(alarm.reason), "since": alarm.since}


def _silence(name: str, known: Mapping[str, Alarm]) -> str:
    if name not in known:
        return f"{short(name)} does not exist"
    return f"{short(name)} has too little data ({short(known[name].reason) or 'no reason given'})"

"""Which known vulnerabilities does the patch fix, leave and introduce, by what the hosts of both sides really have?

Introducing one fails, unless it is waived. A host that could not be read, a package that the advisories do not
cover and advisories that are empty or too old are unknown. A patch that fixes nothing that is known fails.
Asked about the original, it judges only whether its hosts can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from healthchecks.base import Subject, Verdict
from healthchecks.guard import guarded, short
from providers.base import Invalid, Slot

if TYPE_CHECKING:
    from healthchecks.advisories.packages import HostPackages  # read late: it needs libraries that others do not

PARTS = ("fixed", "remaining", "introduced", "undecided", "unknown")
LEDGER_BYTES = 64 * 1024
SHOWN = 60  # entries of each part, in the evidence of a larger ledger; the counts are always whole


@dataclass(frozen=True)
class Waiver:
    """An introduced advisory (`id`, or one of its aliases) is accepted through `until` (a date), for a `reason`."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    id: str
    until: str
    reason: str

    def __post_init__(self) -> None:
        if not self.id.strip() or not self.reason.strip():
            raise ValueError("a waiver names an advisory and a reason")
        date.fromisoformat(self.until)  # a ValueError says what is wrong

    def holds(self, today: date) -> bool:
        return today <= date.fromisoformat(self.until)


@dataclass(frozen=True)
class Options:
    """`advisories` is the path of OSV data: a file or a folder. `max_age_days` is how old its newest record may be.

    `waivers` accept single introduced advisories for a time. With `require_fix` at least one has to be fixed.
    """

    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}

    advisories: str = field(metadata={"path": True})
    waivers: Sequence[Waiver] = field(default_factory=tuple)
    require_fix: bool = True
    max_age_days: int | None = None

    def __post_init__(self) -> None:
        if not self.advisories:
            raise ValueError("advisories is the path of OSV data")
        if self.max_age_days is not None and self.max_age_days < 1:
            raise ValueError("max_age_days is at least 1")


@guarded
def ask(options: Options, subject: Subject) -> Verdict:
    ours, unseen = _hosts(subject, subject.slot)
    if subject.role == "original":
        unread = [f"{short(host.host, 80)}: {short(host.reason)}" for host in ours if host.packages is None]
        return _readable(len(ours), [*unseen, *unread])
    theirs, unseen_beside = _hosts(subject, subject.beside)
    ledger = _ledger(options, theirs, ours, subject.now)
    today = datetime.fromtimestamp(subject.now, UTC).date()
    return judge(ledger, [*unseen, *unseen_beside], options, today)


def _hosts(subject: Subject, slot: Slot) -> tuple[list[HostPackages], list[str]]:
    """The hosts of a slot with their packages, and what is missing among them; no packages at all is unreadable."""
    from healthchecks.advisories.packages import host_packages

    hosts = subject.readings.inventory(slot)
    missing = len(subject.readings.instances(slot)) - len(hosts)
    read = [host_packages(host.host, host.packages or None, host.problem or "no packages were found") for host in hosts]
    unseen = [f"{missing} instances of {slot} have no inventory"] if missing > 0 else []
    return read, unseen


def _readable(hosts: int, trouble: Sequence[str]) -> Verdict:
    evidence = {"hosts": hosts, "trouble": list(trouble[:SHOWN])}
    if trouble or not hosts:
        return Verdict.unknown(_first(trouble or ["there are no hosts"]), **evidence)
    return Verdict.passed(f"the packages of {hosts} hosts could be read", **evidence)


def judge(ledger: Mapping[str, Any], unseen: Sequence[str], options: Options, today: date) -> Verdict:
    """The verdict on a ledger (as plain data), and on hosts that are not in it at all."""
    introduced = [entry for entry in ledger["introduced"] if not _waived(entry, options, today)]
    counts = {part: len(ledger[part]) for part in PARTS}
    undecided = [f"{short(entry['id'], 80)} was found, but one side cannot deny it" for entry in ledger["undecided"]]
    unclear = [*unseen, *(_gap(gap) for gap in ledger["unknown"]), *undecided]
    evidence = {**_bounded(ledger), "counts": counts, "unseen": list(unseen)}
    total = "{fixed} fixed, {remaining} remaining, {introduced} introduced".format(**counts)
    total += f", {len(unclear)} unknown"
    if introduced:
        names = [f"introduces {short(entry['id'], 80)}" for entry in introduced]
        return Verdict.failed(f"the patch {_first(names)}; {total}", **evidence)
    if unclear:
        return Verdict.unknown(f"{_first(unclear)}; {total}", **evidence)
    if options.require_fix and not counts["fixed"]:
        return Verdict.failed(f"the patch fixes nothing that is known; {total}", **evidence)
    return Verdict.passed(total, **evidence)


def _ledger(
    options: Options, original: Sequence[HostPackages], replacement: Sequence[HostPackages], now: float
) -> Mapping[str, Any]:
    """Both sides compared, as plain data; Invalid for advisories that prove nothing."""
    from healthchecks.advisories.database import load_database
    from healthchecks.advisories.ledger import compare

    database = load_database(Path(options.advisories))
    newest = database.newest_modified
    if newest is None:
        raise Invalid(f"there are no advisories in {short(options.advisories)}")
    age = (datetime.fromtimestamp(now, UTC) - newest).days
    if options.max_age_days is not None and age > options.max_age_days:
        raise Invalid(f"the newest advisory is {age} days old, at most {options.max_age_days} are allowed")
    return compare(original, replacement, database).to_dict()


def _waived(entry: Mapping[str, Any], options: Options, today: date) -> bool:
    return any(waiver.id in entry["ids"] and waiver.holds(today) for waiver in options.waivers)


def _gap(gap: Mapping[str, Any]) -> str:
    what = gap["subject"] or ", ".join(gap["hosts"]) or "hosts"
    return f"{short(what, 80)} on the {gap['side']}: {short(gap['reason'])}"


def _first(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)"


def _bounded(ledger: Mapping[str, Any]) -> dict[str, Any]:
    """The whole ledger; if it is too large, so much of each part and list in it as fits (`cut` is then true)."""
    kept: dict[str, Any] = {**ledger, "cut": False}
    shown = SHOWN
    while len(json.dumps(kept)) > LEDGER_BYTES and shown:
        kept, shown = {**_cut(ledger, shown), "cut": True}, shown // 2
    return kept


def _cut(value: Any, shown: int) -> Any:
    if isinstance(value, Mapping):
        return {key: _cut(item, shown) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item, min(shown, 10)) for item in value[:shown]]
    return short(value) if isinstance(value, str) else value

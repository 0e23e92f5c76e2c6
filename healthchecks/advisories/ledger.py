"""What a patch did to the advisories of a set of hosts: fixed, remaining, introduced, unknown.

Fixed: found on some original host and on no replacement host. Remaining: on both sides. Introduced: only on
the replacement. A one-sided advisory counts only if the other side can deny it: if a host there could not be
read, or the same package could not be judged, it is undecided (and the cause stands in `unknown`). So every
advisory found lands in exactly one class, and swapping the sides swaps fixed and introduced.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from healthchecks.advisories.database import AdvisoryDatabase
from healthchecks.advisories.match import Finding, Findings, match
from healthchecks.advisories.packages import HostPackages, Package

Side = Literal["original", "replacement"]
Subject = tuple[str, str]
CLASSES = ("fixed", "remaining", "introduced", "undecided")


@dataclass(frozen=True, slots=True)
class Change:
    """A package that an advisory concerns: every version of it on the original, and on the replacement."""

    ecosystem: str
    name: str
    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One advisory, its packages, and the hosts of each side on which it was found."""

    id: str
    ids: tuple[str, ...]
    summary: str
    packages: tuple[Change, ...]
    fixed_versions: tuple[str, ...]
    original_hosts: tuple[str, ...]
    replacement_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that could not be judged. `subject` is a package URL, or empty for a whole host or side."""

    side: Side
    hosts: tuple[str, ...]
    subject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The comparison, with the advisory database that it rests on. Only an empty `unknown` is a sure result."""

    fixed: tuple[Entry, ...]
    remaining: tuple[Entry, ...]
    introduced: tuple[Entry, ...]
    undecided: tuple[Entry, ...]
    unknown: tuple[Gap, ...]
    database_digest: str
    database_records: int
    database_newest: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        data = asdict(self)
        return {key: _plain(value) for key, value in data.items()}


class _View:
    """One side as `compare` looks at it."""

    def __init__(self, side: Side, hosts: Sequence[HostPackages], findings: Findings) -> None:
        if len({host.host for host in hosts}) != len(hosts):
            raise ValueError(f"a host is listed twice on the {side} side")
        self.side, self.hosts = side, hosts
        self.where: dict[Package, list[str]] = defaultdict(list)
        self.versions: dict[Subject, set[str]] = defaultdict(set)
        for host in hosts:
            for package in sorted(set(host.packages or ())):
                self.where[package].append(host.host)
                self.versions[package.ecosystem, package.name].add(package.version)
        self.found: dict[tuple[str, ...], list[Finding]] = defaultdict(list)
        for finding in findings.found:
            if finding.package in self.where:
                self.found[finding.ids].append(finding)
        self.doubts = [doubt for doubt in findings.unknown if doubt.package in self.where]

    def gaps(self) -> list[Gap]:
        unread = [Gap(self.side, (host.host,), "", host.reason) for host in self.hosts if host.packages is None]
        if not self.hosts:
            unread.append(Gap(self.side, (), "", "no hosts were listed"))
        doubts = (
            Gap(self.side, tuple(sorted(self.where[one.package])), one.package.purl, one.reason) for one in self.doubts
        )
        return [*unread, *doubts]

    def can_deny(self, ids: tuple[str, ...], subjects: set[Subject]) -> bool:
        """Say whether this side is known well enough for an advisory's absence to mean something."""
        readable = bool(self.hosts) and all(host.packages is not None for host in self.hosts)
        return readable and not any(
            doubt.ids == ids if doubt.ids else (doubt.package.ecosystem, doubt.package.name) in subjects
            for doubt in self.doubts
        )

    def found_on(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({host for one in self.found.get(ids, ()) for host in self.where[one.package]}))


def compare(
    original: Sequence[HostPackages], replacement: Sequence[HostPackages], database: AdvisoryDatabase
) -> Ledger:
    """Compare two sets of hosts; ValueError if a host is listed twice on one side."""
    packages = {one for host in (*original, *replacement) for one in host.packages or ()}
    findings = match(packages, database)
    old, new = _View("original", original, findings), _View("replacement", replacement, findings)
    classes: dict[str, list[Entry]] = defaultdict(list)
    for ids in dict.fromkeys(finding.ids for finding in findings.found):
        here, there = old.found.get(ids, []), new.found.get(ids, [])
        subjects = {(one.package.ecosystem, one.package.name) for one in (*here, *there)}
        if here and there:
            name = "remaining"
        elif not (new if here else old).can_deny(ids, subjects):
            name = "undecided"
        else:
            name = "fixed" if here else "introduced"
        classes[name].append(_enter(ids, (*here, *there), subjects, old, new))
    newest = database.newest_modified
    ordered: dict[str, Any] = {name: tuple(sorted(classes[name], key=_ids)) for name in CLASSES}
    return Ledger(
        **ordered,
        unknown=(*old.gaps(), *new.gaps()),
        database_digest=database.digest,
        database_records=database.count,
        database_newest="" if newest is None else newest.isoformat(),
    )


def _enter(ids: tuple[str, ...], found: Sequence[Finding], subjects: set[Subject], old: _View, new: _View) -> Entry:
    changes = tuple(
        Change(*subject, tuple(sorted(old.versions[subject])), tuple(sorted(new.versions[subject])))
        for subject in sorted(subjects)
    )
    fixes = tuple(dict.fromkeys(fix for one in found for fix in one.fixed_versions))
    summary = next((one.summary for one in found if one.summary), "")
    return Entry(ids[0], ids, summary, changes, fixes, old.found_on(ids), new.found_on(ids))


def _ids(entry: Entry) -> tuple[str, ...]:
    return entry.ids


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value

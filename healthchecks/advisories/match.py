"""Which advisories concern which packages: found, or unknown with a reason, never quietly clean.

The rule for one range is the OSV schema's evaluation algorithm. Records that name each other by alias are one
advisory (a connected component of ids and aliases); withdrawn records count for nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from univers.versions import Version

from healthchecks.advisories.database import AdvisoryDatabase
from healthchecks.advisories.osv import Advisory, Affected, Event, Range
from healthchecks.advisories.packages import Package
from healthchecks.advisories.versions import VersionUnknown, parse_version, precedes, version_key

TIE = {"fixed": 0, "introduced": 1, "last_affected": 2}
"""At one version: a branch's fix, then the next branch's start, then a last affected version."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An advisory that concerns a package. `id` is for display (a CVE if there is one), `ids` are all names."""

    package: Package
    id: str
    ids: tuple[str, ...]
    summary: str
    fixed_versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A package that could not be judged: for one advisory (`ids`), or at all (`ids` is empty)."""

    package: Package
    reason: str
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of some packages; a package in neither list is covered and not known to be affected."""

    found: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]


def match(packages: Iterable[Package], database: AdvisoryDatabase) -> Findings:
    """Judge each package once. Nothing is raised for what the data hold: trouble is an unknown."""
    subjects: dict[tuple[str, str], list[tuple[tuple[str, ...], Advisory, Affected]]] = defaultdict(list)
    names = merged_ids(database.records)
    for record in database.records:
        for entry in record.affected if record.withdrawn is None else ():
            subjects[entry.ecosystem, entry.name].append((names[record.id], record, entry))
    found: list[Finding] = []
    unknown: list[Unknown] = []
    for package in sorted(set(packages)):
        gap = database.coverage.gap(package) or _unplaced(package)
        if gap is not None:
            unknown.append(Unknown(package, gap))
        by_advisory: dict[tuple[str, ...], list[tuple[Advisory, Affected]]] = defaultdict(list)
        for ids, record, entry in subjects.get((package.ecosystem, package.name), ()):
            by_advisory[ids].append((record, entry))
        for ids, entries in sorted(by_advisory.items()):
            verdict = _judge(package, ids, entries)
            if isinstance(verdict, Finding):
                found.append(verdict)
            elif verdict is not None and gap is None:
                unknown.append(verdict)
    return Findings(tuple(found), tuple(unknown))


def merged_ids(records: Sequence[Advisory]) -> dict[str, tuple[str, ...]]:
    """Map each id and alias of the records in force to all names of its advisory, the best name first."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for record in records:
        if record.withdrawn is None:
            for name in (record.id, *record.aliases):
                parent[root(name)] = root(record.id)
    groups: dict[str, list[str]] = defaultdict(list)
    for name in parent:
        groups[root(name)].append(name)
    ordered = {key: tuple(sorted(names, key=_display_key)) for key, names in groups.items()}
    return {name: ordered[root(name)] for name in list(parent)}


def affects(version: str, entry: Affected) -> bool:
    """Say whether `entry` concerns `version`; VersionUnknown when one of its versions cannot be placed."""
    if version in entry.versions:
        return True
    if not entry.ranges and not entry.versions:
        raise VersionUnknown("the record names no versions")
    mine = parse_version(entry.ecosystem, version)
    doubt: VersionUnknown | None = None
    for one in entry.ranges:
        try:
            if _in_range(mine, one, entry.ecosystem):
                return True
        except VersionUnknown as error:
            doubt = error
    if any(_same(mine, listed, entry.ecosystem) for listed in entry.versions):
        return True
    if doubt is not None:
        raise doubt
    return False


def _in_range(mine: Version, one: Range, ecosystem: str) -> bool:
    limits = [event.version for event in one.events if event.kind == "limit" and event.version != "*"]
    unlimited = len(limits) == 0 or any(event.kind == "limit" and event.version == "*" for event in one.events)
    if not unlimited and not any(precedes(mine, parse_version(ecosystem, limit)) for limit in limits):
        return False
    affected = False
    for event, at in _sorted(one.events, ecosystem):
        if at is None or not precedes(mine, at):
            affected = event.kind == "introduced" or (
                affected and event.kind == "last_affected" and at is not None and not precedes(at, mine)
            )
    return affected


def _sorted(events: Iterable[Event], ecosystem: str) -> list[tuple[Event, Version | None]]:
    """Place the events in the ecosystem's order; None stands for `0`, before every version."""
    zero = [(event, None) for event in events if event.kind == "introduced" and event.version == "0"]
    placed = [
        (event, parse_version(ecosystem, event.version))
        for event in events
        if event.kind != "limit" and not (event.kind == "introduced" and event.version == "0")
    ]
    placed.sort(key=lambda pair: TIE[pair[0].kind])
    placed.sort(key=lambda pair: version_key(pair[1]))
    return [*zero, *placed]


def _same(mine: Version, listed: str, ecosystem: str) -> bool:
    """Say whether a listed version is ours in another spelling; what is no version is the same only as text."""
    try:
        other = parse_version(ecosystem, listed)
        return not precedes(mine, other) and not precedes(other, mine)
    except VersionUnknown:
        return False


def _judge(
    package: Package, ids: tuple[str, ...], entries: Sequence[tuple[Advisory, Affected]]
) -> Finding | Unknown | None:
    """Judge one package by all records of one advisory: any that finds it decides, then any doubt."""
    doubt: str | None = None
    hit = False
    for _, entry in entries:
        try:
            hit = affects(package.version, entry) or hit
        except VersionUnknown as error:
            doubt = f"{ids[0]}: {error}"
    if hit:
        summary = next((record.summary for record, _ in entries if record.summary), "")
        return Finding(package, ids[0], ids, summary, _fixed_versions(package, [entry for _, entry in entries]))
    return None if doubt is None else Unknown(package, doubt, ids)


def _fixed_versions(package: Package, entries: Sequence[Affected]) -> tuple[str, ...]:
    """Return the fixed versions above the installed one, oldest first."""
    texts = {
        event.version for entry in entries for one in entry.ranges for event in one.events if event.kind == "fixed"
    }
    try:
        mine = parse_version(package.ecosystem, package.version)
        placed = sorted(
            ((parse_version(package.ecosystem, text), text) for text in sorted(texts)),
            key=lambda pair: version_key(pair[0]),
        )
        return tuple(text for at, text in placed if precedes(mine, at))
    except VersionUnknown:
        return tuple(sorted(texts))


def _unplaced(package: Package) -> str | None:
    try:
        parse_version(package.ecosystem, package.version)
    except VersionUnknown as error:
        return str(error)
    return None


def _display_key(name: str) -> tuple[int, tuple[int, ...], str]:
    kind = 0 if name.startswith("CVE-") else 1 if name.startswith("GHSA-") else 2
    return kind, tuple(int(digits) for digits in re.findall(r"[0-9]{1,18}", name)) if kind == 0 else (), name

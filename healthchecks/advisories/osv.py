"""Advisory records in the OSV format (schema 1.x, https://ossf.github.io/osv-schema/) as typed values.

`parse_record` reads one decoded JSON object. It is strict about every field that decides a match, and names
record, field, what was found and what is allowed. Left out on purpose, and only these: ranges of type GIT
(commits, not versions), affected entries that have only such ranges and no package, and fields that do not
decide a match (details, references, credits, database_specific, related, upstream).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from healthchecks.advisories.versions import canonical_name

EventKind = Literal["introduced", "fixed", "last_affected", "limit"]
EVENT_KINDS = ("introduced", "fixed", "last_affected", "limit")


class AdvisoryDataError(ValueError):
    """An advisory file cannot be trusted; the message names file, record, field, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Event:
    """A version at which something about a range changes. Introduced `0` is before every version."""

    kind: EventKind
    version: str


@dataclass(frozen=True, slots=True)
class Range:
    """The events of one range, in the order in which they were written; `match` sorts them."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Affected:
    """One package that an advisory concerns: its ranges, and the versions that it lists one by one."""

    ecosystem: str
    name: str
    ranges: tuple[Range, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One record. `severity` holds CVSS vectors as written; `withdrawn` set means: no longer an advisory."""

    id: str
    modified: datetime
    affected: tuple[Affected, ...]
    aliases: tuple[str, ...] = ()
    summary: str = ""
    severity: tuple[str, ...] = ()
    withdrawn: datetime | None = None


@dataclass(frozen=True, slots=True)
class _At:
    """A place in a record, for messages."""

    where: str

    def wrong(self, field: str, found: object, allowed: str) -> AdvisoryDataError:
        text = repr(found)
        shown = text if len(text) <= 80 else text[:77] + "..."
        return AdvisoryDataError(f"{self.where}: {field}: found {shown}, allowed: {allowed}")

    def text(self, holder: Mapping[str, Any], key: str, field: str, default: str | None = None) -> str:
        found = holder.get(key, default)
        if not isinstance(found, str) or (default is None and not found.strip()):
            raise self.wrong(field, found, "a text that is not empty" if default is None else "a text")
        return found

    def time(self, holder: Mapping[str, Any], key: str) -> datetime:
        found = self.text(holder, key, key)
        try:
            moment = datetime.fromisoformat(found)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise self.wrong(key, found, "a time with a zone, such as 2024-01-31T00:00:00Z")
        return moment

    def objects(self, holder: Mapping[str, Any], key: str, field: str) -> list[tuple[str, Mapping[str, Any]]]:
        found = holder.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise self.wrong(field, found, "a list of objects")
        return [(f"{field}[{number}]", item) for number, item in enumerate(found)]

    def texts(self, holder: Mapping[str, Any], key: str, field: str) -> tuple[str, ...]:
        found = holder.get(key, [])
        if not isinstance(found, list) or not all(isinstance(item, str) and item for item in found):
            raise self.wrong(field, found, "a list of texts")
        return tuple(found)


def parse_record(record: object, source: str) -> Advisory:
    """Read one OSV record from `source` (a file's name, for messages); AdvisoryDataError if malformed."""
    if not isinstance(record, dict):
        raise _At(source).wrong("record", record, "an object")
    number = _At(f"{source}: a record without id").text(record, "id", "id")
    at = _At(f"{source}: {number}")
    severity = at.objects(record, "severity", "severity")
    entries = [_affected(at, field, entry) for field, entry in at.objects(record, "affected", "affected")]
    return Advisory(
        id=number,
        modified=at.time(record, "modified"),
        affected=tuple(entry for entry in entries if entry is not None),
        aliases=at.texts(record, "aliases", "aliases"),
        summary=at.text(record, "summary", "summary", default=""),
        severity=tuple(at.text(entry, "score", f"{field}.score") for field, entry in severity),
        withdrawn=None if record.get("withdrawn") is None else at.time(record, "withdrawn"),
    )


def _affected(at: _At, field: str, entry: Mapping[str, Any]) -> Affected | None:
    ranges = [_range(at, place, item) for place, item in at.objects(entry, "ranges", f"{field}.ranges")]
    versions = at.texts(entry, "versions", f"{field}.versions")
    kept = tuple(item for item in ranges if item is not None)
    package = entry.get("package")
    if package is None and ranges and not kept and not versions:
        return None
    if not isinstance(package, dict):
        raise at.wrong(f"{field}.package", package, "an object with ecosystem and name")
    ecosystem = at.text(package, "ecosystem", f"{field}.package.ecosystem")
    name = canonical_name(ecosystem, at.text(package, "name", f"{field}.package.name"))
    return Affected(ecosystem, name, kept, versions)


def _range(at: _At, field: str, item: Mapping[str, Any]) -> Range | None:
    kind = item.get("type")
    if kind == "GIT":
        return None
    if kind not in ("ECOSYSTEM", "SEMVER"):
        raise at.wrong(f"{field}.type", kind, "ECOSYSTEM, SEMVER or GIT")
    events = tuple(_event(at, *placed) for placed in at.objects(item, "events", f"{field}.events"))
    if not any(event.kind == "introduced" for event in events):
        raise at.wrong(f"{field}.events", item.get("events"), "at least one introduced event")
    return Range(events)


def _event(at: _At, field: str, item: Mapping[str, Any]) -> Event:
    kinds: Sequence[str] = list(item)
    if len(kinds) != 1 or kinds[0] not in EVENT_KINDS:
        raise at.wrong(field, item, f"exactly one of {', '.join(EVENT_KINDS)}")
    return Event(cast(EventKind, kinds[0]), at.text(item, kinds[0], f"{field}.{kinds[0]}"))

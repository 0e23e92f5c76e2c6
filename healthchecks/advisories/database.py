"""Loading advisory files, and what a set of advisories can speak for.

Coverage: an advisory set says something about a package only if it covers it.
- A complete export (one record, a list, a folder of *.json, *.jsonl, *.zip) covers every package of each
  ecosystem that occurs in it: what it does not list is not known to be affected.
- A bundle, `{"coverage": {"PyPI": ["werkzeug"]}, "advisories": [...]}`, covers exactly the packages it names:
  a shipped sample must never make an unreviewed package look clean. Optional texts: `source`, `as_of`.
- No records: nothing is covered.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from healthchecks.advisories.osv import Advisory, AdvisoryDataError, parse_record
from healthchecks.advisories.packages import Package
from healthchecks.advisories.versions import canonical_name

MAX_BYTES = 512 * 1024 * 1024
BUNDLE_KEYS = {"coverage", "advisories", "source", "as_of"}


@dataclass(frozen=True, slots=True)
class Coverage:
    """`packages` is None for a complete export of `ecosystems`; else only those (ecosystem, name) count."""

    ecosystems: frozenset[str]
    packages: frozenset[tuple[str, str]] | None = None

    def gap(self, package: Package) -> str | None:
        """Say why nothing is known about `package`, or None when it is covered."""
        if not self.ecosystems:
            return "the advisory database has no records"
        if package.ecosystem not in self.ecosystems:
            return f"the advisory database has nothing about the ecosystem {package.ecosystem}"
        if self.packages is not None and (package.ecosystem, package.name) not in self.packages:
            return f"the advisory database was not reviewed for {package.name}"
        return None


@dataclass(frozen=True, slots=True)
class AdvisoryDatabase:
    """Advisories with what they cover; `digest` is over the content, not its order or files."""

    records: tuple[Advisory, ...]
    coverage: Coverage
    digest: str
    newest_modified: datetime | None

    @property
    def count(self) -> int:
        return len(self.records)


def load_database(path: Path, max_bytes: int = MAX_BYTES) -> AdvisoryDatabase:
    """Load a file, folder or zip of advisories; AdvisoryDataError for anything that is not understood."""
    raw: list[tuple[str, object]] = []
    bundle: Mapping[str, Any] | None = None
    for name, text in _texts(path, max_bytes):
        document = _decode(name, text)
        if isinstance(document, dict) and "advisories" in document:
            if path.is_dir() or path.suffix in {".zip", ".jsonl"}:
                raise AdvisoryDataError(f"{name}: found a bundle among records, allowed: a bundle on its own")
            bundle, document = document, document["advisories"]
        raw.extend((name, record) for record in (document if isinstance(document, list) else [document]))
    return build_database(raw, None if bundle is None else _coverage(str(path), bundle))


def build_database(raw: Iterable[tuple[str, object]], named: Coverage | None = None) -> AdvisoryDatabase:
    """Build a database from (source, decoded record) pairs; `named` is a bundle's own coverage."""
    records: dict[str, Advisory] = {}
    content: dict[str, object] = {}
    for source, document in raw:
        record = parse_record(document, source)
        if record.id in records:
            raise AdvisoryDataError(f"{source}: {record.id}: id: found twice, allowed: once")
        records[record.id], content[record.id] = record, document
    subjects = {(entry.ecosystem, entry.name) for record in records.values() for entry in record.affected}
    if named is not None and named.packages is not None and not subjects <= named.packages:
        stray = ", ".join(f"{name} ({ecosystem})" for ecosystem, name in sorted(subjects - named.packages))
        raise AdvisoryDataError(f"coverage: found advisories for {stray}, allowed: packages named in coverage")
    coverage = named if named is not None and records else Coverage(frozenset(pair[0] for pair in subjects))
    covers = None if coverage.packages is None else sorted(coverage.packages)
    facts = json.dumps([covers, sorted(content.items())], sort_keys=True, separators=(",", ":"))
    return AdvisoryDatabase(
        records=tuple(records[number] for number in sorted(records)),
        coverage=coverage,
        digest=hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest(),
        newest_modified=max((record.modified for record in records.values()), default=None),
    )


def _coverage(source: str, bundle: Mapping[str, Any]) -> Coverage:
    """Read the head of a bundle."""
    stray = sorted(set(bundle) - BUNDLE_KEYS)
    if stray:
        raise AdvisoryDataError(f"{source}: bundle: found {stray}, allowed: {sorted(BUNDLE_KEYS)}")
    found = bundle.get("coverage")
    if not isinstance(bundle["advisories"], list) or not isinstance(found, dict):
        raise AdvisoryDataError(f"{source}: bundle: allowed: a list of advisories and an object of coverage")
    for ecosystem, names in found.items():
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise AdvisoryDataError(f"{source}: coverage.{ecosystem}: allowed: a list of package names")
    pairs = frozenset((system, canonical_name(system, name)) for system, names in found.items() for name in names)
    return Coverage(frozenset(found), pairs)


def _decode(name: str, text: bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AdvisoryDataError(f"{name}: found no readable JSON ({error}), allowed: JSON in UTF-8") from error


def _texts(path: Path, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield (name, JSON text) pairs, at most `max_bytes` in all."""
    left = max_bytes
    for name, text in _parts(path, max_bytes):
        left -= len(text)
        if left < 0:
            raise AdvisoryDataError(f"{path}: found more than {max_bytes} bytes, allowed: {max_bytes}")
        if path.suffix == ".jsonl":
            lines = enumerate(text.splitlines(), start=1)
            yield from ((f"{name}:{number}", line) for number, line in lines if line.strip())
        else:
            yield name, text


def _parts(path: Path, max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield each file's name and bytes, reading at most one byte above the limit of each."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                for entry in sorted(name for name in archive.namelist() if name.endswith(".json")):
                    with archive.open(entry) as part:
                        yield f"{path}!{entry}", part.read(max_bytes + 1)
            return
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            with file.open("rb") as part:
                yield str(file), part.read(max_bytes + 1)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise AdvisoryDataError(f"{path}: cannot be read: {error}") from error

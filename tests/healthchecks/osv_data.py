"""Small OSV records and hosts for the advisory tests."""

from __future__ import annotations

from typing import Any

from healthchecks.advisories.database import AdvisoryDatabase, Coverage, build_database
from healthchecks.advisories.packages import HostPackages, Package, parse_package

MODIFIED = "2024-01-31T12:00:00Z"


def record(
    number: str = "PYSEC-1",
    *events: tuple[str, str],
    name: str = "shoplib",
    ecosystem: str = "PyPI",
    **more: Any,
) -> dict[str, Any]:
    """One OSV record with one range of `events` (introduced 0 and fixed 2.0 when none are given)."""
    pairs = events or (("introduced", "0"), ("fixed", "2.0"))
    affected = {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": "ECOSYSTEM", "events": [{kind: version} for kind, version in pairs]}],
    }
    return {"id": number, "modified": MODIFIED, "affected": [affected], **more}


def database(*records: dict[str, Any], covers: dict[str, list[str]] | None = None) -> AdvisoryDatabase:
    """A database of records: a complete export, or a bundle that covers the named packages."""
    named = None
    if covers is not None:
        pairs = frozenset((ecosystem, name) for ecosystem, names in covers.items() for name in names)
        named = Coverage(frozenset(covers), pairs)
    return build_database([("test.json", one) for one in records], named)


def package(version: str, name: str = "shoplib") -> Package:
    return parse_package(f"pkg:pypi/{name}@{version}")


def host(name: str, *versions: str) -> HostPackages:
    """A host that has these versions of the one library."""
    return HostPackages(name, tuple(package(version) for version in versions))

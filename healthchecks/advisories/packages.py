"""Packages as hosts report them, by package URL.

Rules from the package-url specification; the qualifiers are checked here because the library reads malformed
ones without complaint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from packageurl import PackageURL

from healthchecks.advisories.versions import canonical_name

ECOSYSTEM_OF_TYPE = {
    "pypi": "PyPI",
    "cargo": "crates.io",
    "gem": "RubyGems",
    "golang": "Go",
    "npm": "npm",
}
DISTRIBUTIONS = {"debian": "Debian", "ubuntu": "Ubuntu", "alpine": "Alpine", "almalinux": "AlmaLinux"}
"""For deb, rpm and apk, by namespace. `distro=debian-12` names the release: `Debian:12`."""


class PackageError(ValueError):
    """A package URL is not usable; the message holds what was found and what is allowed."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """One installed package. `name` is canonical for its ecosystem; for deb and rpm the source package."""

    purl: str
    name: str
    version: str
    ecosystem: str


@dataclass(frozen=True, slots=True)
class HostPackages:
    """What one host has; `packages` is None when it could not be read, and `reason` then says why."""

    host: str
    packages: tuple[Package, ...] | None
    reason: str = ""

    def __post_init__(self) -> None:
        if self.packages is None and not self.reason:
            raise ValueError(f"host {self.host!r} has no packages and no reason why")


def parse_package(purl: str, ecosystem: str | None = None) -> Package:
    """Read a package URL with a version; `ecosystem` overrides its type. PackageError if malformed."""
    if not purl.isprintable() or re.search(r"\s", purl):
        raise PackageError(f"package URL {purl!r}: found a blank or control character, allowed: none")
    for qualifier in filter(None, purl.partition("#")[0].partition("?")[2].split("&")):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*=[^=]+", qualifier):
            raise PackageError(f"package URL {purl!r}: found the qualifier {qualifier!r}, allowed: key=value")
    try:
        parsed = PackageURL.from_string(purl)
    except ValueError as error:
        raise PackageError(f"package URL {purl!r}: {error}") from error
    if not parsed.version:
        raise PackageError(f"package URL {purl!r}: found no version, allowed: pkg:type/name@version")
    known = ecosystem or _ecosystem(parsed)
    joined = f"{parsed.namespace}/{parsed.name}" if parsed.namespace and known in {"Go", "npm"} else parsed.name
    return Package(purl, canonical_name(known, joined), parsed.version, known)


def host_packages(host: str, purls: Sequence[str] | None, reason: str = "") -> HostPackages:
    """Read one host's package URLs. One malformed URL makes the whole host unreadable."""
    if purls is None:
        return HostPackages(host, None, reason or "its packages could not be read")
    try:
        return HostPackages(host, tuple(parse_package(purl) for purl in purls))
    except PackageError as error:
        return HostPackages(host, None, str(error))


def _ecosystem(purl: PackageURL) -> str:
    distribution = DISTRIBUTIONS.get(purl.namespace or "")
    if distribution is None or purl.type not in {"deb", "rpm", "apk"}:
        return ECOSYSTEM_OF_TYPE.get(purl.type, purl.type)
    release = dict(purl.qualifiers).get("distro", "").partition("-")[2]
    return f"{distribution}:{release}" if release else distribution

"""How versions are ordered, for each ecosystem that advisories name; the orders themselves are univers'.

Only `<` of univers is used: its `<=` and `>=` are wrong for Alpine.
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import Any

from univers import versions as univers

SCHEMES: dict[str, type[univers.Version]] = {
    "PyPI": univers.PypiVersion,
    "Debian": univers.DebianVersion,
    "Ubuntu": univers.DebianVersion,
    "Alpine": univers.AlpineLinuxVersion,
    "Chainguard": univers.AlpineLinuxVersion,
    "Wolfi": univers.AlpineLinuxVersion,
    "AlmaLinux": univers.RpmVersion,
    "Red Hat": univers.RpmVersion,
    "Rocky Linux": univers.RpmVersion,
    "SUSE": univers.RpmVersion,
    "openSUSE": univers.RpmVersion,
    "crates.io": univers.SemverVersion,
    "Go": univers.GolangVersion,
    "npm": univers.SemverVersion,
    "RubyGems": univers.RubygemsVersion,
}
"""By the ecosystem's name up to its colon (`Debian:12` is a Debian)."""


class VersionUnknown(ValueError):
    """A version cannot be placed in its ecosystem's order; the message says which and why."""


def parse_version(ecosystem: str, text: str) -> univers.Version:
    """Place `text` in the order of `ecosystem`; VersionUnknown when either is not understood."""
    scheme = SCHEMES.get(ecosystem.partition(":")[0])
    if scheme is None:
        raise VersionUnknown(f"no version order is known for the ecosystem {ecosystem!r}")
    try:
        return scheme(text)
    except Exception as error:  # univers raises whatever its parsers meet
        raise VersionUnknown(f"{text!r} is not a version in {ecosystem}") from error


def precedes(left: univers.Version, right: univers.Version) -> bool:
    """Say whether `left` is older than `right`; VersionUnknown when univers cannot tell."""
    try:
        return bool(left < right)
    except Exception as error:  # as above
        raise VersionUnknown(f"{left} and {right} cannot be compared") from error


def _compare(left: univers.Version, right: univers.Version) -> int:
    return precedes(right, left) - precedes(left, right)


version_key: Any = cmp_to_key(_compare)
"""Sort key over parsed versions of one ecosystem."""


def canonical_name(ecosystem: str, name: str) -> str:
    """Return the one spelling of a package's name: PEP 503 for PyPI, unchanged elsewhere."""
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "PyPI" else name

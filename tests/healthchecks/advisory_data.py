"""Two OSV records and the hosts of a fleet that they are about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from providers.base import HostInventory, Slot
from tests.healthchecks.fakes import NEW, OLD, World


def _record(name: str, events: list[dict[str, str]]) -> dict[str, Any]:
    """An advisory for the PyPI package demo-lib."""
    return {
        "schema_version": "1.6.0",
        "id": name,
        "modified": "2026-10-01T00:00:00Z",
        "published": "2026-09-01T00:00:00Z",
        "aliases": [f"CVE-2026-{name[-4:]}"],
        "summary": "made up",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "demo-lib", "purl": "pkg:pypi/demo-lib"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
        ],
    }


def write_advisories(folder: Path) -> Path:
    """demo-lib is vulnerable below 2.0 (one), good at 2.0, and vulnerable again from 3.0 (the other)."""
    found = folder / "advisories"
    found.mkdir(exist_ok=True)
    for record in (
        _record("GHSA-aaaa-aaaa-1111", [{"introduced": "0"}, {"fixed": "2.0"}]),
        _record("GHSA-bbbb-bbbb-2222", [{"introduced": "3.0"}]),
    ):
        (found / f"{record['id']}.json").write_text(json.dumps(record))
    return found


def hosts(slot: Slot, version: str) -> list[HostInventory]:
    image = OLD if slot == "blue" else NEW
    return [HostInventory(f"{slot}-{n}", (f"pkg:pypi/demo-lib@{version}",), image) for n in (1, 2)]


def patched_world(before: str = "1.0", after: str = "2.0") -> World:
    """The original with one version of demo-lib, the replacement with another."""
    return World(inventories={"blue": hosts("blue", before), "green": hosts("green", after)})

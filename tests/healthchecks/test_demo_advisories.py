"""The demo's data: real packages, real advisories, and the classes that the demo promises to show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from healthchecks.advisories.database import AdvisoryDatabase, load_database
from healthchecks.advisories.ledger import Entry, Ledger, compare
from healthchecks.advisories.packages import HostPackages, host_packages

DEMO = Path(__file__).parents[2] / "config" / "demo"
IMAGES = sorted(path.name for path in (DEMO / "images").iterdir())


@pytest.fixture(scope="module")
def advisories() -> AdvisoryDatabase:
    """The sample that ships with the demo."""
    return load_database(DEMO / "advisories.json")


def pinned(image: str) -> HostPackages:
    """The packages of an image as one host that runs it would report them."""
    text = (DEMO / "images" / image / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE)
    return host_packages(image, [f"pkg:pypi/{name}@{version}" for name, version in pins])


def hop(old: str, new: str, advisories: AdvisoryDatabase) -> Ledger:
    """What patching one image to another does."""
    return compare([pinned(old)], [pinned(new)], advisories)


def ids(entries: Sequence[Entry]) -> set[str]:
    """The names for display."""
    return {entry.id for entry in entries}


def test_the_first_round_fixes_some_and_leaves_some(advisories: AdvisoryDatabase) -> None:
    """Without it, the demo could not show what a patch fixed and what it left."""
    ledger = hop("base-1", "base-2", advisories)
    assert ids(ledger.fixed) == {
        "CVE-2023-32681",
        "CVE-2023-37920",
        "CVE-2023-45803",
        "CVE-2023-46136",
        "CVE-2024-3651",
    }
    assert {"CVE-2025-27516", "CVE-2024-34069", "CVE-2024-49769"} <= ids(ledger.remaining)
    assert ledger.introduced == ()


def test_the_second_round_fixes_what_the_first_left(advisories: AdvisoryDatabase) -> None:
    """Without it, the second wave of the demo would have nothing to tell."""
    ledger = hop("base-2", "base-3", advisories)
    assert {"CVE-2025-27516", "CVE-2024-34069", "CVE-2024-49769", "CVE-2024-39689"} <= ids(ledger.fixed)
    assert {"CVE-2024-49767", "CVE-2026-45409"} <= ids(ledger.remaining)
    assert ledger.introduced == ()


def test_an_upgrade_can_bring_an_advisory(advisories: AdvisoryDatabase) -> None:
    """Without it, the demo could not show a healthy replacement being refused."""
    ledger = hop("base-3", "base-4-introduces", advisories)
    assert ids(ledger.introduced) == {"CVE-2025-47278"}
    change = ledger.introduced[0].packages[0]
    assert (change.name, change.old, change.new) == ("flask", ("3.0.3",), ("3.1.0",))
    assert ledger.introduced[0].fixed_versions == ("3.1.1",)
    assert "CVE-2024-49767" in ids(ledger.fixed)


def test_the_broken_image_steps_back_to_an_old_framework(advisories: AdvisoryDatabase) -> None:
    """Without it, the ledger of the image that never starts would be a surprise to its readers."""
    assert ids(hop("base-3", "base-4-broken", advisories).introduced) == {"CVE-2023-30861"}


def test_the_strict_image_has_no_advisory_of_the_sample(advisories: AdvisoryDatabase) -> None:
    """Without it, the image that only live traffic can refuse would not be spotless otherwise."""
    ledger = hop("base-3", "base-5-strict", advisories)
    assert (ledger.remaining, ledger.introduced, ledger.undecided) == ((), (), ())
    assert "CVE-2024-49767" in ids(ledger.fixed)


@pytest.mark.parametrize("image", IMAGES)
def test_every_package_of_every_image_is_covered(image: str, advisories: AdvisoryDatabase) -> None:
    """Without it, the demo would stop at an unknown."""
    assert compare([pinned(image)], [pinned(image)], advisories).unknown == ()


@pytest.mark.parametrize("image", IMAGES)
def test_every_image_is_complete_and_fully_hashed(image: str) -> None:
    """Without it, an environment could be built from something else than what the digest says."""
    folder = DEMO / "images" / image
    described = yaml.safe_load((folder / "image.yaml").read_text())
    assert set(described) == {"command", "files", "lock"}
    assert all((folder / name).is_file() for name in described["files"])
    lock = (folder / described["lock"]).read_text()
    assert not re.search(r"https?://|--index|--extra|--find|file:", lock)
    entries = re.split(r"(?m)^(?=[a-z])", lock)[1:]
    assert len(entries) == 13
    assert all("--hash=sha256:" in entry and "==" in entry for entry in entries)


def test_the_sample_says_where_its_facts_come_from() -> None:
    """Without it, the sample would break the licence of its sources."""
    text = (DEMO / "advisories.json").read_text()
    assert "CC-BY 4.0" in text
    assert "PyPA advisory database" in text

"""The ledger of a patch: fixed, remaining, introduced, and what is not known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.advisories.ledger import CLASSES, Change, Entry, Gap, Ledger, compare
from healthchecks.advisories.match import match
from healthchecks.advisories.packages import HostPackages
from tests.healthchecks.osv_data import database, host, package, record

DATA = database(
    record("CVE-2024-1", ("introduced", "0"), ("fixed", "2.0"), summary="an old flaw"),
    record("CVE-2024-2", ("introduced", "0"), ("fixed", "9.0")),
    record("CVE-2024-3", ("introduced", "2.0"), ("fixed", "3.0")),
    record("CVE-2024-4", ("introduced", "0"), ("fixed", "1.5"), name="other"),
)


def ids(entries: Sequence[Entry]) -> list[str]:
    """The names for display, in order."""
    return [entry.id for entry in entries]


def read_back(data: dict[str, Any]) -> Ledger:
    """What `to_dict` wrote; an error where it holds more or less than a ledger."""

    def tuples(item: dict[str, Any]) -> dict[str, Any]:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in item.items()}

    def entry(item: dict[str, Any]) -> Entry:
        return Entry(**{**tuples(item), "packages": tuple(Change(**tuples(each)) for each in item["packages"])})

    parts: dict[str, Any] = {part: tuple(map(entry, data[part])) for part in CLASSES}
    return Ledger(**{**data, **parts, "unknown": tuple(Gap(**tuples(each)) for each in data["unknown"])})


def test_each_advisory_is_told_by_what_the_patch_did_to_it() -> None:
    """Without it, nobody could say what a patch was worth, or that it did harm."""
    ledger = compare([host("a", "1.0")], [host("b", "2.0")], DATA)
    assert ids(ledger.fixed) == ["CVE-2024-1"]
    assert ids(ledger.remaining) == ["CVE-2024-2"]
    assert ids(ledger.introduced) == ["CVE-2024-3"]
    assert (ledger.undecided, ledger.unknown) == ((), ())


def test_an_entry_shows_packages_versions_and_hosts() -> None:
    """Without it, the reader would have to look up which package on which host is meant."""
    entry = compare([host("a", "1.0"), host("b", "1.1")], [host("c", "2.0")], DATA).fixed[0]
    change = entry.packages[0]
    assert (change.name, change.old, change.new) == ("shoplib", ("1.0", "1.1"), ("2.0",))
    assert (entry.original_hosts, entry.replacement_hosts) == (("a", "b"), ())
    assert (entry.summary, entry.fixed_versions) == ("an old flaw", ("2.0",))


def test_one_unpatched_host_keeps_an_advisory_remaining() -> None:
    """Without it, a patch that missed one host would be reported as complete."""
    ledger = compare([host("a", "1.0")], [host("b", "2.0"), host("c", "1.0")], DATA)
    entry = next(one for one in ledger.remaining if one.id == "CVE-2024-1")
    assert entry.replacement_hosts == ("c",)
    assert ledger.fixed == ()


def test_a_removed_package_counts_as_fixed() -> None:
    """Without it, dropping a vulnerable package would not show as a gain."""
    ledger = compare([host("a", "1.0")], [host("b")], DATA)
    assert ids(ledger.fixed) == ["CVE-2024-1", "CVE-2024-2"]
    assert ledger.fixed[0].packages[0].new == ()


@pytest.mark.parametrize("side", ["original", "replacement"])
def test_an_unreadable_host_leaves_one_sided_advisories_undecided(side: str) -> None:
    """Without it, a host that nobody could look into would prove that everything was fixed."""
    silent = HostPackages("silent", None, "agent is down")
    old, new = [host("a", "1.0")], [host("b", "2.0")]
    ledger = compare([*old, silent], new, DATA) if side == "original" else compare(old, [*new, silent], DATA)
    assert ids(ledger.remaining) == ["CVE-2024-2"]
    assert ids(ledger.undecided) == ["CVE-2024-3" if side == "original" else "CVE-2024-1"]
    assert [(gap.side, gap.hosts, gap.reason) for gap in ledger.unknown] == [(side, ("silent",), "agent is down")]


def test_a_version_nobody_can_place_does_not_fix_anything() -> None:
    """Without it, a locally rebuilt package would count as the cure."""
    ledger = compare([host("a", "1.0")], [host("b", "custom")], DATA)
    assert ledger.fixed == ()
    assert ids(ledger.undecided) == ["CVE-2024-1", "CVE-2024-2"]
    assert ledger.unknown[0].subject == "pkg:pypi/shoplib@custom"


def test_doubt_about_one_advisory_leaves_the_others_decided() -> None:
    """Without it, one unreadable record would make the whole comparison worthless."""
    data = database(
        record("CVE-2024-1"),
        record("CVE-2024-9", ("introduced", "2.0"), ("fixed", "three"), name="shoplib"),
    )
    ledger = compare([host("a", "1.0")], [host("b", "2.0")], data)
    assert ids(ledger.fixed) == ["CVE-2024-1"]
    assert {gap.side for gap in ledger.unknown} == {"original", "replacement"}


def test_a_side_without_hosts_decides_nothing() -> None:
    """Without it, an empty host list would prove that the patch fixed everything."""
    ledger = compare([host("a", "1.0")], [], DATA)
    assert ledger.fixed == ()
    assert ids(ledger.undecided) == ["CVE-2024-1", "CVE-2024-2"]
    assert ledger.unknown[0].reason == "no hosts were listed"


def test_without_advisories_every_package_is_unknown() -> None:
    """Without it, a failed download would turn into an empty and reassuring ledger."""
    ledger = compare([host("a", "1.0")], [host("b", "2.0")], database())
    assert len(ledger.unknown) == 2
    assert all("no records" in gap.reason for gap in ledger.unknown)


def test_a_package_outside_the_coverage_is_told_with_its_hosts() -> None:
    """Without it, the reader would not know where the gap is."""
    bundle = database(record(), covers={"PyPI": ["shoplib"]})
    stray = HostPackages("b", (package("2.0"), package("1.0", "stray")))
    ledger = compare([host("a", "1.0")], [stray, HostPackages("c", stray.packages)], bundle)
    assert ids(ledger.fixed) == ["PYSEC-1"]
    assert [(gap.hosts, gap.subject) for gap in ledger.unknown] == [(("b", "c"), "pkg:pypi/stray@1.0")]


def test_the_ledger_names_the_database_it_rests_on() -> None:
    """Without it, a ledger could not be checked later against what was known then."""
    ledger = compare([host("a", "1.0")], [host("b", "2.0")], DATA)
    assert (ledger.database_digest, ledger.database_records) == (DATA.digest, 4)
    assert ledger.database_newest.startswith("2024-01-31")


def test_a_host_listed_twice_is_refused() -> None:
    """Without it, two readings of one host would be taken for two hosts."""
    with pytest.raises(ValueError, match="twice on the replacement side"):
        compare([host("a", "1.0")], [host("b", "1.0"), host("b", "2.0")], DATA)


def test_a_host_without_packages_says_why() -> None:
    """Without it, an unknown would stand in the record without a reason."""
    with pytest.raises(ValueError, match="no reason"):
        HostPackages("a", None)


VERSIONS = ["0.5", "1.0", "1.2", "2.0", "2.5", "3.0", "9.0", "custom"]
PACKAGES = st.frozensets(
    st.builds(package, st.sampled_from(VERSIONS), st.sampled_from(["shoplib", "other"])), max_size=4
)
READINGS = st.one_of(PACKAGES.map(lambda held: tuple(sorted(held))), st.none())
SIDES = st.lists(READINGS, max_size=3).map(
    lambda held: [HostPackages(f"h{n}", one, "" if one is not None else "down") for n, one in enumerate(held)]
)


@given(old=SIDES, new=SIDES)
def test_every_advisory_found_lands_in_exactly_one_class(old: list[HostPackages], new: list[HostPackages]) -> None:
    """Without it, an advisory could be lost between the classes or be told twice."""
    ledger = compare(old, new, DATA)
    held = {one for side in (*old, *new) for one in side.packages or ()}
    told = [*ledger.fixed, *ledger.remaining, *ledger.introduced, *ledger.undecided]
    assert sorted(ids(told)) == sorted({one.id for one in match(held, DATA).found})


@given(old=SIDES, new=SIDES)
def test_swapping_the_sides_swaps_fixed_and_introduced(old: list[HostPackages], new: list[HostPackages]) -> None:
    """Without it, the ledger of a rollback would not mirror the ledger of its patch."""
    forth, back = compare(old, new, DATA), compare(new, old, DATA)
    assert ids(forth.fixed) == ids(back.introduced)
    assert ids(forth.introduced) == ids(back.fixed)
    assert ids(forth.remaining) == ids(back.remaining)
    assert ids(forth.undecided) == ids(back.undecided)


@given(old=SIDES, new=SIDES)
def test_nothing_is_undecided_without_a_stated_cause(old: list[HostPackages], new: list[HostPackages]) -> None:
    """Without it, a gate that reads only the gaps would let an undecided advisory pass."""
    ledger = compare(old, new, DATA)
    assert ledger.unknown or not ledger.undecided


@given(side=SIDES)
def test_a_side_compared_with_itself_changes_nothing(side: list[HostPackages]) -> None:
    """Without it, a patch that did nothing would be credited with something."""
    ledger = compare(side, side, DATA)
    assert (ledger.fixed, ledger.introduced, ledger.undecided) == ((), (), ())


@given(old=SIDES, new=SIDES)
def test_a_ledger_survives_json(old: list[HostPackages], new: list[HostPackages]) -> None:
    """Without it, the journal would hold something else than what was decided upon."""
    ledger = compare(old, new, DATA)
    assert read_back(json.loads(json.dumps(ledger.to_dict()))) == ledger

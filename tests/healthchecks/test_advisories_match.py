"""Matching packages with advisories: found, unknown with a reason, or covered and clean."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.advisories.match import Findings, match
from healthchecks.advisories.packages import Package, PackageError, host_packages, parse_package
from tests.healthchecks.osv_data import database, package, record

TWO_BRANCHES = (("introduced", "0"), ("fixed", "2.3.8"), ("introduced", "3.0.0"), ("fixed", "3.0.1"))


def hit(version: str, *events: tuple[str, str], **more: Any) -> bool:
    """Whether a record of these events finds this version; an unknown is a failed test."""
    findings = match([package(version)], database(record("PYSEC-1", *events, **more)))
    assert findings.unknown == ()
    return bool(findings.found)


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.1", True), ("2.3.7", True), ("2.3.8", False), ("2.9", False), ("3.0.0", True), ("3.0.1", False)],
)
def test_each_branch_has_its_own_fix(version: str, expected: bool) -> None:
    """Without it, a host on a maintained older branch would be judged by the newer branch's fix."""
    assert hit(version, *TWO_BRANCHES) is expected


@pytest.mark.parametrize(("version", "expected"), [("0.9", False), ("1.0", True), ("1.5", True), ("1.5.1", False)])
def test_the_last_affected_version_is_still_affected(version: str, expected: bool) -> None:
    """Without it, the last vulnerable version would look clean."""
    assert hit(version, ("introduced", "1.0"), ("last_affected", "1.5")) is expected


def test_a_single_affected_version_ends_with_itself() -> None:
    """Without it, an advisory about one release would be reported for ever after."""
    events = (("introduced", "1.0"), ("last_affected", "1.0"))
    assert hit("1.0", *events)
    assert not hit("1.1", *events)


def test_a_branch_that_begins_where_another_was_fixed_is_affected() -> None:
    """Without it, the order in a file would decide whether a version is affected."""
    events = (("introduced", "0"), ("fixed", "2.0"), ("introduced", "2.0"), ("fixed", "2.1"))
    assert hit("2.0", *events)
    assert hit("2.0", *reversed(events))


def test_a_limit_bounds_a_range_and_a_star_does_not() -> None:
    """Without it, versions on a branch that the range does not speak about would be reported."""
    assert hit("1.0", ("introduced", "0"), ("limit", "2.0"))
    assert not hit("2.0", ("introduced", "0"), ("limit", "2.0"))
    assert hit("2.0", ("introduced", "0"), ("limit", "*"))


def test_pre_releases_come_before_their_release() -> None:
    """Without it, a release candidate without the fix would pass for the fixed release."""
    assert hit("2.0rc1")
    assert not hit("2.0.post1")


def test_listed_versions_count_in_any_spelling() -> None:
    """Without it, 1.0 would look clean where the record lists 1.0.0."""
    raw = record()
    raw["affected"][0].update(ranges=[], versions=["1.0.0", "weird-old"])
    assert match([package("1.0")], database(raw)).found
    assert not match([package("1.0.1")], database(raw)).found


def test_names_meet_in_their_canonical_form() -> None:
    """Without it, Shop_Lib on a host would not meet the advisory for shop-lib."""
    findings = match([parse_package("pkg:pypi/Shop_Lib@1.0")], database(record(name="shop.lib")))
    assert len(findings.found) == 1


def test_records_that_name_each_other_are_one_advisory_with_all_names() -> None:
    """Without it, one flaw would be counted once for each database that describes it."""
    findings = match(
        [package("1.0")],
        database(
            record("PYSEC-1", aliases=["GHSA-x", "CVE-2024-2"]),
            record("GHSA-x", summary="from the second", aliases=["CVE-2024-2"]),
            record("OTHER-7", aliases=["PYSEC-1"]),
            record("PYSEC-2", aliases=["CVE-2024-10"]),
        ),
    )
    assert [one.id for one in findings.found] == ["CVE-2024-10", "CVE-2024-2"]
    assert set(findings.found[1].ids) == {"CVE-2024-2", "GHSA-x", "OTHER-7", "PYSEC-1"}
    assert findings.found[1].summary == "from the second"


def test_a_withdrawn_record_finds_nothing_and_joins_nothing() -> None:
    """Without it, an advisory taken back would still block, or glue two others together."""
    gone = record("BAD-1", withdrawn="2024-02-01T00:00:00Z", aliases=["PYSEC-1", "PYSEC-2"])
    assert not match([package("1.0")], database(gone)).found
    both = match([package("1.0")], database(gone, record("PYSEC-1"), record("PYSEC-2")))
    assert [one.ids for one in both.found] == [("PYSEC-1",), ("PYSEC-2",)]


def test_fixed_versions_are_those_above_the_installed_one_in_order() -> None:
    """Without it, a report would send the reader to an older release."""
    found = match([package("3.0.0")], database(record("PYSEC-1", *TWO_BRANCHES))).found
    assert found[0].fixed_versions == ("3.0.1",)
    found = match([package("1.0")], database(record("PYSEC-1", *TWO_BRANCHES))).found
    assert found[0].fixed_versions == ("2.3.8", "3.0.1")


def only_unknown(findings: Findings) -> str:
    """The reason of the only thing that is known: that it is not known."""
    assert findings.found == ()
    assert len(findings.unknown) == 1
    return findings.unknown[0].reason


def test_an_empty_database_makes_everything_unknown() -> None:
    """Without it, a failed download would prove every host clean."""
    assert "no records" in only_unknown(match([package("1.0")], database()))
    assert "no records" in only_unknown(match([package("1.0")], database(covers={"PyPI": ["shoplib"]})))


def test_an_ecosystem_without_records_is_unknown() -> None:
    """Without it, system packages would look clean by a database about Python."""
    debian = parse_package("pkg:deb/debian/openssl@3.0.11-1?distro=debian-12")
    assert debian.ecosystem == "Debian:12"
    assert "Debian:12" in only_unknown(match([debian], database(record())))


def test_a_package_outside_a_bundle_is_unknown() -> None:
    """Without it, packages that nobody reviewed would look clean."""
    data = database(record(), covers={"PyPI": ["shoplib"]})
    assert "other" in only_unknown(match([package("1.0", "other")], data))


def test_a_version_that_cannot_be_read_is_unknown() -> None:
    """Without it, a locally rebuilt package would count as not affected."""
    assert "build-of-monday" in only_unknown(match([package("build-of-monday")], database(record())))


def test_an_event_that_cannot_be_read_is_unknown_and_named() -> None:
    """Without it, a typing error in an advisory would hide it."""
    data = database(record("PYSEC-9", ("introduced", "0"), ("fixed", "two")))
    assert only_unknown(match([package("1.0")], data)).startswith("PYSEC-9: ")


def test_a_sure_match_outweighs_a_doubtful_one() -> None:
    """Without it, one unreadable record would turn a known vulnerability into a mere doubt."""
    data = database(
        record("PYSEC-1", ("introduced", "0"), ("fixed", "two"), aliases=["CVE-2024-1"]),
        record("GHSA-1", aliases=["CVE-2024-1"]),
    )
    findings = match([package("1.0")], data)
    assert [one.id for one in findings.found] == ["CVE-2024-1"]
    assert findings.unknown == ()


def test_a_record_without_versions_is_unknown() -> None:
    """Without it, an advisory known only by commits would count as not affecting anything."""
    raw = record()
    raw["affected"][0]["ranges"] = [{"type": "GIT", "events": [{"introduced": "0"}]}]
    assert "names no versions" in only_unknown(match([package("1.0")], database(raw)))


def test_an_ecosystem_without_a_known_order_is_unknown() -> None:
    """Without it, versions of an unknown kind would be compared as if they were Python's."""
    data = database(record(ecosystem="Haiku", name="shoplib"))
    strange = parse_package("pkg:generic/shoplib@1.0", ecosystem="Haiku")
    assert "no version order" in only_unknown(match([strange], data))


@pytest.mark.parametrize(
    ("purl", "ecosystem", "older", "newer"),
    [
        ("pkg:deb/debian/nginx@{}?distro=debian-12", "Debian:12", "1.22.1-9~bpo", "1.22.1-9"),
        ("pkg:deb/debian/nginx@{}?distro=debian-12", "Debian:12", "9.9-1", "1:1.0-1"),
        ("pkg:apk/alpine/nginx@{}?distro=alpine-v3.19", "Alpine:v3.19", "1.2.3-r0", "1.2.3-r1"),
        ("pkg:npm/nginx@{}", "npm", "1.9.0", "1.10.0"),
    ],
)
def test_each_ecosystem_has_its_own_order(purl: str, ecosystem: str, older: str, newer: str) -> None:
    """Without it, epochs, tildes and revisions would be read as text, and a fix taken for a regression."""
    data = database(record("X-1", ("introduced", "0"), ("fixed", newer), ecosystem=ecosystem, name="nginx"))
    assert match([parse_package(purl.format(older))], data).found
    clean = match([parse_package(purl.format(newer))], data)
    assert (clean.found, clean.unknown) == ((), ())


@pytest.mark.parametrize(
    "purl",
    ["", "flask", "pkg:pypi/flask", "pkg:pypi/flask@", "pkg:pypi/@1", "pkg:deb/debian/a@1?distro", "pkg:x/a b@1",
     "pkg:deb/debian/a@1?arch=x=y", "pkg:pypi/flask@1\n"],
)  # fmt: skip
def test_a_malformed_package_url_is_refused(purl: str) -> None:
    """Without it, a half-read package would be judged under another name."""
    with pytest.raises(PackageError, match="package URL"):
        parse_package(purl)


@given(st.text(max_size=40) | st.text(alphabet="pkg:/@?=&#%.a1", max_size=40).map("pkg:pypi/".__add__))
def test_any_text_is_a_package_or_refused(text: str) -> None:
    """Without it, one strange line of an inventory would end the program."""
    try:
        assert isinstance(parse_package(text), Package)
    except PackageError:
        return


def test_one_malformed_package_makes_its_host_unreadable() -> None:
    """Without it, a host would be called clean by the half of its packages that could be read."""
    assert host_packages("a", ["pkg:pypi/flask@1", "nonsense"]).packages is None
    assert "nonsense" in host_packages("a", ["nonsense"]).reason
    assert host_packages("a", None, "agent is down").reason == "agent is down"
    assert len(host_packages("a", ["pkg:pypi/flask@1"]).packages or ()) == 1


VERSIONS = st.sampled_from(["0.9", "1.0", "1.0.1", "1.5", "2.0rc1", "2.0", "2.1", "3.0", "10.0"])
EVENTS = st.lists(st.tuples(st.sampled_from(["introduced", "fixed", "last_affected", "limit"]), VERSIONS), max_size=6)


@given(events=EVENTS, version=VERSIONS, seed=st.integers(0, 100))
def test_the_order_of_events_does_not_matter(events: list[tuple[str, str]], version: str, seed: int) -> None:
    """Without it, a record whose branches are listed newest first would match the wrong versions."""
    first = [("introduced", "0"), *events]
    shuffled = random.Random(seed).sample(first, len(first))
    assert hit(version, *first) is hit(version, *shuffled)


@given(version=VERSIONS, start=VERSIONS, end=VERSIONS)
def test_a_range_agrees_with_comparing_the_versions(version: str, start: str, end: str) -> None:
    """Without it, the evaluation could differ from what introduced and fixed mean."""
    order = ["0.9", "1.0", "1.0.1", "1.5", "2.0rc1", "2.0", "2.1", "3.0", "10.0"]
    if order.index(start) < order.index(end):
        expected = order.index(start) <= order.index(version) < order.index(end)
        assert hit(version, ("introduced", start), ("fixed", end)) is expected

"""Reading advisory files: all that decides a match is understood, or refused by name."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.advisories.database import build_database, load_database
from healthchecks.advisories.osv import AdvisoryDataError, Event, parse_record
from tests.healthchecks.osv_data import MODIFIED, database, package, record

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PLACES: list[tuple[Any, ...]] = [
    ("id",),
    ("modified",),
    ("withdrawn",),
    ("aliases",),
    ("summary",),
    ("severity",),
    ("affected",),
    ("affected", 0),
    ("affected", 0, "package"),
    ("affected", 0, "package", "name"),
    ("affected", 0, "package", "ecosystem"),
    ("affected", 0, "versions"),
    ("affected", 0, "ranges"),
    ("affected", 0, "ranges", 0),
    ("affected", 0, "ranges", 0, "type"),
    ("affected", 0, "ranges", 0, "events"),
    ("affected", 0, "ranges", 0, "events", 0),
    ("affected", 0, "ranges", 0, "events", 0, "introduced"),
]


def put(document: dict[str, Any], place: tuple[Any, ...], value: object) -> dict[str, Any]:
    """A copy of `document` with `value` at `place`."""
    changed = copy.deepcopy(document)
    holder: Any = changed
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    return changed


def test_a_record_is_read_with_all_that_decides_a_match() -> None:
    """Without it, an advisory would be loaded and never match."""
    read = parse_record(
        record(
            "GHSA-1",
            name="Shop_Lib",
            aliases=["CVE-2024-1"],
            summary="short",
            severity=[{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N"}],
        ),
        "a.json",
    )
    assert (read.id, read.aliases, read.summary) == ("GHSA-1", ("CVE-2024-1",), "short")
    assert read.severity == ("CVSS:3.1/AV:N",)
    assert read.affected[0].name == "shop-lib"
    assert read.affected[0].ranges[0].events == (Event("introduced", "0"), Event("fixed", "2.0"))
    assert read.withdrawn is None


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("id",), 7, "id: found 7"),
        (("id",), "  ", "id: found '  '"),
        (("modified",), "yesterday", "modified: found 'yesterday'"),
        (("modified",), "2024-01-31T12:00:00", "a time with a zone"),
        (("aliases",), "CVE-2024-1", "aliases: found 'CVE-2024-1'"),
        (("affected",), {}, "affected: found {}"),
        (("affected", 0, "package"), None, "affected[0].package: found None"),
        (("affected", 0, "package", "name"), "", "affected[0].package.name: found ''"),
        (("affected", 0, "versions"), [1.0], "affected[0].versions: found [1.0]"),
        (("affected", 0, "ranges", 0, "type"), "DATE", "affected[0].ranges[0].type: found 'DATE'"),
        (("affected", 0, "ranges", 0, "events"), [{"fixed": "1"}], "at least one introduced"),
        (("affected", 0, "ranges", 0, "events", 1), {"fixed": "1", "limit": "2"}, "exactly one of"),
        (("affected", 0, "ranges", 0, "events", 1), {"repaired": "1"}, "exactly one of"),
        (("affected", 0, "ranges", 0, "events", 1), {"fixed": 2.0}, "events[1].fixed: found 2.0"),
    ],
)
def test_a_malformed_field_is_refused_by_name(place: tuple[Any, ...], value: object, says: str) -> None:
    """Without it, a broken record would be skipped and its hosts would look clean."""
    with pytest.raises(AdvisoryDataError) as error:
        parse_record(put(record(), place, value), "feed.json")
    assert says in str(error.value)
    assert "feed.json" in str(error.value)
    assert "allowed" in str(error.value)


@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_stands_in_a_field_nothing_but_the_documented_error_is_raised(
    place: tuple[Any, ...], value: object
) -> None:
    """Without it, one odd record would end the program in the middle of a rollout."""
    try:
        parse_record(put(record(), place, value), "x")
    except AdvisoryDataError:
        return


@given(JSON)
def test_any_document_is_read_or_refused(document: object) -> None:
    """Without it, a feed of another format would end the program with a traceback."""
    try:
        build_database([("x", document)])
    except AdvisoryDataError:
        return


def test_commit_ranges_are_left_out_and_only_these() -> None:
    """Without it, records of the PyPA database, which all carry commit ranges, could not be read."""
    raw = record()
    raw["affected"][0]["ranges"].append({"type": "GIT", "repo": "x", "events": [{"introduced": "0"}]})
    raw["affected"].append({"ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]})
    read = parse_record(raw, "x")
    assert len(read.affected) == 1
    assert len(read.affected[0].ranges) == 1


def test_a_package_without_name_is_refused_when_it_lists_versions() -> None:
    """Without it, affected versions of an unnamed package would vanish."""
    raw = record()
    raw["affected"].append({"ranges": [{"type": "GIT", "events": []}], "versions": ["1.0"]})
    with pytest.raises(AdvisoryDataError, match=r"affected\[1\]\.package"):
        parse_record(raw, "x")


def test_every_layout_of_the_same_records_is_the_same_database(tmp_path: Path) -> None:
    """Without it, the recorded digest would change with how an export happens to be packed."""
    records = [record("PYSEC-1"), record("PYSEC-2", name="other")]
    listed = tmp_path / "all.json"
    listed.write_text(json.dumps(records))
    folder = tmp_path / "folder" / "deep"
    folder.mkdir(parents=True)
    lines = tmp_path / "all.jsonl"
    lines.write_text("\n\n".join(json.dumps(one) for one in reversed(records)))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for one in records:
            (folder / f"{one['id']}.json").write_text(json.dumps(one))
            archive.writestr(f"{one['id']}.json", json.dumps(one))
        archive.writestr("README.txt", "not a record")
    places = [listed, folder.parent, lines, tmp_path / "all.zip"]
    loaded = [load_database(place) for place in places]
    assert len({one.digest for one in loaded}) == 1
    assert {one.count for one in loaded} == {2}


def test_the_digest_follows_the_content() -> None:
    """Without it, a ledger could rest on other advisories than it says."""
    assert database(record()).digest != database(record(summary="changed")).digest
    assert database(record()).digest != database(record(), covers={"PyPI": ["shoplib"]}).digest


def test_the_newest_change_is_known() -> None:
    """Without it, nobody sees that the advisories are a year old."""
    newer = {**record("PYSEC-2"), "modified": "2024-02-01T00:00:00.123456789+01:00"}
    newest = database(record(), newer).newest_modified
    assert newest is not None
    assert newest.isoformat().startswith("2024-02-01")
    assert database().newest_modified is None


def test_too_much_input_is_refused(tmp_path: Path) -> None:
    """Without it, a runaway export or a zip bomb takes the manager down with it."""
    path = tmp_path / "big.json"
    path.write_text(json.dumps([record(summary="x" * 5000)]))
    with pytest.raises(AdvisoryDataError, match="more than 1000 bytes"):
        load_database(path, max_bytes=1000)
    with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps(record(summary="x" * 500_000)))
    assert (tmp_path / "big.zip").stat().st_size < 10_000
    with pytest.raises(AdvisoryDataError, match="more than 10000 bytes"):
        load_database(tmp_path / "big.zip", max_bytes=10_000)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"nul", b"9" * 6000])
def test_unreadable_json_is_refused_with_its_file(tmp_path: Path, text: bytes) -> None:
    """Without it, a torn download would end the program with a traceback."""
    path = tmp_path / "torn.json"
    path.write_bytes(text)
    with pytest.raises(AdvisoryDataError, match=r"torn\.json"):
        load_database(path)


def test_a_missing_file_and_a_broken_zip_are_refused(tmp_path: Path) -> None:
    """Without it, a wrong path would look like a database without advisories."""
    with pytest.raises(AdvisoryDataError, match="cannot be read"):
        load_database(tmp_path / "nowhere.json")
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    with pytest.raises(AdvisoryDataError, match="cannot be read"):
        load_database(tmp_path / "broken.zip")


def test_the_same_id_twice_is_refused() -> None:
    """Without it, one of two contradicting records would win silently."""
    with pytest.raises(AdvisoryDataError, match="found twice"):
        database(record(), record())


def test_a_bundle_speaks_only_for_the_packages_it_names(tmp_path: Path) -> None:
    """Without it, a small sample would make every other package look clean."""
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps({"coverage": {"PyPI": ["Shop_Lib"]}, "advisories": [record(name="shop.lib")]}))
    coverage = load_database(path).coverage
    assert coverage.gap(package("1.0", "shop-lib")) is None
    assert "not reviewed for other" in str(coverage.gap(package("1.0", "other")))


@pytest.mark.parametrize(
    ("bundle", "says"),
    [
        ({"advisories": []}, "coverage"),
        ({"advisories": {}, "coverage": {}}, "a list of advisories"),
        ({"advisories": [], "coverage": {"PyPI": "flask"}}, "a list of package names"),
        ({"advisories": [], "coverage": {}, "covrage": {}}, "covrage"),
        ({"advisories": [record()], "coverage": {"PyPI": ["other"]}}, "shoplib (PyPI)"),
    ],
)
def test_a_bundle_that_contradicts_itself_is_refused(tmp_path: Path, bundle: object, says: str) -> None:
    """Without it, a typing error in a bundle would shrink what it covers."""
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps(bundle))
    with pytest.raises(AdvisoryDataError) as error:
        load_database(path)
    assert says in str(error.value)


def test_a_bundle_does_not_hide_in_a_folder_of_records(tmp_path: Path) -> None:
    """Without it, a sample beside a complete export would narrow or widen what is covered."""
    (tmp_path / "a.json").write_text(json.dumps({"coverage": {}, "advisories": []}))
    with pytest.raises(AdvisoryDataError, match="a bundle on its own"):
        load_database(tmp_path)


def test_a_withdrawn_record_keeps_its_time() -> None:
    """Without it, a withdrawn advisory would go on blocking rollouts."""
    read = parse_record(record(withdrawn=MODIFIED), "x")
    assert read.withdrawn is not None
    assert read.withdrawn.year == 2024

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import vulnerabilities
from healthchecks.base import Role, Verdict
from healthchecks.vulnerabilities import Options, Waiver, judge
from providers.base import HostInventory
from tests.healthchecks.advisory_data import hosts, patched_world, write_advisories
from tests.healthchecks.fakes import World

TODAY = date(2027, 1, 15)


def _entries(count: int, name: str = "GHSA") -> list[dict[str, Any]]:
    return [{"id": f"CVE-{n}", "ids": [f"CVE-{n}", f"{name}-{n}"], "original_hosts": ["h"] * 50} for n in range(count)]


def _judge(
    fixed: int = 0,
    remaining: int = 0,
    introduced: int = 0,
    undecided: int = 0,
    unknown: int = 0,
    unseen: int = 0,
    **options: Any,
) -> Verdict:
    ledger: dict[str, Any] = {"fixed": _entries(fixed), "remaining": _entries(remaining)}
    ledger |= {"introduced": _entries(introduced), "undecided": _entries(undecided)}
    gap = {"side": "replacement", "hosts": ["h"], "subject": "", "reason": "no agent"}
    ledger |= {"unknown": [gap] * unknown}
    return judge(ledger, ["a host"] * unseen, Options("somewhere", **options), TODAY)


def _ask(world: World, folder: Path, role: Role = "replacement", **options: Any) -> Verdict:
    return vulnerabilities.ask(Options(str(write_advisories(folder)), **options), world.subject(role))


def test_a_patch_that_fixes_something_passes() -> None:
    """Otherwise no patch is ever rolled out."""
    verdict = _judge(fixed=2, remaining=1)
    assert (verdict.answer, verdict.summary) == ("pass", "2 fixed, 1 remaining, 0 introduced, 0 unknown")


def test_a_patch_that_introduces_something_fails_and_names_it() -> None:
    """Otherwise a patch opens a new hole while it closes another."""
    verdict = _judge(fixed=2, introduced=1)
    assert (verdict.answer, "introduces CVE-0" in verdict.summary) == ("fail", True)


@pytest.mark.parametrize("unclear", [{"unknown": 1}, {"undecided": 1}, {"unseen": 1}])
def test_whatever_is_not_known_blocks(unclear: dict[str, int]) -> None:
    """Otherwise a host that nobody could read counts as secure."""
    assert _judge(fixed=2, **unclear).answer == "unknown"
    assert _judge(fixed=2, introduced=1, **unclear).answer == "fail"


def test_a_patch_that_fixes_nothing_fails_unless_that_is_allowed() -> None:
    """Otherwise the risk of a rollout is taken for no gain."""
    assert _judge(remaining=3).answer == "fail"
    assert _judge(remaining=3, require_fix=False).answer == "pass"


@pytest.mark.parametrize(
    ("name", "until", "answer"),
    [
        ("GHSA-0", "2027-01-15", "pass"),
        ("CVE-0", "2027-01-15", "pass"),
        ("GHSA-0", "2027-01-14", "fail"),
        ("GHSA-1", "2027-12-31", "fail"),
        ("GHSA", "2027-12-31", "fail"),
    ],
)
def test_a_waiver_holds_for_one_advisory_until_its_date(name: str, until: str, answer: str) -> None:
    """Otherwise a risk that was accepted once is accepted for ever, or for everything."""
    assert _judge(fixed=1, introduced=1, waivers=[Waiver(name, until, "not reachable")]).answer == answer


@pytest.mark.parametrize(
    "waiver",
    [("", "2027-01-01", "why"), ("CVE-1", "", "why"), ("CVE-1", "soon", "why"), ("CVE-1", "2027-01-01", " ")],
)
def test_a_waiver_without_name_date_or_reason_is_refused(waiver: tuple[str, str, str]) -> None:
    """Otherwise nobody can say later which risk was accepted, for how long, and why."""
    with pytest.raises(ValueError, match=r"waiver|isoformat"):
        Waiver(*waiver)


@pytest.mark.parametrize("ledger", [{}, {"fixed": 3}, {part: [None] for part in vulnerabilities.PARTS}])
def test_a_ledger_that_cannot_be_read_does_not_pass(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a mistake of ours in comparing counts as nothing introduced."""
    monkeypatch.setattr(vulnerabilities, "_ledger", lambda *_: ledger)
    assert vulnerabilities.ask(Options("somewhere"), patched_world().subject()).answer == "unknown"


few = st.integers(0, 3)


@given(few, few, few, few, few, few, st.booleans())
def test_a_pass_means_nothing_introduced_and_nothing_unknown(
    fixed: int, remaining: int, introduced: int, undecided: int, unknown: int, unseen: int, require_fix: bool
) -> None:
    """Otherwise some mix of findings gets an insecure side through."""
    verdict = _judge(fixed, remaining, introduced, undecided, unknown, unseen, require_fix=require_fix)
    nothing_wrong = not (introduced or undecided or unknown or unseen)
    assert (verdict.answer == "pass") == (nothing_wrong and (fixed > 0 or not require_fix))


def test_the_evidence_of_a_large_ledger_is_cut_but_counted_whole() -> None:
    """Otherwise the journal grows without end, or the report says fewer were fixed than were."""
    evidence = _judge(fixed=5000).evidence
    assert (evidence["counts"]["fixed"], evidence["cut"]) == (5000, True)
    assert 0 < len(evidence["fixed"]) <= 60
    assert len(json.dumps(dict(evidence))) < 66 * 1024
    assert _judge(fixed=3).evidence["cut"] is False


def test_inventories_of_both_sides_are_compared_with_real_advisories(tmp_path: Path) -> None:
    """Otherwise the gain that is reported is not the gain on the hosts."""
    verdict = _ask(patched_world(), tmp_path)
    assert verdict.answer == "pass", verdict
    assert verdict.evidence["counts"]["fixed"] == 1
    assert verdict.evidence["fixed"][0]["id"] == "CVE-2026-1111"
    assert _ask(patched_world("1.0", "3.0"), tmp_path).answer == "fail"
    assert _ask(patched_world("2.0", "2.0"), tmp_path).answer == "fail"
    assert _ask(patched_world("2.0", "2.0"), tmp_path, require_fix=False).answer == "pass"


@pytest.mark.parametrize("slot", ["blue", "green"])
@pytest.mark.parametrize(
    "found",
    [
        [],
        [HostInventory("h1", None, problem="no agent")],
        [HostInventory("h1", ())],
        [HostInventory("h1", ("nonsense",))],
    ],
)
def test_a_side_that_cannot_be_read_whole_is_unknown(slot: str, found: list[HostInventory], tmp_path: Path) -> None:
    """Otherwise the hosts that answer speak for those that do not."""
    world = patched_world()
    world.inventories[slot] = [*world.inventories[slot][:1], *found]
    assert _ask(world, tmp_path).answer == "unknown"


def test_the_original_is_only_asked_whether_it_can_be_read(tmp_path: Path) -> None:
    """Otherwise the holes that the patch is for look like a bad day for both sides."""
    world = patched_world("3.0", "1.0")
    assert _ask(world, tmp_path, "original").answer == "pass"
    world.inventories["blue"] = hosts("blue", "1.0")[:1]
    assert _ask(world, tmp_path, "original").answer == "unknown"


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", "null", '{"id": 3}', "\x00"])
def test_advisories_that_are_missing_empty_or_broken_are_unknown(content: str | None, tmp_path: Path) -> None:
    """Otherwise no advisories look like no vulnerabilities."""
    folder = tmp_path / "advisories"
    if content is not None:
        folder.mkdir()
        (folder / "one.json").write_text(content)
    verdict = vulnerabilities.ask(Options(str(folder), require_fix=False), patched_world().subject())
    assert verdict.answer == "unknown", verdict


def test_advisories_that_are_too_old_are_unknown(tmp_path: Path) -> None:
    """Otherwise a copy from last year proves that this year's holes are closed."""
    assert _ask(patched_world(), tmp_path, max_age_days=1).answer == "unknown"
    assert _ask(patched_world(), tmp_path, max_age_days=100_000).answer == "pass"


@pytest.mark.parametrize("options", [{"advisories": ""}, {"advisories": "x", "max_age_days": 0}])
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    """Otherwise a mistake in the configuration shows only in the middle of a rollout."""
    with pytest.raises(ValueError, match=r"advisories|max_age_days"):
        Options(**options)

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import patches
from healthchecks.base import Role, Verdict
from healthchecks.patches import Options
from providers.base import HostInventory, PatchState
from tests.healthchecks.fakes import NOW, World

CLEAN = PatchState(NOW - 60, installed=300, baseline="pb-1")


def _ask(*states: PatchState | None, role: Role = "replacement", **options: Any) -> Verdict:
    hosts = [HostInventory(f"host-{number}", None, problem="", patches=state) for number, state in enumerate(states)]
    world = World(inventories={"green": hosts, "blue": hosts})
    return patches.ask(Options(**options), world.subject(role))


def test_patched_hosts_pass() -> None:
    """Otherwise no rollout with this check is ever promoted."""
    verdict = _ask(CLEAN, CLEAN)
    assert verdict.answer == "pass"
    assert verdict.evidence["installed"] == 600
    assert verdict.evidence["baselines"] == ["pb-1"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"missing": 2, "missing_security": 1}, "1 security patches missing"),
        ({"failed": 1}, "1 patches failed"),
        ({"pending_reboot": 3}, "3 patches wait for a reboot"),
    ],
)
def test_one_host_that_is_not_patched_fails(changes: dict[str, Any], says: str) -> None:
    """Otherwise a host with a known hole is given traffic."""
    verdict = _ask(CLEAN, replace(CLEAN, **changes))
    assert (verdict.answer, verdict.severity) == ("fail", 0.5)
    assert verdict.summary == f"host-1: {says}"


def test_patches_that_are_no_security_are_judged_only_when_asked() -> None:
    """Otherwise every optional update stops rollouts, or none ever can."""
    lacking = replace(CLEAN, missing=2)
    assert _ask(lacking, lacking).answer == "pass"
    assert _ask(lacking, lacking, max_missing=1).answer == "fail"
    assert _ask(lacking, lacking, max_missing=2).answer == "pass"


@pytest.mark.parametrize("state", [None, replace(CLEAN, at=NOW - 90_000), replace(CLEAN, at=NOW + 3_600)])
def test_no_finding_or_an_old_one_is_unknown(state: PatchState | None) -> None:
    """Otherwise a host that nobody looked at counts as clean."""
    assert _ask(CLEAN, state).answer == "unknown"


def test_an_old_finding_is_good_for_as_long_as_one_says() -> None:
    """Otherwise weekly scans cannot be worked with."""
    assert _ask(replace(CLEAN, at=NOW - 90_000), CLEAN, max_age_s=100_000).answer == "pass"


def test_what_is_known_to_be_wrong_fails_beside_what_is_unknown() -> None:
    """Otherwise one silent host hides a bad one."""
    assert _ask(None, replace(CLEAN, failed=1)).answer == "fail"


def test_instances_without_any_entry_are_unknown() -> None:
    """Otherwise a provider that leaves hosts out has them pass."""
    assert _ask(CLEAN).answer == "unknown"
    assert _ask().answer == "unknown"


def test_the_original_is_only_asked_whether_it_is_known() -> None:
    """Otherwise preflight refuses to patch what needs patching."""
    lacking = replace(CLEAN, missing=9, missing_security=9, pending_reboot=1)
    assert _ask(lacking, lacking, role="original").answer == "pass"
    assert _ask(lacking, None, role="original").answer == "unknown"


@pytest.mark.parametrize("options", [{"max_missing": -1}, {"max_missing_security": -1}, {"max_age_s": 0}])
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """Otherwise a typing error in a fleet file makes a check that always fails."""
    with pytest.raises(ValueError, match="max_"):
        Options(**options)


@given(st.lists(st.builds(PatchState, st.floats(NOW - 2e5, NOW), *[st.integers(0, 3)] * 5), min_size=2, max_size=4))
def test_only_clean_and_fresh_hosts_pass(states: list[PatchState]) -> None:
    """Otherwise some mix of findings slips through."""
    clean = all(
        not (state.missing_security or state.failed or state.pending_reboot) and NOW - state.at <= 86_400
        for state in states
    )
    assert (_ask(*states).answer == "pass") == clean

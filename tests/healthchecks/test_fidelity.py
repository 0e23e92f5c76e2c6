from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks import fidelity
from healthchecks.base import Role, Verdict
from providers.base import Environment, Patch, Slot
from tests.healthchecks.fakes import OLD, World, environments, instance


def _ask(world: World, role: Role = "replacement", **changes: Any) -> Verdict:
    return fidelity.ask(fidelity.Options(), world.subject(role, **changes))


def _with(slot: Slot, **changes: Any) -> World:
    found = environments()
    return World(environments=found | {slot: replace(found[slot], **changes)})


def test_a_true_copy_with_the_patch_passes() -> None:
    """Otherwise no replacement is ever accepted."""
    assert _ask(World()).answer == "pass"


def test_each_field_that_differs_is_named_with_both_values() -> None:
    """Otherwise traffic moves to an environment that is configured differently, or nobody can see how."""
    verdict = _ask(_with("green", fingerprint={"size": "large", "zone": "b"}))
    assert verdict.answer == "fail"
    assert verdict.evidence["wrong"] == [
        "port is absent, beside it '8080'",
        "size is 'large', beside it 'small'",
        "zone is 'b', beside it absent",
    ]


def test_the_values_of_secrets_are_not_shown() -> None:
    """Otherwise a password that differs is printed into the journal and every report."""
    verdict = _ask(_with("green", fingerprint={"size": "small", "port": "8080", "DB_PASSWORD": "hunter2"}))
    assert verdict.answer == "fail"
    assert "hunter2" not in verdict.summary + json.dumps(dict(verdict.evidence))


def test_values_are_shortened() -> None:
    """Otherwise one long start-up script fills the journal."""
    verdict = _ask(_with("green", fingerprint={f"field {n}": "x" * 10**5 for n in range(100)}))
    assert (verdict.answer, len(verdict.evidence["wrong"]), verdict.evidence["wrong_count"]) == ("fail", 20, 102)
    assert len(json.dumps(dict(verdict.evidence))) < 10_000


def test_too_little_capacity_fails() -> None:
    """Otherwise all traffic moves to a side that cannot carry it."""
    assert "capacity is 1, 2 are needed" in _ask(_with("green", capacity=1)).summary
    assert _ask(_with("green", capacity=3)).answer == "pass"


@pytest.mark.parametrize("slot", ["blue", "green"])
@pytest.mark.parametrize("absent", [True, False])
def test_a_missing_environment_fails(slot: Slot, absent: bool) -> None:
    """Otherwise a rollout goes on after somebody deleted one side."""
    found = environments()
    if absent:
        del found[slot]
    else:
        found[slot] = Environment(slot)
    assert _ask(World(environments=found)).answer == "fail"


def test_every_instance_has_to_run_the_patch() -> None:
    """Otherwise one host keeps the hole that the rollout says it closed."""
    world = World(instances=[instance(1), instance(2, image=OLD)])
    assert _ask(world).summary == "instance green-2 runs image-1, not image-2"


@pytest.mark.parametrize("image", [None, ""])
def test_an_instance_whose_image_is_not_seen_is_unknown(image: str | None) -> None:
    """Otherwise a host that nobody could look at counts as patched."""
    assert _ask(World(instances=[instance(1), instance(2, image=image)])).answer == "unknown"


def test_a_wrong_image_is_worse_than_one_that_is_not_seen() -> None:
    """Otherwise one unreadable host hides another that surely is not patched."""
    assert _ask(World(instances=[instance(1, image=None), instance(2, image=OLD)])).answer == "fail"


def test_a_slot_without_instances_fails() -> None:
    """Otherwise 'every instance' is true of none."""
    assert _ask(World(instances=[instance(1, "blue", OLD)])).answer == "fail"


@pytest.mark.parametrize("patch", [None, Patch("base-2", {})])
def test_a_plan_without_an_image_is_unknown(patch: Patch | None) -> None:
    """Otherwise any image is the right one."""
    assert _ask(World(), patch=patch).answer == "unknown"


def test_each_member_of_a_patch_is_a_right_image() -> None:
    """Otherwise a service with hosts of two architectures can never be patched."""
    patch = Patch("base-2", {"amd64": "image-2", "arm64": "image-3"})
    both = World(instances=[instance(1), instance(2, image="image-3")])
    assert _ask(both, patch=patch).answer == "pass"


@pytest.mark.parametrize(("here", "answer"), [("7", "pass"), ("8", "fail"), (None, "unknown")])
def test_the_application_has_to_be_the_same_where_it_is_known(here: str | None, answer: str) -> None:
    """Otherwise a patch rollout quietly releases another version of the application."""
    assert _ask(_with("green", app_version=here)).answer == answer


def test_one_unknown_version_of_the_application_is_unknown() -> None:
    """Otherwise a replacement with another application passes because nobody could read which."""
    verdict = _ask(_with("blue", app_version=None))
    assert verdict.answer == "unknown"
    assert verdict.summary == "the application version of blue is not known, that of the other side is"
    neither = {slot: replace(one, app_version=None) for slot, one in environments().items()}
    assert _ask(World(environments=neither)).answer == "pass"
    assert _ask(_with("green", app_version=None), "original").answer == "pass"
    assert _ask(_with("green", app_version=None, capacity=1)).answer == "fail"


def test_two_unknown_configurations_are_not_equal() -> None:
    """Otherwise a provider that cannot read configurations calls everything a true copy."""
    found = {slot: replace(one, fingerprint={}) for slot, one in environments().items()}
    assert _ask(World(environments=found)).answer == "unknown"


def test_the_original_is_not_blamed_for_the_replacements_differences() -> None:
    """Otherwise every difference looks like a bad day for both sides, and traffic is not put back."""
    assert _ask(_with("green", fingerprint={"size": "large"}), "original").answer == "pass"
    assert _ask(_with("blue", capacity=1), "original").answer == "fail"
    assert _ask(World(instances=[instance(1, "blue", "image-0")]), "original").answer == "fail"


fingerprints = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["", "1", "2"]))


@given(fingerprints, fingerprints)
def test_there_is_a_difference_exactly_when_fingerprints_are_unequal(one: dict[str, str], two: dict[str, str]) -> None:
    """Otherwise some kind of difference (an empty value, a missing field) goes unseen."""
    found = fidelity.differences(Environment("green", fingerprint=one), Environment("blue", fingerprint=two))
    assert bool(found) == (one != two)
    assert len(found) == sum(one.get(name) != two.get(name) for name in "abcd")

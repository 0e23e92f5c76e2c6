"""A wrong name is answered with the one that was probably meant, wherever in a fleet file it stands."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthchecks.registry import known_checks
from rollout.fleetfile.catalogue import Shipped, known_providers
from rollout.fleetfile.problems import nearest
from rollout.settings import SettingsErrors, parse_fleet

FILE = Path("fleet.yaml")
LOCAL = "version: 1\nservices:\n  shop:\n    provider: local\n    coexist: safe\n"


def problems(text: str) -> list[str]:
    """What is wrong with a fleet of shipped providers and checks, in words."""
    with pytest.raises(SettingsErrors) as caught:
        parse_fleet(text.encode(), FILE)
    return [str(error) for error in caught.value.errors]


def of_service(line: str) -> str:
    """The fleet with one more line in its service."""
    return f"{LOCAL}    {line}\n"


def of_receiver(line: str) -> str:
    """The fleet with one receiver."""
    return f"{LOCAL}notify: {{to: [{{name: a, apprise: {{env: A}}, {line}}}]}}\n"


WRONG = {
    # keys
    LOCAL + "polcy: {}\n": "policy",
    LOCAL + "servr: {jobs: 1}\n": "serve",
    LOCAL + "notfy: {}\n": "notify",
    LOCAL + "default: {}\n": "defaults",
    LOCAL + "policy: {require-ref: [start]}\n": "require_ref",
    LOCAL + "policy: {deny_after: 3}\n": "deny_after_services",
    LOCAL + "keep: {checkpoint: a}\n": "checkpoints",
    LOCAL + "serve: {job: 1}\n": "jobs",
    LOCAL + "notify: {way_back_ends: 1h}\n": "way_back_ending",
    LOCAL.replace("services", "servces"): "services",
    of_receiver("onn: [halted]"): "on",
    of_service("keepwarm: 1h"): "keep_warm",
    of_service("patch: {img: a}"): "image",
    of_service("traffic: {soaks: 1m}"): "soak",
    of_service("gates: {liv: {}}"): "live",
    of_service("gates: {live: {passs: 1}}"): "passes",
    of_service("gates: {preflight: {unknown: 1m}}"): "unknown_limit",
    of_service("deadlines: {drain: 1m}"): "drained",
    of_service("checks: {prefligt: [balancer]}"): "preflight",
    "version: 1\ndefaults: {bakee: 1m}\n" + LOCAL.split("\n", 1)[1]: "bake",
    # inside the options of providers and checks
    of_service("options: {healt: /}"): "health",
    of_service("options: {test-listen: '127.0.0.1:1'}"): "test_listen",
    of_service("options: {images: {bad: {}}}")
    .replace("local", "memory")
    .replace("{bad: {}", "{bad: {healhty: true}"): ("healthy"),
    of_service("checks: {live: [http: {pth: /}]}"): "path",
    of_service("checks: {live: [failed_responses: {min-requests: 5}]}"): "min_requests",
    of_service("checks: {live: [vulnerabilities: {advisories: a, waivers: [{id: CVE-1, untill: a}]}]}"): "until",
    # names of providers and checks
    LOCAL.replace("local", "locla"): "local",
    LOCAL.replace("local", "Local"): "local",
    of_service("checks: {live: [balancers]}"): "balancer",
    of_service("checks: {live: [failed-responses]}"): "failed_responses",
    of_service("checks: {live: [responses]}"): "failed_responses",
    of_service("checks: {live: [vulnerabilites: {advisories: a}]}"): "vulnerabilities",
    # choices
    LOCAL.replace("safe", "save"): "safe",
    of_service("approval: require"): "required",
    of_service("traffic: {on_rollback: Drain}"): "drain",
    of_service("checks: {live: [http: {method: get}]}"): "GET",
    LOCAL + "policy: {require_ref: [aprove]}\n": "approve",
    of_receiver("on: [halt]"): "halted",
    of_receiver("on: [failing]"): "failing_while_warm",
    of_receiver("on: [approval]"): "approval_wanted",
}


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_wrong_name_is_answered_with_the_one_that_was_meant(text: str) -> None:
    """Users look up in the documentation what the program knows."""
    assert any(f"(did you mean {WRONG[text]}?)" in said for said in problems(text)), problems(text)


@given(st.sampled_from(["halted", "require_ref", "min-requests", "my-shop", "GET"]), st.data())
def test_one_slip_is_always_understood(name: str, data: st.DataObject) -> None:
    """A letter too few, and the answer is a list of thirty names."""
    at = data.draw(st.integers(0, len(name) - 1))
    slip = data.draw(st.sampled_from([name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:], name.upper()]))
    assert nearest(slip, ["balancer", name, "way_back_ending", "x"]) == name


@given(st.text(max_size=20), st.lists(st.text(max_size=12), max_size=8))
def test_only_a_known_name_is_ever_proposed(name: str, known: list[str]) -> None:
    """The advice leads to the next mistake."""
    assert nearest(name, known) in (None, *known)


def test_what_resembles_nothing_gets_no_advice() -> None:
    """A wild guess sends users the wrong way."""
    assert nearest("campaigns", ["version", "state", "services", "policy"]) is None
    assert nearest("store", ["store_trouble", "store_put_right"]) is None, "two share the word: neither is meant more"


def dataclasses_in(kind: Any) -> Iterator[Any]:
    """A dataclass of options, and all that are inside of it."""
    if dataclasses.is_dataclass(kind):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from dataclasses_in(hint)
    for inner in typing.get_args(kind):
        yield from dataclasses_in(inner)


@pytest.mark.parametrize("name", [*known_providers(), *known_checks()])
def test_no_option_is_silently_ignored(name: str) -> None:
    """A slip in an option's name is taken for nothing at all, and the default holds."""
    catalogue = Shipped()
    options = catalogue.check_options(name) if name in known_checks() else catalogue.provider_options(name)
    found = list(dataclasses_in(options))
    assert found
    assert [each for each in found if getattr(each, "__pydantic_config__", {}).get("extra") != "forbid"] == []

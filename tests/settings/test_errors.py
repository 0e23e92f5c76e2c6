"""Each way to be wrong is told with file, line, key, what was found and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.settings import load
from tests.settings.conftest import Refused, ToyCatalogue, service

TOP = "version, state, store, services, policy, notify, keep, serve, drills, campaigns, defaults"
STEPS = "whole numbers 1–100, rising, ending in 100"
HEAD = "version: 1\nservices:\n  shop:\n    provider: toy\n"
BODY = HEAD + "    coexist: safe\n"

CASES = {
    # text: (line, key, found, allowed, problem)
    service("traffic: {steps: [10, 150]}"): (6, "services.shop.traffic.steps[1]", "150", STEPS, ""),
    service("traffic:", "  steps: [50, 10, 100]"): (7, "services.shop.traffic.steps[1]", "10", STEPS, ""),
    service("traffic:", "  steps:", "    - 10", "    - 90"): (9, "services.shop.traffic.steps[1]", "90", STEPS, ""),
    service("traffic: {steps: []}"): (6, "services.shop.traffic.steps", "an empty list", STEPS, ""),
    service("traffic: {steps: 100}"): (6, "services.shop.traffic.steps", "100", "a list", ""),
    service("traffic: {steps: [ten]}"): (6, "services.shop.traffic.steps[0]", "'ten'", STEPS, ""),
    service("traffic: {on_rollback: drian}"): (
        *(6, "services.shop.traffic.on_rollback", "'drian' (did you mean drain?)", "'drain' or 'cut'", ""),
    ),
    service("bake: 30"): (
        *(6, "services.shop.bake", "30"),
        *("a number with a unit, such as 500ms, 60s, 5m, 1h30m, 24h, 7d", ""),
    ),
    service("traffic: {soak: 0s}"): (6, "services.shop.traffic.soak", "'0s'", "more than 0s", ""),
    service("traffic: {soak: 1s}"): (
        *(6, "services.shop.traffic.soak", "'1s'", "at least the interval, 5s"),
        "the soak is over before the second look",
    ),
    service("gates: {replacement: {passes: 70}}"): (
        *(6, "services.shop.gates.replacement.deadline", "", "more than 5m45s, which 70 passes take"),
        "the gate could never pass",
    ),
    service("gates: {live: {passes: 0}}"): (6, "services.shop.gates.live.passes", "0", "1 or more", ""),
    service("gates: {live: {passes: yes}}"): (6, "services.shop.gates.live.passes", "'yes'", "a whole number", ""),
    service("trafic: {}"): (
        *(6, "services.shop.trafic", ""),
        "windows, blackouts, time_zone, at_end, provider, tags, coexist, options, patch, traffic, checks, gates, "
        "deadlines, bake, keep_warm, rollback_while_warm, approval, settle, drills",
        "unknown key 'trafic' (did you mean traffic?)",
    ),
    service("traffic: {soak_s: 60s}"): (
        *(6, "services.shop.traffic.soak_s", "", "steps, soak, interval, on_rollback, drain_limit"),
        "unknown key 'soak_s' (did you mean soak?)",
    ),
    service("patch: {image: ''}"): (6, "services.shop.patch.image", "''", "text that is not empty", ""),
    service("patch: {}"): (6, "services.shop.patch.image", "", "an image or a reference to one", "missing"),
    service("patch: base-2"): (6, "services.shop.patch", "'base-2'", "a mapping", ""),
    service("patch: {image: 12.10}"): (
        *(6, "services.shop.patch.image", "12.1", "text (in quotes if it looks like something else)", ""),
    ),
    HEAD: (
        *(3, "services.shop.coexist", ""),
        *("safe, switched or forbidden (may two sides run at once? Nobody but you can know)", "missing"),
    ),
    HEAD + "    coexist: maybe\n": (*(5, "services.shop.coexist", "'maybe'", "'safe', 'switched' or 'forbidden'", ""),),
    BODY.replace("toy", "toi"): (
        *(4, "services.shop.provider", "", "toy", "unknown provider 'toi' (did you mean toy?)"),
    ),
    BODY.replace("shop", "Shop"): (
        *(3, "services.Shop", "'Shop'", "a-z, 0-9 and -, beginning with a letter, at most 40", ""),
    ),
    BODY.replace("version: 1", "version: 2"): (1, "version", "2", "1", ""),
    BODY.replace("version: 1", "version: true"): (1, "version", "true", "1", ""),
    BODY.replace("version: 1", "version: 1.0"): (1, "version", "1.0", "1", ""),
    service("options: {environment: {env: NAME}}"): (
        *(6, "services.shop.options.environment", "a reference to a secret", "a mapping", ""),
    ),
    BODY.replace("version: 1", "# none"): (1, "version", "", "1", "missing"),
    "version: 1\n": (1, "services", "", "a mapping from names to services", "missing"),
    "version: 1\nservices: {}\n": (2, "services", "a mapping", "at least one service", ""),
    "version: 1\nservices:\n  shop: 5\n": (3, "services.shop", "5", "a mapping", ""),
    "- a\n": (1, "", "a list", "a mapping with version and services", ""),
    BODY + "stor: postgresql://db\n": (*(6, "stor", "", TOP, "unknown key 'stor' (did you mean store?)"),),
    BODY + "store: postgresql://me:hunter2@db\n": (
        *(6, "store", ""),
        "{env: NAME} or {file: PATH} for a postgresql:// address, or the address where it has no password",
        "a password written out",
    ),
    BODY + "state: ~/x\n": (
        *(6, "state", "'~/x'", "a folder, relative to the fleet file or absolute; ~ is not expanded", ""),
    ),
    BODY + "policy: {deny_after_services: yes}\n": (6, "policy.deny_after_services", "'yes'", "a whole number", ""),
    BODY + "campagnes: {}\n": (*(6, "campagnes", "", TOP, "unknown key 'campagnes' (did you mean campaigns?)"),),
    BODY + "defaults: 5\n": (6, "defaults", "5", "a mapping with any keys of a service", ""),
}


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_wrong_value_is_told_in_full(refused: Refused, fleet_file: Path, text: str) -> None:
    """Users search for what is wrong, in the wrong line, instead of reading it."""
    (error,) = refused(text)
    assert (error.line, error.key, error.found, error.allowed, error.problem) == CASES[text]
    assert str(error).startswith(f"{fleet_file}:{error.line}: ")


def test_message_reads_as_documented(refused: Refused, fleet_file: Path) -> None:
    """Editors no longer jump to the line, and scripts no longer find the parts."""
    (error,) = refused(service("traffic: {steps: [10, 150]}"))
    assert str(error) == f"{fleet_file}:6: services.shop.traffic.steps[1]: found 150; allowed: {STEPS}"
    assert error.column == 27


def test_all_problems_come_together_by_line(refused: Refused) -> None:
    """Users repair a file one run at a time."""
    errors = refused(service("bake: 1", "keep_warm: 2", "options: {instances: x}") + "policy: {a: 1}\n")
    assert [error.line for error in errors] == [6, 7, 8, 9]


@pytest.mark.parametrize("gate", ["replacement", "live"])
def test_empty_list_of_checks_is_refused(refused: Refused, gate: str) -> None:
    """A replacement gets traffic although nothing was proven."""
    (error,) = refused(service(f"checks: {{{gate}: []}}"))
    assert (error.key, error.problem) == (f"services.shop.checks.{gate}", "nothing would be proven")
    assert error.found == "an empty list"


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A mistyped --config ends in a stack trace."""
    for missing in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(Exception, match=f"{missing}: cannot be read: "):
            load(missing, ToyCatalogue())


def test_problem_in_defaults_is_told_once_and_there(refused: Refused) -> None:
    """Users are sent to each service for a mistake that stands in one place."""
    text = service(top="version: 1\ndefaults:\n  traffic: {soak: 5}") + "  b: {provider: toy, coexist: safe}\n"
    (error,) = refused(text)
    assert (error.line, error.key, error.found) == (3, "defaults.traffic.soak", "5")


def test_state_that_a_glance_would_misread_is_refused(refused: Refused) -> None:
    """The emergency rollback looks for its card in another folder than the one that has it."""
    inner = BODY + "    options: {environment: {\nstate: elsewhere\n    }}\n"
    folded = BODY + "state: one\n  two\n"
    quoted = BODY + 'patch: {image: "a\nstate: b"}\n'
    escaped = BODY + 'state: "a\\tb"\n'
    spaced = BODY + "? state\n: x\n"
    for text in (inner, folded, escaped, spaced, quoted):
        assert "cannot be read at a glance" in [error.problem for error in refused(text)]

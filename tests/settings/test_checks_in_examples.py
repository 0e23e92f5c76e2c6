from __future__ import annotations

from pathlib import Path

import pytest

from healthchecks.registry import known_checks
from rollout import resources
from rollout.settings import load

EXAMPLE = resources.path("fleet.example.yaml")
BEYOND = {"alarms", "hosts", "patches", "room"}
"""Checks that need a platform which knows more than hosts and traffic: shown with that platform, not here."""


def _asked(file: Path) -> dict[str, dict[str, object]]:
    """All checks that a file's services ask, with their options as they are completed."""
    services = load(file).services.values()
    gates = [gate for each in services for gate in (each.checks.preflight, each.checks.replacement, each.checks.live)]
    return {check.name: check.options for gate in gates for check in gate if gate}


def test_the_example_shows_each_check() -> None:
    """A check exists that nobody can find."""
    assert set(_asked(EXAMPLE)) == set(known_checks()) - BEYOND


def test_the_exceptions_are_still_needed() -> None:
    """A check that would work anywhere is shown nowhere."""
    assert set(known_checks()) >= BEYOND


def test_a_program_runs_in_the_fleet_files_folder() -> None:
    """It depends on where somebody stands which program judges a rollout."""
    assert _asked(EXAMPLE)["command"]["folder"] == str(EXAMPLE.parent)


def test_relative_paths_of_checks_are_the_fleet_files(tmp_path: Path) -> None:
    """A rollout that is resumed from another folder trusts other authorities, or none."""
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "version: 1\nservices:\n  shop:\n    provider: memory\n    coexist: safe\n    checks:\n      live:\n"
        "        - tls: {name: shop.internal, ca_file: trust/ca.pem}\n        - command: {run: [./a], folder: tests}\n"
    )
    asked = _asked(file)
    assert asked["tls"]["ca_file"] == str(tmp_path / "trust/ca.pem")
    assert asked["command"]["folder"] == str(tmp_path / "tests")


@pytest.mark.parametrize(
    "check",
    [
        "command: {run: ./smoke}",
        "command: {run: []}",
        "command: {run: [a], shell: true}",
        "http: {url: 'http://169.254.169.254/', allow_private: true}",
        "http: {url: 'http://10.0.0.1/'}",
        "http: {body_json: {'a[0]': 1}}",
        "http: {headers: {Authorization: Bearer x}}",
        "tls: {}",
        "synthetic: {requests: [{method: POST}]}",
        "synthetic: {requests: [{path: /, headers: {X-Api-Key: hunter2}}]}",
        "tcp: {send: '\\q'}",
        "listening: {allow: [9100]}",
    ],
)
def test_mistakes_show_when_the_file_is_read(check: str, tmp_path: Path) -> None:
    """A check that can never answer shows in the middle of a rollout, or a secret lands in its plan."""
    file = tmp_path / "fleet.yaml"
    head = "version: 1\nservices:\n  shop:\n    provider: memory\n    coexist: safe\n    checks:\n      live:\n"
    file.write_text(f"{head}        - {check}\n")
    with pytest.raises(Exception, match=str(file)) as refused:
        load(file)
    assert "hunter2" not in str(refused.value)

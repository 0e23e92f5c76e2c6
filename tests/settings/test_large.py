"""A fleet file of very many services is read in seconds: what they share is looked up and judged once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rollout.fleetfile import options
from rollout.settings import SettingsErrors, parse_fleet
from tests.settings.conftest import ToyCatalogue

SERVICES = 400


class Counting(ToyCatalogue):
    """Says how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def provider_options(self, name: str) -> type[Any] | None:
        """Noted."""
        self.asked.append(name)
        return super().provider_options(name)

    def check_options(self, name: str) -> type[Any]:
        """Noted."""
        self.asked.append(name)
        return super().check_options(name)


def written(checks: str = "[http, balancer]") -> bytes:
    """So many services with the same checks."""
    lines = "".join(f"  svc-{number}: {{options: {{instances: {number % 7 + 1}}}}}\n" for number in range(SERVICES))
    gates = f"{{preflight: {checks}, replacement: {checks}, live: {checks}}}"
    return f"version: 1\ndefaults: {{provider: toy, coexist: safe, checks: {gates}}}\nservices:\n{lines}".encode()


def test_what_services_share_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand services are read for half a minute by every command, for each is judged as if it were the first."""
    catalogue, made = Counting(), list[Any]()
    adapter: Any = vars(options)["TypeAdapter"]

    def counted(kind: Any) -> Any:
        made.append(kind)
        return adapter(kind)

    options._adapter.cache_clear()
    monkeypatch.setattr(options, "TypeAdapter", counted)
    fleet = parse_fleet(written(), Path("fleet.yaml"), catalogue)
    assert len(fleet.services) == SERVICES
    assert sorted(catalogue.asked) == ["balancer", "http", "toy"]
    assert len(made) == len(set(made)) <= 3
    assert {service.options["instances"] for service in fleet.services.values()} == set(range(1, 8)), "each its own"


def test_what_one_changes_is_not_the_others() -> None:
    """A check that is labelled for one gate has that label in every gate."""
    fleet = parse_fleet(written("[http, http, balancer]"), Path("fleet.yaml"), Counting())
    labels = [[each.label for each in service.checks.live] for service in fleet.services.values()]
    assert labels == [["http", "http-2", "balancer"]] * SERVICES


def test_what_is_wrong_is_said_at_each_place() -> None:
    """The second service with a check that does not exist is not told so."""
    text = b"version: 1\nservices:\n" + b"".join(
        b"  s%d:\n    provider: toy\n    coexist: safe\n    checks:\n      live:\n        - htpt\n" % number
        for number in range(3)
    )
    with pytest.raises(SettingsErrors) as caught:
        parse_fleet(text, Path("fleet.yaml"), Counting())
    assert [error.line for error in caught.value.errors] == [8, 14, 20]

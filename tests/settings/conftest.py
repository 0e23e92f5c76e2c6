"""A small catalogue of its own, so that settings are tested without any real provider or check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rollout.fleetfile.catalogue import UnknownName
from rollout.fleetfile.problems import SettingsError, SettingsErrors, listed, unknown_name
from rollout.settings import Fleet, load

FORBID: Mapping[str, Any] = {"extra": "forbid"}


@dataclass(frozen=True)
class Toy:
    """A provider's options."""

    __pydantic_config__: ClassVar[Mapping[str, Any]] = FORBID

    images: str = field(default="images", metadata={"path": True})
    ports: str = "1-9"
    instances: int = 2
    password: str | None = None
    environment: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if "-" not in self.ports:
            raise ValueError(f"ports: {self.ports!r} is not a range")


@dataclass(frozen=True)
class Http:
    __pydantic_config__: ClassVar[Mapping[str, Any]] = FORBID

    path: str = "/"
    statuses: Sequence[int] = (200,)


@dataclass(frozen=True)
class Advisories:
    __pydantic_config__: ClassVar[Mapping[str, Any]] = FORBID

    advisories: str = field(metadata={"path": True})


@dataclass(frozen=True)
class Nothing:
    __pydantic_config__: ClassVar[Mapping[str, Any]] = FORBID


class ToyCatalogue:
    kinds: ClassVar[Mapping[str, type[Any]]] = {
        "http": Http,
        "vulnerabilities": Advisories,
        "balancer": Nothing,
        "fidelity": Nothing,
        "failed_responses": Nothing,
    }

    def provider_options(self, name: str) -> type[Any] | None:
        if ":" in name:
            return None
        if name != "toy":
            raise UnknownName(unknown_name("provider", name, ["toy"]), "toy")
        return Toy

    def check_options(self, name: str) -> type[Any]:
        if name not in self.kinds:
            raise UnknownName(unknown_name("check", name, self.kinds), listed(list(self.kinds)))
        return self.kinds[name]

    def place_of(self, provider: str, options: Mapping[str, Any]) -> dict[str, str]:
        return {}


Read = Callable[[str], Fleet]
Refused = Callable[[str], list[SettingsError]]


@pytest.fixture
def fleet_file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.yaml"


@pytest.fixture
def fleet(fleet_file: Path) -> Read:
    """A fleet from its text."""

    def from_text(text: str) -> Fleet:
        fleet_file.write_text(text, encoding="utf-8")
        return load(fleet_file, ToyCatalogue())

    return from_text


@pytest.fixture
def refused(fleet: Read) -> Refused:
    """What is wrong with a text; an error if nothing is."""

    def from_text(text: str) -> list[SettingsError]:
        with pytest.raises(SettingsErrors) as caught:
            fleet(text)
        return list(caught.value.errors)

    return from_text


def service(*lines: str, top: str = "version: 1") -> str:
    """A fleet with one good service and these further lines, from line 6 on."""
    body = "".join(f"    {line}\n" for line in lines)
    return f"{top}\nservices:\n  shop:\n    provider: toy\n    coexist: safe\n{body}"

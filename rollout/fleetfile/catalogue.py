"""Which providers and checks there are, and the options that each accepts. Names are found, never listed here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import providers
from healthchecks import registry
from rollout.fleetfile.problems import listed, unknown_name

PLACE = ("account", "region", "zone", "architecture")


class UnknownName(LookupError):
    """Nothing usable has this name. `allowed` says what would do."""

    def __init__(self, problem: str, allowed: str) -> None:
        super().__init__(problem)
        self.problem, self.allowed = problem, allowed


class Catalogue(Protocol):
    """Where options are looked up; tests have one of their own."""

    def provider_options(self, name: str) -> type[Any] | None:
        """None for a `package.module:factory` from outside, which the composition root judges."""
        ...

    def check_options(self, name: str) -> type[Any]: ...

    def place_of(self, provider: str, options: Mapping[str, Any]) -> dict[str, str]:
        """Where a service with these options is (account, region, zone, architecture), as far as they say so."""
        ...


class Shipped:
    """What lies in the packages `providers` and `healthchecks`."""

    def provider_options(self, name: str) -> type[Any] | None:
        if is_outside(name):
            return None
        if name not in (known := known_providers()):
            allowed = f"{listed(known)}; or package.module:factory for one from outside"
            raise UnknownName(unknown_name("provider", name, known), allowed)
        try:
            return cast(type[Any], importlib.import_module(f"providers.{name}.adapter").Options)
        except Exception as error:
            why = f"provider {name!r} cannot be loaded: {type(error).__name__}: {error}"
            raise UnknownName(why, f"{listed(known)} once installed with what they need") from error

    def check_options(self, name: str) -> type[Any]:
        known = registry.known_checks()
        if "." not in name and name not in known:
            allowed = f"{listed(known)}; or package.module for one from outside"
            raise UnknownName(unknown_name("check", name, known), allowed)
        try:
            return registry.load(name).Options
        except registry.UnknownCheck as error:
            raise UnknownName(str(error), "") from error

    def place_of(self, provider: str, options: Mapping[str, Any]) -> dict[str, str]:
        ask = None
        if not is_outside(provider):
            ask = getattr(importlib.import_module(f"providers.{provider}.adapter"), "place_of", None)
        return {**place_in(options), **(ask(options) if ask else {})}


def place_in(options: Mapping[str, Any]) -> dict[str, str]:
    """What options call by the usual names."""
    return {key: options[key] for key in PLACE if isinstance(options.get(key), str) and options[key]}


def known_providers() -> tuple[str, ...]:
    """The shipped providers, sorted: the folders of `providers` with an adapter. Imports none of them."""
    folders = (folder for place in providers.__path__ for folder in Path(place).iterdir())
    return tuple(sorted(folder.name for folder in folders if (folder / "adapter.py").is_file()))


def is_outside(name: str) -> bool:
    """Written like `package.module:factory`."""
    module, colon, factory = name.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), factory))

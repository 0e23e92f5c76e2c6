"""Doctor: the fleet file, the secrets that it refers to, this program's own parts, and each service at its provider."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.care.findings import LEVELS, Finding, Level, ok, problem, warning

if TYPE_CHECKING:
    from rollout.wiring import Installation

LEAST_PYTHON = (3, 11)
PARTS = ("typer", "rich", "structlog", "tenacity", "pydantic", "PyYAML", "httpx", "aiohttp", "psutil", "pip")


def fleet_file(installation: Installation) -> Iterator[Finding]:
    """Is it there and valid? Everything that is wrong with it."""
    from rollout.settings import SettingsErrors

    path = installation.fleet_file
    if not path.is_file():
        yield problem("fleet", f"there is no fleet file {path}", "rollout init makes one, or name yours with --config")
        return
    try:
        services = installation.fleet.services
    except SettingsErrors as errors:
        for error in errors.errors:
            yield problem("fleet", str(error), f"edit {path}; rollout rollback works with it as it is")
        return
    yield ok("fleet", f"{path} is valid: {', '.join(sorted(services))}")


def programs(installation: Installation) -> Iterator[Finding]:
    """Python and the packages that this program stands on."""
    running = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < LEAST_PYTHON:
        yield problem("program", f"this is Python {running}", "install it with Python 3.11 or newer")
    missing = [part for part in PARTS if _version(part) is None]
    for part in missing:
        yield problem("program", f"{part} is not installed beside it", "install rollout again (pipx reinstall …)")
    if not missing and sys.version_info >= LEAST_PYTHON:
        own = _version("rollout-manager") or "from a checkout"
        yield ok("program", f"rollout {own}, Python {running}, {len(PARTS)} packages")


def _version(part: str) -> str | None:
    try:
        return version(part)
    except PackageNotFoundError:
        return None


def secrets(installation: Installation) -> Iterator[Finding]:
    """What the fleet file refers to can be read here. Nothing of it is ever shown."""
    fleet = installation.fleet
    wanted = {f"services.{name}.options": settings.options for name, settings in fleet.services.items()}
    told: dict[str, Any] = {f"notify.{each.name}": [each.apprise, each.secret] for each in fleet.notify.to}
    count, missing = 0, list[Finding]()
    for where, value in {**wanted, **told}.items():
        for kind, name in references(value):
            count += 1
            if why := _unreadable(kind, name, installation.fleet_file.absolute().parent):
                missing.append(problem("secrets", f"{where} refers to {kind} {name}: {why}", _FIXES[kind]))
    yield from missing
    if not missing:
        yield ok("secrets", f"{count} references can be read here")


_FIXES = {
    "env": "set it for whatever runs rollout (for rollout serve: in its unit or its shell)",
    "file": "write it, readable for the user that runs rollout",
}


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Every {env: NAME} and {file: PATH} in plain data."""
    from rollout.fleetfile.secrets import is_reference

    if is_reference(value):
        yield from value.items()
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references(inner)


def _unreadable(kind: str, name: str, folder: Path) -> str:
    if kind == "env":
        return "" if os.environ.get(name) else "it is not set here"
    path = folder / name
    if not path.is_file():
        return "there is no such file"
    return "" if os.access(path, os.R_OK) else "it cannot be read"


def services(installation: Installation) -> Iterator[Finding]:
    """Each provider can be loaded, and says what it finds of its services."""
    for name, settings in sorted(installation.fleet.services.items()):
        try:
            yield from _service(installation, name, settings)
        except Exception as error:  # whatever an adapter raises is a finding about that adapter
            text = f"{name}: its provider {settings.provider} cannot be asked: {type(error).__name__}: {error}"
            yield problem("services", text, f"install what provider {settings.provider} needs, or see its message")


def _service(installation: Installation, name: str, settings: Any) -> Iterator[Finding]:
    from providers.base import ProviderError, Service
    from rollout.wiring import adapter

    service = Service(name, dict(settings.options))
    provider = installation.provider(settings.provider)
    diagnose = getattr(adapter(settings.provider), "diagnose", None)
    found = [_finding(name, *each) for each in diagnose(installation.context, service)] if diagnose else []
    yield from found
    if settings.patch:
        try:
            provider.patcher.resolve(service, settings.patch.image)
        except ProviderError as error:
            text = f"{name}: its patch {settings.patch.image} cannot be resolved: {error}"
            yield problem("services", text, f"change services.{name}.patch.image, or make that image")
            return
    if all(each.level == "ok" for each in found):
        yield ok("services", f"{name}: provider {settings.provider} is in order")


def _finding(service: str, level: str, text: str, fix: str) -> Finding:
    known: Level = next((each for each in LEVELS if each == level), "problem")
    return Finding("services", known, f"{service}: {text}", fix)


def receivers(installation: Installation) -> Iterator[Finding]:
    """Send each receiver of news a test. Only when it was asked for."""
    try:
        from rollout.notify.direct import send_test
        from rollout.notify.target import targets_of
    except ImportError as error:
        yield warning("receivers", f"what sends news is not installed: {error}", "pip install 'rollout-manager[all]'")
        return
    targets = targets_of(installation.fleet.notify)
    for name, trouble in send_test(targets, installation.clock):
        if trouble:
            yield problem(
                "receivers", f"{name} was not reached: {trouble}", f"see notify.to, {name}, in the fleet file"
            )
        else:
            yield ok("receivers", f"{name} was sent a test")
    if not targets:
        yield warning("receivers", "nobody is told of anything", "add a receiver below notify.to")

"""From what a fleet file says to what the models read: defaults laid under each service, short forms written out.

A check may be written as `- balancer` or `- http: {path: /health}`; both become {name, options, label}. Options
are judged here by their own dataclasses, so that each error names the inner key and its line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rollout.fleetfile.catalogue import Catalogue, UnknownName
from rollout.fleetfile.document import Document
from rollout.fleetfile.explain import Finding
from rollout.fleetfile.options import BadOptions, absolute_references, accepted
from rollout.fleetfile.problems import KeyPath, SettingsError, key_text, shown
from rollout.fleetfile.secrets import is_reference

DEFAULT_CHECKS: Mapping[str, tuple[str, ...]] = {
    "preflight": ("balancer",),
    "replacement": ("http", "balancer", "fidelity"),
    "live": ("balancer", "failed_responses"),
}
SWITCHED_CHECKS: Mapping[str, tuple[str, ...]] = {
    "preflight": ("balancer",),
    "replacement": ("balancer", "fidelity"),
    "live": ("balancer",),
}
"""Of a service without a balancer: nothing can be asked over a test route, and nobody counts requests."""

_ENTRY = "a check's name, or `name: {option: value}` with the options indented below the name"


class Normalised:
    """`data` for the models; `errors` so far; `error_of` ties a finding to the line where its value was written."""

    def __init__(self, document: Document, catalogue: Catalogue) -> None:
        self._document, self._catalogue = document, catalogue
        self._folder = document.path.absolute().parent
        self._borrowed: dict[KeyPath, KeyPath] = {}
        self._kinds: dict[str, type[Any] | None] = {}  # looked up and judged once, however many services have them
        self._plain: dict[str, dict[str, Any]] = {}
        self.errors: list[SettingsError] = []
        self.data: dict[str, Any] = {}
        if isinstance(document.data, dict):
            self.data = {key: value for key, value in document.data.items() if key != "defaults"}
            self._services(document.data.get("defaults", {}))
            self._references_of_receivers()
        else:
            found = shown(document.data)
            self._note([Finding((), found, "a mapping with version and services")])

    def error_of(self, finding: Finding) -> SettingsError:
        key = self._written(finding.path)
        line, column = self._document.where(key)
        return SettingsError(
            self._document.path, line, column, key_text(key), finding.found, finding.allowed, finding.problem
        )

    def _note(self, findings: Iterable[Finding], inside: KeyPath = ()) -> None:
        for found in findings:
            at = Finding((*inside, *found.path), found.found, found.allowed, found.problem)
            self.errors.append(self.error_of(at))

    def _written(self, path: KeyPath) -> KeyPath:
        """The path under which a service's value stands in the file: its own, or the one in `defaults`."""
        for length in range(len(path), 0, -1):
            if origin := self._borrowed.get(path[:length]):
                return (*origin, *path[length:])
        return path

    def _services(self, defaults: Any) -> None:
        if not isinstance(defaults, dict):
            self._note([Finding(("defaults",), shown(defaults), "a mapping with any keys of a service")])
            defaults = {}
        services = self.data.get("services")
        if isinstance(services, dict):
            self.data["services"] = {name: self._service(name, each, defaults) for name, each in services.items()}

    def _references_of_receivers(self) -> None:
        """Files that hold a receiver's secret: relative to the fleet file, as everywhere."""
        notify = self.data.get("notify")
        receivers = notify.get("to") if isinstance(notify, dict) else None
        if isinstance(notify, dict) and isinstance(receivers, list):
            self.data["notify"] = {**notify, "to": [absolute_references(each, self._folder) for each in receivers]}

    def _service(self, name: str, written: Any, defaults: dict[str, Any]) -> Any:
        path: KeyPath = ("services", name)
        if not isinstance(written, dict):
            return written
        service = self._laid_over(defaults, written, ("defaults",), path)
        if isinstance(service.get("options", {}), dict) and isinstance(service.get("provider"), str):
            service["options"] = self._provider_options(service, path)
        checks = service.get("checks", {})
        if isinstance(checks, dict):
            switched = service.get("coexist") == "switched"
            default = SWITCHED_CHECKS if switched else DEFAULT_CHECKS
            service["checks"] = self._checks(checks, (*path, "checks"), default)
            if switched and isinstance(service.get("traffic", {}), dict):
                service["traffic"] = {"steps": [100], **service.get("traffic", {})}
        return service

    def _laid_over(self, under: dict[str, Any], over: dict[str, Any], origin: KeyPath, path: KeyPath) -> Any:
        """Mappings are merged; lists, values and references replace."""
        merged = dict(over)
        for key, value in under.items():
            if key not in over:
                merged[key] = value
                self._borrowed[(*path, key)] = (*origin, key)
            elif all(isinstance(each, dict) and not is_reference(each) for each in (value, over[key])):
                merged[key] = self._laid_over(value, over[key], (*origin, key), (*path, key))
        return merged

    def _provider_options(self, service: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
        name = service["provider"]
        try:
            if name not in self._kinds:
                self._kinds[name] = self._catalogue.provider_options(name)
        except UnknownName as error:
            self._note([Finding((*path, "provider"), allowed=error.allowed, problem=error.problem)])
            return {}
        return self._options(service.get("options", {}), self._kinds[name], (*path, "options"))

    def _options(self, options: Mapping[str, Any], kind: type[Any] | None, path: KeyPath) -> dict[str, Any]:
        try:
            return accepted(options, kind, self._folder)
        except BadOptions as error:
            self._note(error.findings, path)
            return {}

    def _checks(self, checks: Mapping[str, Any], path: KeyPath, default: Mapping[str, Any]) -> dict[str, Any]:
        """Gates that are not written have the default checks; what is not a list is left for the models."""
        whole: dict[str, Any] = {**{gate: list(names) for gate, names in default.items()}, **checks}
        for gate in DEFAULT_CHECKS:
            if isinstance(whole[gate], list):
                entries = [self._check(each, (*path, gate, at)) for at, each in enumerate(whole[gate])]
                whole[gate] = _labelled(entries)
        return whole

    def _check(self, entry: Any, at: KeyPath) -> dict[str, Any]:
        """A name alone means the same each time; where something is wrong with it, each place is told so."""
        if isinstance(entry, str) and entry in self._plain:
            return dict(self._plain[entry])
        before = len(self.errors)
        read = self._check_at(entry, at)
        if isinstance(entry, str) and len(self.errors) == before:
            self._plain[entry] = dict(read)
        return read

    def _check_at(self, entry: Any, at: KeyPath) -> dict[str, Any]:
        name: Any = entry
        options: Any = {}
        path = at
        if isinstance(entry, dict) and len(entry) == 1:
            ((name, written),) = entry.items()
            path = (*at, name)
            options = {} if written is None else written
        if not isinstance(name, str) or not isinstance(options, dict):
            found = options if isinstance(name, str) else entry
            self._note([Finding(path, shown(found), _ENTRY)])
            return {"name": "unreadable"}
        try:
            kind = self._catalogue.check_options(name)
        except UnknownName as error:
            self._note([Finding(path, allowed=error.allowed, problem=error.problem)])
            return {"name": name}
        return {"name": name, "options": self._options(options, kind, (*at, name))}


def _labelled(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The label is what a gate calls a check: its name, numbered from the second of that name on."""
    seen: dict[str, int] = {}
    for entry in entries:
        name = entry["name"]
        seen[name] = seen.get(name, 0) + 1
        entry["label"] = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return entries

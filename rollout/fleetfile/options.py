"""Options of a provider or a check: plain data, judged by the dataclass that its own module declares.

What comes back is plain data too, with every default filled in, so that a plan says all that will be done. A field
whose metadata has {"path": True} comes back absolute: relative paths are relative to the fleet file.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from rollout.fleetfile import secrets
from rollout.fleetfile.explain import Finding, findings
from rollout.fleetfile.problems import KeyPath, shown

_STANDS_IN = "a reference to a secret"


class BadOptions(Exception):
    """What is wrong with options, each finding with its path inside of them."""

    def __init__(self, found: list[Finding]) -> None:
        super().__init__(f"{len(found)} problems")
        self.findings = found


def accepted(options: Mapping[str, Any], kind: type[Any] | None, folder: Path) -> dict[str, Any]:
    """Options as `kind` accepts and completes them; as they are when `kind` is not known. Raises BadOptions."""
    literal = [
        Finding(path, problem="a secret written out", allowed=secrets.ALLOWED)
        for path in secrets.literal_secrets(dict(options))
    ]
    if literal:
        raise BadOptions(literal)
    references = dict(_references(dict(options)))
    data = dict(options) if kind is None else _completed(_without(dict(options), references), kind)
    for path, reference in references.items():
        _put(data, path, _absolute_file(reference, folder))
    for name in _path_fields(kind):
        data[name] = _absolute(data[name], folder)
    return data


@lru_cache(maxsize=64)
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    """Made once for each kind: that takes longer than to read all that there is of it in most fleets."""
    return TypeAdapter(cast(type[Any], kind))


def _completed(options: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    adapter = _adapter(cast(Hashable, kind))
    try:
        made = adapter.validate_json(json.dumps(options), strict=True)
    except ValidationError as error:
        found = [
            replace(each, found=each.found.replace(shown(_STANDS_IN), _STANDS_IN))
            for each in findings(error, kind, options)
        ]
        raise BadOptions(found) from error
    completed: dict[str, Any] = adapter.dump_python(made, mode="json")
    return completed


def _references(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, dict[str, str]]]:
    if secrets.is_reference(value) and path:
        yield path, value
    elif isinstance(value, dict | list):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _references(inner, (*path, part))


def _without(value: Any, references: Mapping[KeyPath, Any], path: KeyPath = ()) -> Any:
    """A copy in which text stands where references were."""
    if path in references:
        return _STANDS_IN
    if isinstance(value, dict):
        return {key: _without(inner, references, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, references, (*path, index)) for index, inner in enumerate(value)]
    return value


def _put(data: Any, path: KeyPath, value: Any) -> None:
    for part in path[:-1]:
        data = data[part]
    data[path[-1]] = value


def _path_fields(kind: type[Any] | None) -> Iterator[str]:
    if kind is not None and dataclasses.is_dataclass(kind):
        yield from (field.name for field in dataclasses.fields(kind) if field.metadata.get("path"))


def _absolute(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_absolute(each, folder) for each in value]
    return str(folder / value) if isinstance(value, str) and value else value


def absolute_references(values: Any, folder: Path) -> Any:
    """A mapping in which each reference to a file is absolute; anything else as it is."""
    if not isinstance(values, dict):
        return values
    return {
        key: _absolute_file(value, folder) if secrets.is_reference(value) else value for key, value in values.items()
    }


def _absolute_file(reference: Mapping[str, str], folder: Path) -> dict[str, str]:
    return {kind: str(folder / name) if kind == "file" else name for kind, name in reference.items()}

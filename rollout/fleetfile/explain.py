"""pydantic's errors in the words of this project: what was found where, and what is allowed."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from rollout.fleetfile.problems import KeyPath, listed, nearest, shown, unknown_name
from rollout.fleetfile.secrets import names_secret

UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
ALLOWED = {
    "string_type": "text (in quotes if it looks like something else)",
    "string_too_short": "text that is not empty",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt}",
    "less_than_equal": "{le} or less",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
}
_NOTHING = object()
SHAPES = {"a list": ("list_", "tuple_", "set_", "is_instance"), "a mapping": ("dict_", "model_", "dataclass_")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem at a key path, not yet tied to a file."""

    path: KeyPath
    found: str = ""
    allowed: str = ""
    problem: str = ""


def refused(problem: str = "", allowed: str = "", at: KeyPath = (), *, hidden: bool = False) -> PydanticCustomError:
    """What a validator raises: `at` leads from the validated value to the part that is wrong.

    `hidden`: the value may be a secret, and is not repeated.
    """
    context = {"problem": problem, "allowed": allowed, "at": at, "hidden": hidden}
    return PydanticCustomError("refused", "refused", context)


def findings(error: ValidationError, kind: Any, data: Any) -> list[Finding]:
    """Each error of pydantic's; `kind` is the model or dataclass that refused `data`.

    Where several kinds of value would do (a union), pydantic has an error for each: they are one finding.
    """
    merged: dict[tuple[KeyPath, str, str], Finding] = {}
    for each in error.errors(include_url=False):
        found = _finding(dict(each), kind, data)
        same = merged.get(key := (found.path, found.found, found.problem))
        if same and found.allowed not in same.allowed:
            found = replace(found, allowed=f"{same.allowed} or {found.allowed}")
        merged[key] = found
    deeper = {each.path[:depth] for each in merged.values() for depth in range(len(each.path))}
    # A mapping would do, and what is wrong is inside of it: that something else would do, too, is no help.
    return [each for each in merged.values() if not (each.found in ("a mapping", "a list") and each.path in deeper)]


def _finding(error: Mapping[str, Any], kind: Any, data: Any) -> Finding:
    context: Mapping[str, Any] = error.get("ctx", {})
    path: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "refused":
        path = (*path, *context["at"])
        found = shown(path[-1]) if "[key]" in error["loc"] else _shown(data, path)
        found = "" if context["hidden"] else found
        return Finding(path, found, context["allowed"], context["problem"])
    if error["type"] == "value_error":
        return _value_error(path, str(context["error"]), kind, data)
    if error["type"] in UNKNOWN_KEY:
        known = keys_of(_kind_at(kind, path[:-1]))
        return Finding(path, allowed=listed(known), problem=unknown_name("key", str(path[-1]), known))
    if error["type"].startswith("missing"):
        return Finding(path, problem="missing", allowed=_allowed_if_missing(_kind_at(kind, path[:-1]), path[-1]))
    path = _written(data, path)
    hint = _did_you_mean(_at(data, path), context) if error["type"] == "literal_error" else ""
    return Finding(path, _shown(data, path) + hint, _allowed(error, context))


def _written(data: Any, path: KeyPath) -> KeyPath:
    """A path without what pydantic adds: which kind of a union it tried."""
    kept: KeyPath = ()
    for part in path:
        if _at(data, (*kept, part)) is not _NOTHING:
            kept = (*kept, part)
    return kept


def _did_you_mean(value: Any, context: Mapping[str, Any]) -> str:
    """Which of the choices was probably meant; empty where none is near."""
    choices = re.findall(r"'([^']*)'", str(context["expected"]))
    near = nearest(value, choices) if isinstance(value, str) else None
    return f" (did you mean {near}?)" if near else ""


def _allowed(error: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    if template := ALLOWED.get(error["type"]):
        return template.format(**context)
    shapes = (shape for shape, kinds in SHAPES.items() if error["type"].startswith(kinds))
    return next(shapes, str(error["msg"]))


def _value_error(path: KeyPath, said: str, kind: Any, data: Any) -> Finding:
    """A dataclass checks its fields together; by custom its message begins with the field's name, or name.key."""
    name, _, rest = said.partition(" ")
    inner = tuple(name.rstrip(":,").split("."))
    if inner[0] in keys_of(_kind_at(kind, path)):
        path, said = (*path, *inner), rest if name.endswith(":") else said
    return Finding(path, _shown(data, path), problem=said)


def _at(data: Any, path: KeyPath) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return _NOTHING
    return data


def _shown(data: Any, path: KeyPath) -> str:
    """The value at `path`, nothing where nothing was written; never a secret's value."""
    value = _at(data, path)
    if value is _NOTHING:
        return ""
    if any(isinstance(part, str) and names_secret(part) for part in path):
        return "something else"
    if isinstance(value, str) and "://" in value:
        return "an address"  # who knows it is often let in by it alone
    return shown(value)


def keys_of(kind: Any) -> list[str]:
    """The keys that a model or a dataclass has in a file."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = [field.alias or name for name, field in kind.model_fields.items()]
        return [*fields, *getattr(kind, "also_keys", ())]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind) if field.init]
    return []


def _allowed_if_missing(kind: Any, key: str | int) -> str:
    """A field's description says what is allowed."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if key in (name, field.alias):
                return field.description or ""
    return ""


def _kind_at(kind: Any, path: KeyPath) -> Any:
    """The model or dataclass that judges what is at `path`."""
    for part in path:
        kind = _plain(_member(_plain(kind), part))
    return _plain(kind)


def _member(kind: Any, part: str | int) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return fields.get(str(part))
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return typing.get_type_hints(kind).get(str(part))
    arguments = [each for each in typing.get_args(kind) if each is not Ellipsis]
    return arguments[-1] if arguments else None


def _plain(kind: Any) -> Any:
    """Without Annotated and without `| None`."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _plain(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return next((_plain(each) for each in typing.get_args(kind) if each is not types.NoneType), None)
    return kind

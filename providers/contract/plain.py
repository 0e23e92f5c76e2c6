"""Dataclasses as the plain data that a journal keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from typing import Any

_ATOMS = frozenset({type(None), bool, int, float, str})


@cache
def _field_names(kind: type[Any]) -> tuple[str, ...] | None:
    """None for what is no dataclass."""
    return tuple(each.name for each in fields(kind)) if is_dataclass(kind) else None


@dataclass(frozen=True, slots=True)
class _Odd:
    """What is left to the standard library."""

    value: Any


def _copied(value: Any) -> Any:
    """As `asdict` does, which asks every value anew what it is and copies what cannot change."""
    kind: Any = type(value)
    if kind in _ATOMS:
        return value
    if (names := _field_names(kind)) is not None:
        return {name: _copied(getattr(value, name)) for name in names}
    if kind is dict:
        return {_copied(key): _copied(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return kind(_copied(item) for item in value)
    return asdict(_Odd(value))["value"]


def plain(value: Any) -> Any:
    """A dataclass of `providers/base.py` as the plain data that a journal keeps; `from_json` reads it back."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _copied(value) if hasattr(value, "__dataclass_fields__") else value

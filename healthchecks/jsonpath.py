"""A value in a JSON document by a plain path: keys and indexes with dots between, such as `checks.0.ok`.

Nothing is evaluated: no wildcards, filters, slices or expressions. A number is an index in a list and a key in an
object; a key that has a dot in it cannot be named.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

PARTS = 16
_PART = re.compile(r"[^\s.\[\]*$@?'\"()|&\\]{1,100}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,6}")

Value = str | int | float | bool | None


class NotThere(LookupError):
    """The path leads nowhere; the message says at which part."""


class NotJson(ValueError):
    """What was read is not one JSON document, or says the same key twice."""


def split(path: str) -> list[str]:
    """The parts of a path; ValueError for what is none."""
    parts = path.split(".")
    if len(parts) > PARTS or not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"a JSON path is up to {PARTS} plain keys and indexes with dots between, such as checks.0.ok")
    return parts


def read(body: bytes) -> Any:
    """The document in a body; NotJson for anything else."""
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise NotJson("not JSON") from error


def at(document: Any, path: str) -> Any:
    """What is there; NotThere otherwise."""
    here = document
    for part in split(path):
        if isinstance(here, dict) and part in here:
            here = here[part]
        elif isinstance(here, list) and _INDEX.fullmatch(part) and int(part) < len(here):
            here = here[int(part)]
        else:
            raise NotThere(f"there is no {part}")
    return here


def same(found: Any, wanted: Value) -> bool:
    """Equal in value and kind: true is not 1, and "1" is not 1; 1 and 1.0 are one number."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    if isinstance(found, int | float) and isinstance(wanted, int | float):
        return found == wanted
    return type(found) is type(wanted) and bool(found == wanted)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")  # one reader takes the first, another the last
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")

"""Secrets stay out of fleet files: options refer to them, and a literal one is refused without being repeated.

A mapping with the one key `env` (a variable's name in capitals) or `file` (a path) is a reference, everywhere
inside options. It is kept as it is, so that plans and journals hold the reference, and read when it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rollout.fleetfile.problems import KeyPath

ALLOWED = "{env: NAME} or {file: PATH}"
_NAMED = re.compile(
    r"(^|_)(passwords?|passwd|passphrases?|secrets?|tokens?|credentials?|authorization"
    r"|(api|access|secret|private|auth)_?keys?)$"
)
_LOGIN = re.compile(r"://[^/?#\s@:]*:[^/?#\s@]+@")


def is_reference(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, name),) = value.items()
    if not isinstance(name, str) or not name:
        return False
    return kind == "file" or (kind == "env" and bool(re.fullmatch(r"[A-Z_][A-Z0-9_]*", name)))


def names_secret(key: str) -> bool:
    """db_password, apiToken, X-Api-Key: keys whose value is a secret. token_url and max_retries are not."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).replace("-", "_").replace(".", "_").lower()
    return bool(_NAMED.search(snake))


def looks_like_secret(key: str, value: Any) -> bool:
    """A literal under a key that names a secret, or an address with a password in it."""
    if isinstance(value, str) and _LOGIN.search(value):
        return True
    return names_secret(key) and isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def literal_secrets(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where plain data holds literal secrets. The items of a list have the list's key."""
    if is_reference(value):
        return
    if isinstance(value, dict | list):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from literal_secrets(inner, (*path, part))
    elif looks_like_secret(next((part for part in reversed(path) if isinstance(part, str)), ""), value):
        yield path

"""config.json of a balancer: written once by whoever creates it, read when its processes start."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from providers.local.balancer.state import InvalidState, parse_address

CONFIG = "config.json"
KINDS = ("builtin", "haproxy")


class ConfigError(Exception):
    """config.json is missing or wrong; the message names file and key."""


@dataclass(frozen=True)
class Health:
    """How targets are asked. path: None means that accepting a TCP connection is enough. Times in seconds.

    fall / rise: consecutive results until a healthy target counts as failed, a failed one as healthy.
    """

    path: str | None = "/"
    interval_s: float = 0.25
    timeout_s: float = 1.0
    fall: int = 2
    rise: int = 2


@dataclass(frozen=True)
class Config:
    """listen, test_listen: `ip:port` of traffic and of the test route (None: none). Times in seconds.

    kind: which balancer this folder is of, `builtin` or `haproxy`. program: of haproxy, where it was found.
    served_by: answers carry X-Rollout-Served-By. trust_forwarded: keep X-Forwarded-Proto and -Host of the
    sender, for a balancer that stands behind another proxy.
    """

    listen: str
    test_listen: str | None = None
    health: Health = Health()
    served_by: bool = True
    trust_forwarded: bool = False
    connect_timeout_s: float = 2.0
    response_timeout_s: float = 60.0
    drain_s: float = 2.0
    kind: str = "builtin"
    program: str | None = None


def load_config(directory: Path) -> Config:
    """Raises ConfigError."""
    path = directory / CONFIG
    try:
        return parse_config(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None


def parse_config(document: object) -> Config:
    """Raises ValueError naming the key."""
    values = _known(document, Config, "config")
    if "listen" not in values:
        raise ValueError("listen: missing; an address like 127.0.0.1:8080 is needed")
    for key in ("listen", "test_listen"):
        if values.get(key) is not None:
            values[key] = parse_address(values[key])
    if values["listen"] is None or values["listen"] == values.get("test_listen"):
        raise InvalidState("listen: an address of its own is needed")
    if "health" in values:
        values["health"] = _parse_health(values["health"])
    for key in ("connect_timeout_s", "response_timeout_s", "drain_s"):
        _positive(values, key)
    if values.get("kind", KINDS[0]) not in KINDS:
        raise ValueError(f"kind: one of {', '.join(KINDS)} is needed")
    if not isinstance(values.get("program", ""), str | None):
        raise ValueError("program: a path is needed")
    for key in ("served_by", "trust_forwarded"):
        if not isinstance(values.get(key, True), bool):
            raise ValueError(f"{key}: true or false is needed")
    return Config(**values)  # type: ignore[arg-type]  # each value was checked above


def _parse_health(document: object) -> Health:
    values = _known(document, Health, "health")
    path = values.get("path", "/")
    if path is not None and not (isinstance(path, str) and path.startswith("/") and path.isprintable()):
        raise ValueError("health.path: a path that starts with / or null is needed")
    for key in ("interval_s", "timeout_s"):
        _positive(values, key)
    for key in ("fall", "rise"):
        value = values.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"health.{key}: a whole number of 1 or more is needed")
    return Health(**values)  # type: ignore[arg-type]  # each value was checked above


def _known(document: object, model: type, what: str) -> dict[str, object]:
    if not isinstance(document, dict):
        raise ValueError(f"{what}: a JSON object is needed")
    known = {field.name for field in fields(model)}
    unknown = sorted(str(key) for key in set(document) - known)
    if unknown:
        raise ValueError(f"{what}: unknown keys {unknown}; known are {sorted(known)}")
    return cast(dict[str, object], dict(document))


def _positive(values: dict[str, object], key: str) -> None:
    value = values.get(key, 1.0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 86_400:
        raise ValueError(f"{key}: a number of seconds above 0 is needed")

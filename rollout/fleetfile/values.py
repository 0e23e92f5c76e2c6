"""The kinds of values that a fleet file has: lengths of time, names, folders, references, each with its JSON Schema.

Attributes carry their unit (`soak_s`); in the file the key is plain (`soak: 60s`).
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from rollout.durations import LONGEST_S, UNITS_MS, BadDuration, parse_duration
from rollout.fleetfile import secrets
from rollout.fleetfile.explain import refused
from rollout.fleetfile.problems import SERVICE_NAME, SERVICE_NAME_ALLOWED
from rollout.stores.address import has_password

LONGEST_KEPT_S = 3660 * 86_400.0
SPAN_PATTERN = "^(?=[0-9])" + "".join(f"([0-9]{{1,11}}{unit})?" for unit in UNITS_MS) + "$"
POSITIVE_SPAN_PATTERN = SPAN_PATTERN.replace("(?=[0-9])", "(?=[0-9a-z]*[1-9])")
WEB_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[^@/?#\s]+([/?][^#\s]*)?$"
STORE_PATTERN = r"^postgres(ql)?://[^\s#]+$"
STORE_ALLOWED = "{env: NAME} or {file: PATH} for a postgresql:// address, or the address where it has no password"
STEPS = "whole numbers 1–100, rising, ending in 100"
REFERENCE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Where a secret is read when it is used: {env: NAME} or {file: PATH}.",
    "properties": {
        "env": {"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$", "description": "A variable's name."},
        "file": {"type": "string", "minLength": 1, "description": "A path, relative to the fleet file."},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}


class Settings(BaseModel):
    """Every part of a fleet file: unknown keys are refused, nothing is converted, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _span(value: Any) -> float:
    return _span_up_to(value, LONGEST_S)


def _long_span(value: Any) -> float:
    return _span_up_to(value, LONGEST_KEPT_S)


def _span_up_to(value: Any, longest_s: float) -> float:
    try:
        return parse_duration(value, longest_s)
    except BadDuration as error:
        raise refused(allowed=str(error)) from None


def _more_than_nothing(seconds: float) -> float:
    if seconds <= 0:
        raise refused(allowed="more than 0s")
    return seconds


def _name(name: str) -> str:
    if not re.fullmatch(SERVICE_NAME, name):
        raise refused(allowed=SERVICE_NAME_ALLOWED)
    return name


def _percent(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= 100:
        raise refused(allowed=STEPS)
    return value


def _folder(folder: str) -> str:
    if not folder or folder.startswith("~"):
        raise refused(allowed="a folder, relative to the fleet file or absolute; ~ is not expanded")
    return folder


def _reference(value: Any) -> dict[str, str]:
    if not secrets.is_reference(value):
        problem = "" if isinstance(value, dict | list) or value is None else "a secret written out"
        raise refused(problem, secrets.ALLOWED, hidden=True)
    reference: dict[str, str] = value
    return reference


def _web_address(url: str) -> str:
    """Never repeated where it is wrong: what posts to an address is often let in by the address alone."""
    allowed = "http:// or https:// with a host, without user, password or fragment"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}#'):
        raise refused("not a web address", allowed, hidden=True)
    if "@" in parts.netloc:
        raise refused("an address with a login in it", allowed, hidden=True)
    return url


HOST_PORT_PATTERN = r"^(\[[0-9A-Fa-f:.%]+\]|[0-9A-Za-z.-]+):[1-9][0-9]{0,4}$"


def _host_port(text: str) -> str:
    if not re.fullmatch(HOST_PORT_PATTERN[1:-1], text) or int(text.rpartition(":")[2]) > 65535:
        raise refused(allowed="HOST:PORT, such as 127.0.0.1:9464")
    return text


def _store_address(value: Any) -> str | dict[str, str]:
    """Never repeated where it is wrong: there is mostly a password in it."""
    if secrets.is_reference(value):
        reference: dict[str, str] = value
        return reference
    if not isinstance(value, str) or not re.fullmatch(STORE_PATTERN, value):
        raise refused("not the address of a PostgreSQL database", STORE_ALLOWED, hidden=True)
    if has_password(value):
        raise refused("a password written out", STORE_ALLOWED, hidden=True)
    return value


def _schema_of_span(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Span = Annotated[float, BeforeValidator(_span), _schema_of_span(SPAN_PATTERN)]
PositiveSpan = Annotated[
    float, BeforeValidator(_span), AfterValidator(_more_than_nothing), _schema_of_span(POSITIVE_SPAN_PATTERN)
]
LongSpan = Annotated[
    float, BeforeValidator(_long_span), AfterValidator(_more_than_nothing), _schema_of_span(POSITIVE_SPAN_PATTERN)
]
"""Up to ten years, for what is kept."""
Step = Annotated[int, BeforeValidator(_percent), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100})]
Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": f"^{SERVICE_NAME}$"})]
Folder = Annotated[str, AfterValidator(_folder), WithJsonSchema({"type": "string", "pattern": "^[^~]"})]
StoreAddress = Annotated[
    str | dict[str, str],
    BeforeValidator(_store_address),
    WithJsonSchema({"anyOf": [REFERENCE_SCHEMA, {"type": "string", "pattern": STORE_PATTERN}]}),
]
Reference = Annotated[dict[str, str], BeforeValidator(_reference), WithJsonSchema(REFERENCE_SCHEMA)]
HostPort = Annotated[
    str,
    AfterValidator(_host_port),
    WithJsonSchema({"type": "string", "pattern": HOST_PORT_PATTERN}),
]
WebAddress = Annotated[
    str,
    AfterValidator(_web_address),
    WithJsonSchema({"type": "string", "pattern": WEB_PATTERN}),
]

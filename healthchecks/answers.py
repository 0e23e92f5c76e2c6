"""Is an HTTP answer as expected? Status, headers, text and JSON values; in what is said, no secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from healthchecks import jsonpath
from healthchecks.base import Answer
from healthchecks.fetch import BODY_BYTES, Fetched
from healthchecks.guard import short

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
PATH = re.compile(r"/[\x21-\x7e]*")
_SECRET = re.compile(r"pass|secret|token|key|credential|auth|cookie|session", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to be in an answer; `headers` with None only have to be there."""

    status: Sequence[int]
    headers: Mapping[str, str | None] = field(default_factory=dict)
    text: str | None = None
    json: Mapping[str, jsonpath.Value] = field(default_factory=dict)


def judge(found: Fetched, expected: Expected) -> tuple[Answer, str]:
    """What an answer means, and why if it is not as expected."""
    if found.status is None:
        kinds: dict[str, tuple[Answer, str]] = {
            "refused": ("fail", "refused the connection or hung up"),
            "rubbish": ("fail", "did not answer with HTTP"),
            "timeout": ("unknown", "did not answer in time"),
        }
        answer, why = kinds.get(found.problem, ("unknown", "could not be reached"))
        return answer, f"{why} ({found.detail})"
    if found.status not in expected.status:
        return "fail", f"answered {found.status}"
    if why := _headers(found.headers, expected.headers):
        return "fail", why
    if expected.text is not None and expected.text.encode() not in found.body:
        return "fail", f"the text looked for is not in the first {BODY_BYTES // 1024} KiB"
    return _json(found, expected.json) if expected.json else ("pass", "")


def _headers(found: Mapping[str, str], expected: Mapping[str, str | None]) -> str:
    for name, value in expected.items():
        there = found.get(name.lower())
        if there is None:
            return f"the header {name} is missing"
        if value is not None and there.strip() != value.strip():
            return f"the header {name} is not as expected{_shown(name, there)}"
    return ""


def _json(found: Fetched, expected: Mapping[str, jsonpath.Value]) -> tuple[Answer, str]:
    if not found.whole:
        return "unknown", f"the answer is longer than {BODY_BYTES // 1024} KiB, so its JSON was not read"
    try:
        document = jsonpath.read(found.body)
    except jsonpath.NotJson:
        return "fail", "the answer is not JSON"
    for path, wanted in expected.items():
        try:
            there = jsonpath.at(document, path)
        except jsonpath.NotThere as error:
            return "fail", f"{short(path, 80)} is not in the JSON: {short(error, 120)}"
        if not jsonpath.same(there, wanted):
            value = "a list or an object" if isinstance(there, list | dict) else repr(there)
            return "fail", f"{short(path, 80)} is not as expected{_shown(path, value)}"
    return "pass", ""


def _shown(name: str, value: str) -> str:
    return "" if _SECRET.search(name) else f": {short(value, 80)}"


def raise_if_unfit(path: str, status: Sequence[int], headers: Mapping[str, str], expected: Expected) -> None:
    """ValueError for what no request or answer can have."""
    if not PATH.fullmatch(path) or "#" in path:
        raise ValueError("path begins with / and is plain ASCII without spaces or #")
    if not status or not all(100 <= each <= 599 for each in status):
        raise ValueError("expect_status lists statuses from 100 to 599, at least one")
    for name, value in [*headers.items(), *((name, value or "") for name, value in expected.headers.items())]:
        if not TOKEN.fullmatch(name) or not re.fullmatch(r"[\x20-\x7e\t]*", value):
            raise ValueError("headers have plain names, and values without line breaks")
    for json_path in expected.json:
        jsonpath.split(json_path)

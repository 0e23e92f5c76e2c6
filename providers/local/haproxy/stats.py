"""What HAProxy says of its servers and of the requests that they had: `show stat`. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from providers.local.balancer.answers import CountersAnswer, TargetAnswer
from providers.local.haproxy.text import name_of

CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BACKEND, SERVER = "1", "2"  # the column `type`
PASSED = ("L4OK", "L6OK", "L7OK", "L7OKC")
UNASKED = ("", "INI", "UNK", "CHECKED")
NO_SERVER = "HAProxy has no such server"

Row = Mapping[str, str]
Base = Mapping[str, int]
"""Responses by class that servers had which were removed since."""


class Unreadable(ValueError):
    """No answer to `show stat`."""


@dataclass(frozen=True)
class Stats:
    """The rows of backends and of servers, by backend and server name."""

    backends: Mapping[str, Row]
    servers: Mapping[str, Mapping[str, Row]]

    def of(self, backend: str) -> Mapping[str, Row]:
        return self.servers.get(backend, {})


def parse(text: str) -> Stats:
    """Raises Unreadable."""
    if not text.startswith("# pxname,"):
        raise Unreadable(f"no statistics: {text.strip()[:200]!r}")
    backends: dict[str, Row] = {}
    servers: dict[str, dict[str, Row]] = {}
    try:
        for row in csv.DictReader(io.StringIO(text[2:], newline=""), restval="", restkey="more"):
            if row["type"] == BACKEND:
                backends[row["pxname"]] = row
            elif row["type"] == SERVER:
                servers.setdefault(row["pxname"], {})[row["svname"]] = row
    except (csv.Error, KeyError) as error:
        raise Unreadable(f"no statistics: {error}") from None
    return Stats(backends, servers)


def number(row: Row, column: str) -> int:
    """Empty and strange fields are 0."""
    text = row.get(column) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def targets(rows: Mapping[str, Row], addresses: Sequence[str], now: float) -> list[TargetAnswer]:
    return [_target(rows.get(name_of(address)), address, now) for address in addresses]


def _target(row: Row | None, address: str, now: float) -> TargetAnswer:
    if row is None:
        return TargetAnswer(address=address, healthy=False, reason=NO_SERVER, since=round(now, 3))
    healthy = judged(row)
    since = round(now - number(row, "lastchg"), 3)
    return TargetAnswer(address=address, healthy=healthy, reason=reason(row), since=since)


def judged(row: Row) -> bool | None:
    """None: not asked yet, or on its way up again."""
    status, check = row.get("status", ""), row.get("check_status", "").removeprefix("* ")
    if status.startswith("UP"):
        return None if check in UNASKED else True
    if status.startswith("DOWN"):
        return None if check in (*UNASKED, *PASSED) else False
    return False  # MAINT, DRAIN, NOLB: somebody took it out


def reason(row: Row) -> str:
    status, check = row.get("status", ""), row.get("check_status", "").removeprefix("* ")
    if not status.startswith(("UP", "DOWN")):
        return f"somebody set it to {status}"
    if check in UNASKED:
        return "not checked yet"
    if check in PASSED:
        return "check passed"
    if check == "L7STS":
        return f"check answered {row.get('check_code', '')}"
    said = [text for text in (row.get("check_desc", ""), row.get("last_chk", "")) if text]
    return f"check failed: {': '.join(said) or check}"


def responses(rows: Iterable[Row]) -> dict[str, int]:
    """Heads that came from these servers, by class: not what HAProxy answered in their stead."""
    rows = list(rows)
    return {name: sum(number(row, f"hrsp_{name}") for row in rows) for name in CLASSES}


def counters(backend: Row | None, rows: Iterable[Row], base: Base) -> CountersAnswer:
    """Of one side, counted as requests arrive. What HAProxy does not tell (fallbacks, cut, times) stays 0.

    An answer that broke off after its head is in `responses` and in `failed`. When a target dies, `failed` may be off
    by a few either way: what it misses shows as requests without an answer. All of these only ever grow.
    """
    row = backend or {}
    heads = responses(rows)
    return CountersAnswer(
        requests=number(row, "stot"),
        responses={name: heads[name] + base.get(name, 0) for name in CLASSES},
        failed=number(row, "econ") + number(row, "eresp"),
        in_flight=number(row, "scur"),
        latency_ms_sum=0.0,
        retries=number(row, "wretr") + number(row, "wredis"),
        fallbacks=0,
        client_gone=number(row, "cli_abrt"),
        cut=0,
    )

"""Asking a Prometheus server (or what speaks its API) for one number at one time, and what is no such number.

An answer is believed only when it is whole and of that time: an error, a warning (what is partial comes with one), a
redirect, another kind of content, several series, NaN or infinity, or a sample of another time is no figure, with the
reason. That no series matched is an answer: None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

from healthchecks import jsonpath, promql, sources
from healthchecks.addresses import Pinned, Refused
from healthchecks.base import Subject
from healthchecks.deadline import Deadline
from healthchecks.fetch import BODY_BYTES, Fetched, fetch_first
from healthchecks.guard import short
from providers.base import Slot

AT_ONCE = 6


class NoFigure(Exception):
    """Why there is no number to judge by."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to ask. The `token` is sent as a bearer token, never in the clear to a public address."""

    url: str
    allow_private: bool = False
    token: str | None = field(default=None, repr=False)
    max_age_s: float = 60.0


def raise_if_never_server(url: str, allow_private: bool) -> None:
    """ValueError for an address that would be refused whatever its name stood for."""
    if "?" in url:
        raise Refused("prometheus is a base address: without a query")
    sources.raise_if_never_url(url, allow_private)


def read(server: Server, queries: Sequence[str], at: float, timeout_s: float) -> list[float | None]:
    """The number of each query at that time, in order; None where nothing matched. Raises NoFigure."""
    with Deadline(timeout_s) as deadline:
        try:
            places = sources.of_url(server.url, server.allow_private, deadline)
        except Refused as refused:
            raise NoFigure(f"prometheus was not asked: {refused}") from None
        if server.token and any(each.scheme == "http" and each.address.is_global for each in places):
            raise NoFigure("prometheus was not asked: a token is sent to a public address by https only")
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda query: _ask(server, places, query, at, deadline), queries))


def both_sides(
    server: Server, subject: Subject, queries: Sequence[str], newest: str | None
) -> Mapping[Slot, Sequence[float | None]]:
    """The numbers of the subject's slot and of the one beside, asked at once and for one time. Raises NoFigure: trouble
    with one query is a figure of none. `newest` is the query for the time of the samples behind them.

    A slot without running instances has no data; a query for `{instances}` of none would be about everything else.
    """
    each = [*queries, newest] if newest is not None else list(queries)
    wanted = {slot: values for slot in (subject.slot, subject.beside) if (values := _values(each, subject, slot))}
    if subject.slot not in wanted:
        raise NoFigure(f"no instance of {subject.slot} is running")
    filled = [promql.fill(query, values) for values in wanted.values() for query in each]
    found = iter(read(server, filled, subject.now, subject.timeout_s))
    sides: dict[Slot, Sequence[float | None]] = {subject.beside: [None] * len(queries)}
    for slot in wanted:
        figures = [next(found) for _ in queries]
        if newest is not None:
            _raise_if_late(slot, figures, next(found), subject.now, server.max_age_s)
        sides[slot] = figures
    return sides


def _values(queries: Sequence[str], subject: Subject, slot: Slot) -> Mapping[str, Sequence[str]] | None:
    """What the placeholders stand for; None where a query is about the instances of a slot that has none."""
    values: dict[str, Sequence[str]] = {"slot": [slot], "service": [subject.readings.service.name], "instances": []}
    if any("instances" in promql.used(query) for query in queries):
        running = [one.address for one in subject.readings.instances(slot) if one.state == "running"]
        values["instances"] = sorted(running)
        return values if running else None
    return values


def _raise_if_late(
    slot: Slot, figures: Sequence[float | None], newest: float | None, now: float, max_age_s: float
) -> None:
    if newest is None and all(figure is None for figure in figures):
        return  # no data at all is an answer
    if newest is None:
        raise NoFigure(f"newest says nothing of {slot}, whose figure is there")
    if abs(now - newest) > max_age_s:
        raise NoFigure(f"the newest sample of {slot} is {now - newest:.0f} s old, {max_age_s:g} s are allowed")


def _ask(server: Server, places: Sequence[Pinned], query: str, at: float, deadline: Deadline) -> float | None:
    wanted = {"query": query, "time": f"{at:.3f}", "timeout": f"{max(1, int(deadline.left * 1000))}ms"}
    headers = {"accept": "application/json"}
    if server.token:
        headers["authorization"] = f"Bearer {server.token}"
    below = [replace(each, path=each.path.rstrip("/")) for each in places]
    path = f"/api/v1/query?{urlencode(wanted, quote_via=quote)}"
    document = _document(fetch_first(below, path, headers, "GET", deadline))
    return _number(document["data"], at, server.max_age_s)


def _document(found: Fetched) -> Mapping[str, Any]:
    """The answer, if it is a whole and successful one."""
    if found.status is None:
        what = {"timeout": "did not answer in time", "refused": "refused the connection", "rubbish": "is no web server"}
        raise NoFigure(f"prometheus {what.get(found.problem, 'could not be reached')} ({found.detail})")
    if 300 <= found.status < 400:
        raise NoFigure(f"prometheus answered {found.status}: redirects are not followed")
    if not found.whole:
        raise NoFigure(f"prometheus answered with more than {BODY_BYTES // 1024} KiB")
    kind = found.headers.get("content-type", "").partition(";")[0].strip().lower()
    document = _json(found.body) if kind == "application/json" else None
    if found.status != 200 or (isinstance(document, Mapping) and document.get("status") == "error"):
        raise NoFigure(f"prometheus answered {found.status}{_error(document)}")
    if document is None:
        raise NoFigure(f"prometheus answered with {short(kind, 60) or 'no content type'}, not application/json")
    if not isinstance(document, Mapping) or document.get("status") != "success":
        raise NoFigure("prometheus answered with something else than a result")
    if document.get("warnings") or document.get("isPartial"):
        raise NoFigure(f"prometheus warns: {_first(document.get('warnings')) or 'the answer is partial'}")
    if not isinstance(document.get("data"), Mapping):
        raise NoFigure("prometheus answered without data")
    return document


def _json(body: bytes) -> Any:
    try:
        return jsonpath.read(body)
    except jsonpath.NotJson:
        raise NoFigure("prometheus answered with something that is not JSON") from None


def _error(document: Any) -> str:
    if not isinstance(document, Mapping) or not document.get("error"):
        return ""
    return f" ({short(document.get('errorType', 'error'), 40)}): {short(document['error'], 160)}"


def _first(warnings: Any) -> str:
    return short(warnings[0] if isinstance(warnings, list) and warnings else warnings or "", 160)


def _number(data: Mapping[str, Any], at: float, max_age_s: float) -> float | None:
    kind, result = data.get("resultType"), data.get("result")
    if kind not in ("vector", "scalar") or not isinstance(result, list):
        raise NoFigure(f"the query gives a {short(kind, 40)}, not one number")
    if kind == "vector":
        if not result:
            return None
        if len(result) > 1:
            raise NoFigure(f"the query gives {len(result)} series, not one: add them up, or take one")
        result = result[0].get("value") if isinstance(result[0], Mapping) else None
    if not isinstance(result, list) or len(result) != 2:
        raise NoFigure("prometheus answered with a sample that has no time and value")
    time, value = (_float(each) for each in result)
    if not math.isfinite(time) or abs(at - time) > max_age_s:
        raise NoFigure(f"the sample is {at - time:.0f} s old, {max_age_s:g} s are allowed")
    if not math.isfinite(value):
        raise NoFigure(f"the query gives {value}, which is no figure")
    return value


def _float(value: Any) -> float:
    """Values are text (`"0.5"`, `"NaN"`), times are numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise NoFigure("prometheus answered with a sample that is no number")
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise NoFigure(f"prometheus answered with {short(repr(value), 60)}, which is no number") from None

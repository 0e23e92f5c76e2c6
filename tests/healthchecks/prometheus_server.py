"""Servers that speak Prometheus's API, each with one way to answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.healthchecks.fakes import NOW
from tests.healthchecks.servers import Server, Servers, said

JSON = "content-type: application/json; charset=utf-8\r\n"


def vector(*values: object, at: float = NOW, **more: Any) -> bytes:
    """An answer with one series for each value."""
    result = [{"metric": {"n": str(n)}, "value": [at, value]} for n, value in enumerate(values)]
    return answer({"resultType": "vector", "result": result}, **more)


def answer(data: Any, status: str = "success", **more: Any) -> bytes:
    return said(json.dumps({"status": status, "data": data, **more}), headers=JSON)


def asked(head: str) -> dict[str, str]:
    """The parameters of a request."""
    return {name: values[0] for name, values in parse_qs(urlsplit(head.split(" ")[1]).query).items()}


def by_query(servers: Servers, answers: Callable[[str], bytes]) -> Server:
    """One that answers by the query."""
    return servers.deciding(lambda head: answers(asked(head)["query"]))


def by_slot(servers: Servers, **values: object) -> Server:
    """One with a number for each slot that its query names; a list is several series."""

    def numbers(query: str) -> bytes:
        found = next(value for slot, value in values.items() if f'"{slot}"' in query)
        return vector(*(found if isinstance(found, list) else [found]))

    return by_query(servers, numbers)

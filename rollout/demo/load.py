"""Clients of the demo service: keep-alive, GET and POST, and never a second try, so that nothing is hidden."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

CLIENTS = 4
PAUSE_S = 0.012
TIMEOUT_S = 10.0
BOUNDARY = "rollout-demo"
IMPORT_BYTES = 600_000

Request = tuple[str, str, bytes | None, dict[str, str]]


def _import_body() -> bytes:
    """One large text field, as a nightly bulk import sends it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="rows"\r\n\r\n'
    return head.encode() + b"sku,1\n" * (IMPORT_BYTES // 6) + f"\r\n--{BOUNDARY}--\r\n".encode()


def _requests() -> list[Request]:
    order = json.dumps({"sku": "tea"}).encode()
    as_json, as_form = (
        {"Content-Type": "application/json"},
        {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    usual: list[Request] = [
        ("GET", "/", None, {}),
        ("GET", "/items", None, {}),
        ("POST", "/orders", order, as_json),
        ("GET", "/page", None, {}),
        ("POST", "/orders", order, as_json),
    ]
    return [*usual, *usual, ("POST", "/import", _import_body(), as_form)]


@dataclass
class Tally:
    """What clients saw. `failures` says how, with how often; `served` counts answers by slot."""

    requests: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    served: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


class Load:
    """A steady load on `port` from `start` to `stop`; `taken` returns and resets the tally of an act."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tally, self._lock = Tally(), threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(CLIENTS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in filter(threading.Thread.is_alive, self._threads):
            thread.join(TIMEOUT_S)

    def taken(self) -> Tally:
        with self._lock:
            tally, self._tally = self._tally, Tally()
        return tally

    def _client(self, offset: int) -> None:
        requests = _requests()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=TIMEOUT_S)
        number = offset * 3
        while not self._stop.is_set():
            method, path, body, headers = requests[number % len(requests)]
            number += 1
            try:
                connection.request(method, path, body, headers)
                answer = connection.getresponse()
                answer.read()
                failure = f"{method} {path} {answer.status}" if answer.status >= 400 else ""
                slot = answer.headers.get("X-Rollout-Served-By", "")
            except (OSError, http.client.HTTPException) as error:
                failure, slot = f"{method} {path} {type(error).__name__}", ""
                connection.close()  # the next request opens a new one; this one stays failed
            self._count(failure, slot)
            time.sleep(PAUSE_S)
        connection.close()

    def _count(self, failure: str, slot: str) -> None:
        with self._lock:
            self._tally.requests += 1
            if failure:
                self._tally.failures[failure] += 1
            if slot:
                self._tally.served[slot] += 1

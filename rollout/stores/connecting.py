"""A connection to PostgreSQL that never waits for ever: not for a name, a host, or a server that was stopped."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

from rollout.database import StoreError
from rollout.stores.address import Address

TURN_S = 0.1
_T = TypeVar("_T")


class NoAnswer(psycopg.OperationalError):
    """The server was asked, and said nothing: asking again takes as long."""


class Connection(psycopg.Connection[Any]):
    """Closed, and NoAnswer, when a statement has no answer within `limit_s`."""

    limit_s = 10.0

    def wait(self, gen: Generator[Any, Any, _T], interval: float = TURN_S, timeout: float | None = None) -> _T:
        more = {} if timeout is None else {"timeout": timeout}  # which psycopg before 3.3 does not know
        return super().wait(self._bounded(gen), TURN_S, **more)

    def _bounded(self, gen: Generator[Any, Any, _T]) -> Generator[Any, Any, _T]:
        """What the wait is for, asked after each turn without an answer whether it has lasted too long."""
        turns = int(self.limit_s / TURN_S)
        try:
            awaited = next(gen)
            while True:
                ready = yield awaited
                turns = turns - 1 if not ready else int(self.limit_s / TURN_S)
                if turns < 0:
                    self.close()
                    raise NoAnswer(f"the server has not answered for {self.limit_s:g} s")
                awaited = gen.send(ready)
        except StopIteration as done:
            result: _T = done.value
            return result


def connect(address: Address, *, within_s: float, limit_s: float) -> Connection:
    """Raises StoreError or psycopg.Error. `limit_s` is for each statement afterwards."""
    attempt = _Attempt(address)
    threading.Thread(target=attempt.make, daemon=True, name="connect").start()
    made = attempt.result(within_s)
    made.limit_s = limit_s
    if made.info.parameter_status("server_encoding") != "UTF8":
        made.close()
        raise StoreError(f"the store {address.label} cannot be used: its database is not encoded in UTF8")
    return made


class _Attempt:
    """In a thread of its own: a name server that does not answer cannot be told to stop."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._guard, self._over = threading.Lock(), threading.Event()
        self._given_up = False
        self._made: Connection | None = None
        self._error: Exception | None = None

    def make(self) -> None:
        try:
            made = Connection.connect(self._address.url, autocommit=True, **options_of(self._address.url))
        except Exception as error:
            self._error = error
        else:
            with self._guard:
                if self._given_up:
                    made.close()
                self._made = made
        finally:
            self._over.set()

    def result(self, within_s: float) -> Connection:
        self._over.wait(within_s)
        with self._guard:
            if self._made:
                return self._made
            self._given_up = True
        if isinstance(self._error, UnicodeError | ValueError):
            raise StoreError(f"the store {self._address.label} cannot be used: its address cannot be read")
        if self._error:
            raise self._error
        raise StoreError(f"the store {self._address.label} cannot be used: no answer within {within_s:g} s")


def options_of(url: str) -> dict[str, Any]:
    """How every connection to a store is made, unless its address says otherwise."""
    options: dict[str, Any] = {
        "application_name": "rollout",
        "client_encoding": "utf8",
        "connect_timeout": 2,  # for each host of several
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "target_session_attrs": "read-write",  # never a replica
    }
    return {"prepare_threshold": None, **{name: each for name, each in options.items() if f"{name}=" not in url}}

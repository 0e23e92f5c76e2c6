"""The addresses of a host, within a time: the system's resolver may take half a minute, and says nothing meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

WITHIN_S = 2.0
TRIED = 2
"""Of several addresses; connecting has a time-out for each."""
Lookup = Callable[..., list[Any]]
Address = tuple[int, Any]
"""Family, and what a socket of it connects to."""


class SlowLookup(RuntimeError):
    """Nothing was sent; nobody told in time where to."""


class Names:
    """Thread-safe. Who asks for a host that is being looked up waits for the same answer, and no answer is kept."""

    def __init__(self, lookup: Lookup | None = None, within_s: float = WITHIN_S) -> None:
        self._lookup, self._within_s = lookup or socket.getaddrinfo, within_s
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, int], Future[list[Address]]] = {}

    def addresses(self, host: str, port: int) -> list[Address]:
        """Raises SlowLookup; OSError for a name that does not exist."""
        if family := _family_of(host):
            return [(family, (host, port))]
        with self._lock:
            found = self._asked.get((host, port)) or self._ask(host, port)
        try:
            return found.result(self._within_s)
        except TimeoutError as error:
            told = f"the name {host} was not resolved within {self._within_s:g} s, so nothing was sent"
            raise SlowLookup(f"{told}: is this machine's DNS server (or its VPN) reachable?") from error

    def _ask(self, host: str, port: int) -> Future[list[Address]]:
        found = self._asked[host, port] = Future[list[Address]]()
        threading.Thread(target=self._answer, args=(found, host, port), daemon=True).start()
        return found

    def _answer(self, found: Future[list[Address]], host: str, port: int) -> None:
        try:
            listed = self._lookup(host.encode("ascii"), port, 0, socket.SOCK_STREAM)
            found.set_result([(each[0], each[4]) for each in listed])
        except Exception as error:
            found.set_exception(error)
        finally:
            with self._lock:
                del self._asked[host, port]


def _family_of(host: str) -> int | None:
    """Of an address; None: it is a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
            return family
        except OSError:
            continue
    return None


def bound_lookups(client: Any, names: Names) -> None:
    """Have this client's new connections, by way of a proxy too, look their hosts up within a time."""
    session = client._endpoint.http_session  # the SDK has no hook before connecting
    pools: dict[str, Any] = session._pool_classes_by_scheme
    for scheme, pool in list(pools.items()):
        pools[scheme] = _bounded(pool, names)


def lookup_behind(error: BaseException) -> SlowLookup | None:
    """The SDK tells it as something that it did not expect."""
    told: Mapping[str, Any] = getattr(error.__cause__, "kwargs", {})
    found = told.get("error")
    return found if isinstance(found, SlowLookup) else None


def _bounded(pool: Any, names: Names) -> Any:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> Any:
            try:
                addresses = names.addresses(self.host.strip("[]"), self.port)[:TRIED]
            except OSError as error:
                raise NewConnectionError(self, f"no address of {self.host}: {error}") from error
            for number, (family, address) in enumerate(addresses, 1):
                made = socket.socket(family, socket.SOCK_STREAM)
                try:
                    for option in self.socket_options or ():
                        made.setsockopt(*option)
                    made.settimeout(self.timeout)
                    made.connect(address)
                    return made
                except OSError as error:
                    made.close()
                    if number == len(addresses):
                        kind = ConnectTimeoutError if isinstance(error, TimeoutError) else NewConnectionError
                        raise kind(self, f"no connection to {self.host}: {error}") from error
            raise NewConnectionError(self, f"no address of {self.host}")

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

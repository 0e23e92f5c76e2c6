"""The last look before anything is sent over a new connection.

The SDK's time-out for connecting counts for each address of a name, of which AWS gives several, and not for looking the
name up: together they may take long, and what is sent then lands later than anybody expects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def guard_connections(client: Any, in_time: Callable[[], None]) -> None:
    """Have `in_time` called whenever this client has made a connection, before it sends; what that raises closes it."""
    session = client._endpoint.http_session  # the SDK has no hook between connecting and sending
    pools = session._pool_classes_by_scheme
    for scheme, pool in list(pools.items()):
        pools[scheme] = _guarded(pool, in_time)  # the same mapping serves connections by way of a proxy


def _guarded(pool: Any, in_time: Callable[[], None]) -> Any:
    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def connect(self) -> None:
            super().connect()
            try:
                in_time()
            except BaseException:
                self.close()
                raise

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

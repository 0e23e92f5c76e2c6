"""Figures for Prometheus on an address of their own: numbers without names, so whoever reaches it may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rollout.engine.local import Job
from rollout.engine.serve import Watchers
from rollout.journal import Entry
from rollout.rows import Row
from rollout.wiring import Installation


class BadAddress(ValueError):
    """Not HOST:PORT, or it cannot be listened on."""


def place(text: str) -> tuple[str, int]:
    """HOST:PORT, as 127.0.0.1:9464 or [::1]:9464; BadAddress."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadAddress(f"{text!r}: HOST:PORT is needed, such as 127.0.0.1:9464")
    return host, int(port)


class Meter:
    """What a process counts while it drives rollouts, and shows at `address`; None: nothing is counted or shown."""

    def __init__(self, installation: Installation, address: str | None) -> None:
        self._address = place(address) if address else None
        self._installation = installation
        self._running: Callable[[], int] = lambda: 0
        if self._address:
            from rollout.metrics import Metrics  # prometheus-client: only where it is wanted

            self._metrics = Metrics(
                installation.store.db, installation.clock, installation.usages, lambda: self._running()
            )

    def beside(self, watchers: Watchers) -> Watchers:
        """The same watchers, with the figures kept before they are told."""
        if not self._address:
            return watchers

        def entry(row: Row, entry: Entry) -> None:
            self._metrics.entry(row, entry)
            watchers.entry(row, entry)

        def job(row: Row, job: Job) -> None:
            self._metrics.job(job.seconds, failed=job.error is not None)
            watchers.job(row, job)

        return Watchers(entry, job, watchers.trouble, watchers.store_trouble)

    @contextmanager
    def shown(self, running: Callable[[], int]) -> Iterator[None]:
        """While the body runs, /metrics answers. BadAddress before it begins."""
        if not self._address:
            yield
            return
        from prometheus_client import start_http_server

        self._running, (host, port) = running, self._address
        try:
            server, thread = start_http_server(port, host, self._metrics.registry)
        except (OSError, OverflowError) as error:
            raise BadAddress(f"the figures cannot be shown at {host}:{port}: {error}") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

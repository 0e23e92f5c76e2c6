"""A service's lease for work that is no rollout's: renewed while the work lasts, ended after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from providers.base import Clock
from rollout.lease import HEARTBEAT_S, Holder
from rollout.store import Fenced, Store, StoreError


@contextmanager
def leased(store: Store, service: str, holder: Holder, clock: Clock, every_s: float = HEARTBEAT_S) -> Iterator[int]:
    """The epoch that the work may act under; LeaseHeld where somebody else has the lease.

    Renewed each `every_s` seconds of real time, until somebody raises the epoch.
    """
    epoch = store.take_lease(service, holder, clock.now())
    over = threading.Event()

    def beat() -> None:
        while not over.wait(every_s):
            try:
                store.renew_lease(service, epoch, clock.now())
            except Fenced:
                return
            except StoreError:
                continue  # busy or full: the next beat may come through; the epoch fences either way

    beating = threading.Thread(target=beat, daemon=True, name=f"lease of {service}")
    beating.start()
    try:
        yield epoch
    finally:
        over.set()
        beating.join()  # a beat after the end would find the store closed
        store.end_lease(service, epoch)

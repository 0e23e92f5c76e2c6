"""A process that shares its store with others, put together: the engine, and the queue under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rollout.engine.serve import Chore, Watchers
from rollout.engine.shared import Queue, SharingServer
from rollout.engine.watch import Observer
from rollout.engine.working import Worker
from rollout.lease import this_process
from rollout.presence import AlreadyServed
from rollout.stores.address import Address, store_of
from rollout.wiring import Installation, steady

if TYPE_CHECKING:
    import structlog


class NotShared(Exception):
    """The store is a file of this machine."""

    def __init__(self, store: str) -> None:
        super().__init__(
            f"workers share a store on PostgreSQL, and this fleet's is the file {store}. One machine needs none: "
            "rollout serve. For several, move the store: rollout store move --to env:ROLLOUT_STORE (which holds a "
            "postgresql:// address), then say store: {env: ROLLOUT_STORE} in the fleet file"
        )


def address_of(installation: Installation) -> Address:
    """Where the shared store is. NotShared where it is a file."""
    where = store_of(installation.fleet_file)
    if not isinstance(where, Address):
        raise NotShared(str(where))
    return where


def sharing_server(
    installation: Installation,
    jobs: int,
    watchers: Watchers,
    chores: Sequence[Chore],
    log: structlog.typing.FilteringBoundLogger,
    *,
    serves: bool,
    led: Callable[[AlreadyServed | None], None] = lambda by: None,
) -> SharingServer:
    """One that works with `jobs` jobs at a time; of 0, it only queues what is due and, if it serves, does chores."""
    address = address_of(installation)

    def queue_of(worker: Worker) -> Queue:
        from rollout.engine.distributed import Queue as Distributed  # Procrastinate: only where the store is shared

        def note(text: str) -> None:
            log.warning("queue", text=text)

        return Distributed(address, worker, jobs, note=note, trouble=lambda error: watchers.trouble("queue", error))

    clock, made = installation.clock, dict[str, Any]()
    if serves:
        made["observer"] = Observer(installation.store, installation.provider, clock.now)
    return SharingServer(
        store=installation.store,
        means_of=installation.means,
        now=clock.now,
        steady=steady,
        holder=this_process(),
        jobs=jobs,
        watchers=watchers,
        chores=chores,
        queue_of=queue_of,
        serves=serves,
        led=led,
        **made,
    )

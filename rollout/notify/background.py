"""Deliver news from a thread of its own while something else is done: a receiver that hangs holds nothing up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rollout.notify.deliverer import Deliverer

EVERY_S = 1.0
ENDING_S = 15.0


@contextmanager
def delivering(
    deliverer: Callable[[], Deliverer], on_error: Callable[[Exception], None], *, flush_s: float = 0.0
) -> Iterator[None]:
    """`deliverer` is asked for anew each time, for the fleet file may be read again.

    At the end what is due is tried once more, for at most `flush_s`.
    """
    over = threading.Event()

    def work() -> None:
        while not over.wait(EVERY_S):
            _try(lambda: deliverer().tick(), on_error)

    thread = threading.Thread(target=work, daemon=True, name="deliveries")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=ENDING_S)
        if flush_s:
            _try(lambda: deliverer().flush(flush_s), on_error)


def _try(act: Callable[[], object], on_error: Callable[[Exception], None]) -> None:
    try:
        act()
    except Exception as error:  # a delivery must never end all deliveries
        on_error(error)

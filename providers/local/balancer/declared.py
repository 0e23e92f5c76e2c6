"""What the clients share that declare a route on disk themselves, where no process of ours holds it: HAProxy's and the
switch's. Errors are BalancerClient's. Standard library only.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from providers.local.balancer import store
from providers.local.balancer.answers import StateAnswer
from providers.local.balancer.client import Conflict, Refused, Unreachable
from providers.local.balancer.state import InvalidState, State, Unservable

EDITED_BITS = 20  # of a revision, for the count; above them stands what a person's edit reads like
ASKED_WRONGLY, REFUSED, TROUBLE = 400, 422, 500


def edited_revision(read: str, revision: int) -> int:
    """The revision while somebody else's edit stands, which reads like this."""
    return (zlib.crc32(read.encode()) | 1) << EDITED_BITS | revision


def load(directory: Path) -> tuple[State, str | None]:
    """What is declared, and what a person should know of its file."""
    with _usable():
        return store.load(directory)


@contextmanager
def writing(directory: Path, timeout_s: float) -> Iterator[store.StateStore]:
    """One writer at a time, over all processes."""
    with _usable():
        try:
            held = store.StateStore.open(directory, timeout_s)
        except (TimeoutError, OSError) as error:
            raise Unreachable(f"{directory}: {error}", may_have_applied=False) from None
    try:
        yield held
    finally:
        held.close()


def raise_if_stale(revision: int, expected: int | None, answer: Callable[[], StateAnswer]) -> None:
    """Conflict, with what is there now, where something else was expected; None expects nothing."""
    if expected is not None and expected != revision:
        message = f"the revision is {revision}, not {expected}: someone else changed it"
        raise Conflict(message, state=answer())


@contextmanager
def judged() -> Iterator[None]:
    """What cannot be as asked, said the way BalancerClient says it."""
    try:
        yield
    except InvalidState as error:
        raise Refused(str(error), status=ASKED_WRONGLY) from None
    except Unservable as error:
        raise Refused(str(error), status=REFUSED) from None


@contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except store.StateUnusable as error:
        raise Refused(str(error), status=TROUBLE) from None

"""What cuts into a rollout of `World`: a word that comes right after one entry, and deaths at a write to the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.core.scene import World


def jobs(world: World, seconds: float) -> None:
    """Jobs as they are due for so long."""
    ends_at = world.clock.now() + seconds
    while world.row.closed_at is None and world.row.due_at <= ends_at:
        world.passes(max(0.0, world.row.due_at - world.clock.now()))
        world.job()
    world.passes(max(0.0, ends_at - world.clock.now()))


def right_after(world: World, kind: str, step: str, act: Callable[[], object]) -> None:
    """From now on: `act` once, right after this entry, and right before whatever follows it."""
    real = world.store.append

    def append(rollout: str, epoch: int, of: str, named: str, *arguments: Any, **more: Any) -> Any:
        entry = real(rollout, epoch, of, named, *arguments, **more)
        if (of, named) == (kind, step):
            world.store.append = real  # type: ignore[method-assign]
            act()
        return entry

    world.store.append = append  # type: ignore[method-assign, assignment]


class Dies(BaseException):
    """The process is killed."""


def dies_at(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    writes: Sequence[str],
    call: int,
    drive: Callable[[], object],
    *,
    after: bool,
) -> bool:
    """Drive, and die before or after the n-th of these writes to the store. False: it made fewer."""
    left = [call]
    with monkeypatch.context() as patched:
        for name in writes:
            real = getattr(world.store, name)

            def counted(*arguments: Any, real: Any = real, **more: Any) -> Any:
                left[0] -= 1
                if left[0] == 0 and not after:
                    raise Dies
                answer = real(*arguments, **more)
                if left[0] == 0:
                    raise Dies
                return answer

            patched.setattr(world.store, name, counted)
        try:
            drive()
        except Dies:
            return True
    return False

"""moto, corrected where it differs from AWS in a way that a test of ours could pass or fail by.

Each correction is a small function whose first line says which behaviour of AWS it restores. `truer()` applies all of
them and takes them back at its end; the `Manner` that it yields says how the account behaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class Manner:
    """How slow the account is and how small its pages are. A test may change it at any time.

    fresh_for: how long a target stays `initial`; starting_for: how long a launched instance stays `Pending`;
    deleting_for: how long a deleted group with instances is still shown. All in seconds of `now`, or, where there is
    no clock, in the number of describe calls that see it so.
    page_size: the most items on a page, whatever was asked for.
    """

    fresh_for: float = 1
    starting_for: float = 0
    deleting_for: float = 0
    page_size: int = 1000
    now: Callable[[], float] | None = None
    sleep: Callable[[float], None] | None = None
    _seen: dict[Any, float] = field(default_factory=dict)

    def is_fresh(self, key: Any, lasts: float) -> bool:
        """Is it seen for the first time, or not for long enough? Each call without a clock counts as a look."""
        if self.now is not None:
            return self.now() - self._seen.setdefault(key, self.now()) < lasts
        looks = self._seen.get(key, 0.0)
        self._seen[key] = looks + 1
        return looks < lasts

    def pass_time(self) -> None:
        """A second, where there is a clock."""
        if self.sleep is not None:
            self.sleep(1)

    def forget(self, key: Any) -> None:
        """What is seen under this key begins anew."""
        self._seen.pop(key, None)


class Correcting:
    """What a correction works with: replacing methods until the end, and the manner."""

    def __init__(self, patched: pytest.MonkeyPatch, manner: Manner) -> None:
        self._patched, self.manner = patched, manner

    def replace(self, owner: Any, name: str, new: Any) -> None:
        self._patched.setattr(owner, name, new, raising=False)

    def extend(self, mapping: Any, key: str, value: Any) -> None:
        self._patched.setitem(mapping, key, value)

    def around(self, owner: Any, name: str, new: Callable[..., Any]) -> None:
        """`new` is called with the original in front of its arguments."""
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return new(original, *args, **kwargs)

        self._patched.setattr(owner, name, call)


Correction = Callable[[Correcting], None]


def corrections() -> tuple[Correction, ...]:
    """All of them, in the order in which they are applied."""
    from tests.aws import (
        truer_balancers,
        truer_groups,
        truer_images,
        truer_launches,
        truer_notifications,
        truer_pages,
        truer_policies,
        truer_targets,
        truer_weights,
    )

    modules = (
        truer_balancers,
        truer_groups,
        truer_images,
        truer_notifications,
        truer_policies,
        truer_launches,
        truer_weights,
        truer_targets,
        truer_pages,
    )
    return tuple(one for module in modules for one in module.CORRECTIONS)


@contextmanager
def truer(manner: Manner | None = None) -> Iterator[Manner]:
    chosen = manner or Manner()
    with pytest.MonkeyPatch.context() as patched:
        correcting = Correcting(patched, chosen)
        for correction in corrections():
            correction(correcting)
        yield chosen

"""The same thing done for many, by a few threads at once: what is asked of a cloud is mostly waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Each = TypeVar("Each")
Answer = TypeVar("Answer")


def in_threads(threads: int, ask: Callable[[Each], Answer], each: Iterable[Each]) -> dict[Each, Answer]:
    """The answers in the order of what was asked; the first error is raised once all are through."""
    asked = list(each)
    if threads <= 1 or len(asked) <= 1:
        return {one: ask(one) for one in asked}
    with ThreadPoolExecutor(min(threads, len(asked)), thread_name_prefix="campaign") as pool:
        return dict(zip(asked, pool.map(ask, asked), strict=True))

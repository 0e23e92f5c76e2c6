"""What a job works with, and the shape of one act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from healthchecks.base import Subject, Verdict
from providers.base import Clock, Provider, Route
from rollout.card import CardFolder
from rollout.plan import CheckSpec
from rollout.store import Store


@dataclass(frozen=True, slots=True)
class Means:
    """What a job works with. `ask` puts one configured check to a subject and never raises."""

    store: Store
    provider: Provider
    clock: Clock
    cards: CardFolder
    ask: Callable[[CheckSpec, Subject], Verdict]


@dataclass(frozen=True, slots=True)
class Intent:
    """What was journalled before the act: its token, its arguments, and the route that was read directly before."""

    token: str
    args: Mapping[str, Any]
    route: Route


@dataclass(frozen=True, slots=True)
class Act:
    """One thing done to the world.

    read    changes nothing; only its result is journalled
    create  a repeat carries the token and the very arguments that were recorded first
    set     a repeat reads again, and is a new attempt with a new token; `is_done` says that nothing is left to do
    """

    step: str
    kind: Literal["read", "create", "set"]
    do: Callable[[Intent], Any]
    args: Callable[[], Mapping[str, Any]] = dict
    is_done: Callable[[Route, Mapping[str, Any]], bool] = lambda route, args: False

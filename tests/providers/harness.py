"""What the provider contract suite needs from each provider beyond the contract itself.

A provider takes part by one file `harness_<name>.py` here, with a context manager `open_harness(tmp_path)` that
yields a `Harness` and leaves nothing behind, and optionally `MARKS`, pytest marks for all of its runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from providers.base import Instance, Provider, Service, Slot, TestRoute, Weights


class Rollback(Protocol):
    """`providers/<name>/rollback.py`: plain data in, plain data out."""

    def read(self, target: Mapping[str, Any]) -> dict[str, Any]:
        """weights, revision, mark (None: none); for each slot, in numbers:

        healthy, unhealthy, unknown: targets. Unknown ones have not been judged yet: ask again in a moment.
        in_flight: requests and connections that are on the slot now.
        """
        ...

    def put_back(self, target: Mapping[str, Any], weights: Weights, token: str) -> dict[str, Any]: ...

    def set_mark(self, target: Mapping[str, Any], mark: Mapping[str, Any] | None, token: str) -> None: ...


class Harness(ABC):
    """One provider with something to work on. The world it stands for may be simulated, local or recorded."""

    provider: Provider
    rollback: Rollback
    base_image: str
    """What a new service runs."""
    patched_image: str
    """Another image that works, too."""
    reference: str
    """What resolves to `patched_image`."""
    has_cas: bool
    """Does the platform notice that a route changed since it was read?"""
    exact_targets: bool = True
    """Does nobody but `attach` decide who of a slot's running hosts is a target?"""

    steps: Sequence[int] = (10, 50, 100)
    """Percent that a side can be given, one after the other: only 100 where a side has all of the traffic or none."""
    part: int = 50
    """One of them, less than 100 where there is one."""
    by_hand: ClassVar[Weights] = {"blue": 80, "green": 20}
    """What a person may set past us, other than blue 100."""
    has_test_route = True
    """Can a side be asked before it has traffic?"""

    @abstractmethod
    def service(self, name: str = "shop", capacity: int = 2) -> Service:
        """A service with blue standing, attached, healthy and serving everything; green absent."""

    @abstractmethod
    def unknown_service(self) -> Service:
        """Well-formed, but there is nothing of the kind."""

    @abstractmethod
    def settle(self, fact: Callable[[], bool], why: str) -> None:
        """Let time pass until this is so; fail with `why` when it takes too long."""

    @abstractmethod
    def kill(self, service: Service, instance: Instance) -> None:
        """The instance dies without anybody having asked."""

    @abstractmethod
    def edit_route(self, service: Service, weights: Weights) -> None:
        """A person changes the weights past us."""

    @abstractmethod
    def existing(self, service: Service) -> set[Slot]:
        """The slots whose environment really exists, found without the provider's help."""

    @abstractmethod
    def reached(self, route: TestRoute) -> Slot | None:
        """Which slot answers a request on a test route? None: nobody does."""

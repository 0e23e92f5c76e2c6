"""The balancers that a service can stand behind: one protocol; which one is chosen once, when it is set up. The owner's
commands in the place of a balancer (switch/) are one of them.

Standard library only: the emergency path asks here, too, which one a folder belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from providers.local.balancer.config import CONFIG
from providers.local.balancer.kind import Builtin
from providers.local.haproxy import program
from providers.local.haproxy.kind import Haproxy
from providers.local.haproxy.launcher import CFG
from providers.local.switch.kind import Switched

if TYPE_CHECKING:
    from providers.local.balancer.answers import StateAnswer


class Unavailable(Exception):
    """The balancer that was asked for cannot be had on this machine; the message says why."""


class Client(Protocol):
    """Talks to one balancer. All calls raise BalancerError's kinds; see providers/local/balancer/client.py."""

    def state(self) -> StateAnswer: ...

    def set_weights(self, weights: Mapping[str, int], *, expected_revision: int | None, token: str) -> StateAnswer: ...

    def set_targets(
        self, slot: str, addresses: Sequence[str], *, expected_revision: int | None, token: str
    ) -> StateAnswer: ...

    def cut(self, slot: str) -> int: ...


class Balancer(Protocol):
    """How the balancer of a folder is run. The folder holds config.json and state.json (see store.py) for both."""

    @property
    def name(self) -> str: ...

    def client(self, directory: Path, timeout_s: float) -> Client:
        """timeout_s: for all of the client's calls together."""
        ...

    def ensure_running(self, directory: Path, timeout_s: float) -> None:
        """Returns when it answers; starts it where it is dead. Raises LaunchError."""
        ...

    def stop(self, directory: Path, timeout_s: float) -> None:
        """End it; nothing of it is left running. Raises LaunchError."""
        ...

    def on_file(self, directory: Path) -> Mapping[str, int]:
        """The weights, also while it does not answer. Starts nothing. Raises StateUnusable, OSError."""
        ...

    def put_on_file(self, directory: Path, weights: Mapping[str, int], token: str, timeout_s: float) -> None:
        """Declare these weights for one that is dead or does not answer; a frozen one is ended.

        Raises InvalidState, Unservable, StateUnusable, LaunchError, OSError.
        """
        ...

    def condition(self, directory: Path) -> str | None:
        """None while it runs; else what became of it, and who is served. Starts nothing."""
        ...


BUILTIN, HAPROXY, SWITCHED = Builtin(), Haproxy(), Switched()


def of(directory: Path) -> Balancer:
    """Which balancer this folder is of. What was set up before there was a choice is the built-in one's."""
    try:
        kind = json.loads((directory / CONFIG).read_bytes())["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        # A damaged file must not have the other balancer started on the same ports.
        return HAPROXY if (directory / CFG).exists() else BUILTIN
    known: dict[str, Balancer] = {HAPROXY.name: HAPROXY, SWITCHED.name: SWITCHED}
    return known.get(kind, BUILTIN)


def written(choice: str) -> dict[str, Any]:
    """What config.json says of a choice: decided now, and never again for this service. Raises Unavailable."""
    if choice == BUILTIN.name:
        return {}
    path = program.find()
    problem = "HAProxy is not installed here" if path is None else program.problem(path)
    if problem is None:
        return {"kind": HAPROXY.name, "program": path}
    if choice == HAPROXY.name:
        raise Unavailable(f"balancer: haproxy: {problem}; install it, or choose builtin or auto")
    return {}

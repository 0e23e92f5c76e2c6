"""What a scenario of a check is, and what it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.healthchecks.fakes import World
from tests.healthchecks.servers import Servers


@dataclass(frozen=True)
class Stage:
    """What a scenario may use: real servers, and a folder of its own."""

    servers: Servers
    folder: Path


Scenario = Callable[[Stage], tuple[Any, World]]


@dataclass(frozen=True)
class Case:
    """`hanging` is the scenario in which the other side never answers: for each check that uses the network.

    `nothing_is_sound`: an empty list is an answer here, and a good one.
    """

    passing: Scenario
    failing: Scenario
    unclear: Scenario
    hanging: Scenario | None = None
    nothing_is_sound: bool = False

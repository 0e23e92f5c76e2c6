"""What a scenario of a check is, and what it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.healthchecks.fakes import World
from tests.healthchecks.servers import Server, Servers


@dataclass(frozen=True)
class Stage:
    """What a scenario may use: real servers, and a folder of its own."""

    servers: Servers
    folder: Path


Scenario = Callable[[Stage], tuple[Any, World]]
Talk = Callable[[Servers, bool], Server]
"""Starts a server that has its own way to talk: True: once it was asked, False: at once."""


@dataclass(frozen=True)
class Case:
    """`hanging` is the scenario in which the other side never answers: for each check that uses the network.
    `wire` is all well but for one server, which talks as it is told to: for each check that connects by itself.

    `nothing_is_sound`: an empty list is an answer here, and a good one.
    """

    passing: Scenario
    failing: Scenario
    unclear: Scenario
    hanging: Scenario | None = None
    wire: Callable[[Talk], Scenario] | None = None
    nothing_is_sound: bool = False

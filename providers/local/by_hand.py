"""What a person types who has nothing but this machine: curl, HAProxy's socket, or the owner's own commands.

Standard library only; nothing is asked but the files of the folder.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from providers.base import SLOTS, Slot, Weights
from providers.local import balancers
from providers.local.balancer.client import SOCKET
from providers.local.balancer.config import CONFIG
from providers.local.haproxy.weights import KEY, MAP
from providers.local.records import Record
from providers.local.switch.model import Switch
from providers.local.switch.sides import Sides

BY_HAND = "by-hand"
API = "http://localhost/v1"


def by_hand(target: Mapping[str, Any], weights: Weights) -> list[str]:
    """Lines for a shell, in this order; the last ones only look. Raises OSError, ValueError, KeyError."""
    directory = Path(target["dir"])
    chosen = balancers.of(directory).name
    if chosen == balancers.SWITCHED.name:
        return _switched(directory, weights)
    into = _line("cd", str(directory))  # a socket's path has to be short
    if chosen == balancers.HAPROXY.name:
        return [into, *_haproxy(weights["green"])]
    return [into, *_builtin(weights)]


def _builtin(weights: Weights) -> list[str]:
    body = json.dumps({"weights": dict(weights), "expected_revision": None, "token": BY_HAND})
    curl = ("curl", "--fail-with-body", "--silent", "--show-error", "--max-time", "5", "--unix-socket", SOCKET)
    put = ("-X", "PUT", "-H", "Content-Type: application/json", "-d", body)
    return [_line(*curl, *put, f"{API}/weights"), _line(*curl, f"{API}/state")]


def _haproxy(green: int) -> list[str]:
    """Its memory first, then the file that it reads when it starts."""

    def told(command: str) -> str:
        return f"echo {shlex.quote(command)} | socat stdio unix-connect:{SOCKET}"

    entry = f"{KEY} {green}"
    return [
        told(f"set map {MAP} {entry}"),
        f"echo {shlex.quote(entry)} > {MAP}",
        told(f"show map {MAP}"),
    ]


def _switched(directory: Path, weights: Weights) -> list[str]:
    """The side that is taken off first, so that never both work."""
    written = json.loads((directory / CONFIG).read_bytes())
    switch, folder = Switch.of(written["switch"]), Path(written["folder"])
    assert switch is not None  # noqa: S101 - that is what makes it switched
    sides = Sides(directory, switch, folder)
    on: Slot = max(SLOTS, key=lambda slot: weights[slot])
    off = next(slot for slot in SLOTS if slot != on)
    lines = [_line("cd", str(folder))]
    for action, slot in (("disable", off), ("enable", on), ("status", off), ("status", on)):
        living = sides.living(slot)
        known = _variables(directory.parent.name, action, slot, living)
        lines += [f"{known} {_line(*argv)}" for argv in switch.calls(action, slot, living)]
    return lines


def _variables(service: str, action: str, slot: str, living: Sequence[Record]) -> str:
    values = {
        "SERVICE": service,
        "SLOT": slot,
        "ACTION": action,
        "INSTANCES": " ".join(record.address for record in living),
        "INSTANCE_IDS": " ".join(record.id for record in living),
    }
    return " ".join(f"ROLLOUT_{name}={shlex.quote(value)}" for name, value in values.items())


def _line(*words: str) -> str:
    return shlex.join(words)

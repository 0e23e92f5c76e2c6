"""The owner's commands of a service without a balancer: what there is to declare, and how it is filled in.

Standard library only: the emergency path runs the same commands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from providers.local.records import Record

PLACEHOLDERS = ("{slot}", "{instance}", "{address}")
EACH = ("{instance}", "{address}")
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")
MOST_S = 3600.0


@dataclass(frozen=True)
class Switch:
    """The owner's commands are the traffic; each is a list (a program and its arguments), never given to a shell.

    enable: the side takes new work when this ends with 0. disable: it takes none and holds none any more when this ends
    with 0, so it waits for what is in work. status: prints exactly `enabled` or `disabled` and ends with 0; anything
    else is unknown, and blocks. stats (may be left out): prints {"done": n, "failed": n, "in_flight": n}. All may be
    asked any number of times. {slot} is blue or green; a command with {instance} or {address} is run once for
    each living process of the side. Variables: ROLLOUT_SERVICE, _SLOT, _ACTION, _REVISION (grows with each switch), and
    _INSTANCES, _INSTANCE_IDS with spaces between. They run in the fleet file's folder, as whoever drives the
    rollout. timeout_s: seconds after which one is killed with its process group; longer than the longest piece of work.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    enable: Sequence[str]
    disable: Sequence[str]
    status: Sequence[str]
    stats: Sequence[str] = ()
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        for action in ("enable", "disable", "status", "stats"):
            _check(action, getattr(self, action), needed=action != "stats")
        if not 0 < self.timeout_s <= MOST_S:
            raise ValueError(f"timeout_s: {self.timeout_s} is not in 0..{MOST_S:.0f} seconds")

    @classmethod
    def of(cls, written: Any) -> Switch | None:
        """From plain data, as options have it. Raises TypeError, ValueError."""
        if written is None or isinstance(written, Switch):
            return written
        if not isinstance(written, Mapping):
            raise ValueError("switch: enable, disable and status are needed, each a list")
        return cls(**written)

    def to_json(self) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, list | tuple) else value for key, value in asdict(self).items()}

    def calls(self, action: str, slot: str, living: Sequence[Record]) -> list[list[str]]:
        """The argument lists of one action on one side; none where it is for each process and there is none."""
        command: Sequence[str] = getattr(self, action)
        if not any(place in part for part in command for place in EACH):
            return [[part.replace("{slot}", slot) for part in command]]
        return [[_filled(part, slot, record) for part in command] for record in living]


def _filled(part: str, slot: str, record: Record) -> str:
    values = {"{slot}": slot, "{instance}": record.id, "{address}": record.address}
    return _PLACEHOLDER.sub(lambda found: values[found[0]], part)


def _check(action: str, command: Any, needed: bool) -> None:
    if isinstance(command, str) or not all(isinstance(part, str) for part in command):
        raise ValueError(f"{action}: a list is needed, the program and its arguments: it is given to no shell")
    if not command:
        if needed:
            raise ValueError(f"{action}: a program and its arguments are needed")
        return
    if not command[0] or any("\0" in part for part in command):
        raise ValueError(f"{action}: a program and its arguments are needed, without NUL characters")
    unknown = sorted({place for part in command for place in _PLACEHOLDER.findall(part)} - set(PLACEHOLDERS))
    if unknown:
        raise ValueError(f"{action}: {', '.join(unknown)} is not one of {', '.join(PLACEHOLDERS)}")

"""The phases of a rollout as one table: what may follow, what undoes it, and how long it may take.

The guard in `run.enter` and the diagram in the documents both come from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """`deadline` names the plan's deadline that its waits fall back to; `traffic` says who may have traffic."""

    name: str
    follows: tuple[str, ...]
    undo: str
    deadline: str
    traffic: str = "original"


_TURNABLE = ("opened", "preparing", "mirroring", "patching", "proving", "shifting", "baking", "warm")
"""From each of these traffic can be put back."""

_GIVE_UP = "unpin, park or delete the replacement"
_PUT_BACK = f"put traffic back on the original, then {_GIVE_UP}"

PHASES = {
    phase.name: phase
    for phase in (
        Phase("opened", (), "close", "preflight"),
        Phase("preparing", ("opened",), "close; nothing was changed", "preflight"),
        Phase("mirroring", ("preparing",), _GIVE_UP, "patch"),
        Phase("patching", ("mirroring",), _GIVE_UP, "patch"),
        Phase("proving", ("patching",), _GIVE_UP, "gate"),
        Phase("shifting", ("proving",), _PUT_BACK, "gate", "both"),
        Phase("baking", ("shifting",), _PUT_BACK, "gate", "replacement"),
        Phase("warm", ("baking",), _PUT_BACK, "gate", "replacement"),
        # The point of no return: from here on a way back needs a cold rollback.
        Phase("retiring", ("warm",), "none: the original is being given up", "drained", "replacement"),
        Phase("retired", ("retiring",), "a new rollout", "drained", "replacement"),
        Phase(
            "rolling_back",
            _TURNABLE,
            "a person decides: rollout resume or rollout rollback --force",
            "observed",
            "both",
        ),
        Phase("rolled_back", ("rolling_back",), "a new rollout", "drained"),
        Phase(
            "adopting",
            (*_TURNABLE, "retiring", "rolling_back"),
            "none: a person took what serves as it is",
            "drained",
            "both",
        ),
        Phase("adopted", ("adopting",), "a new rollout", "drained", "both"),
    )
}

POINT_OF_NO_RETURN = "retiring"
CLOSED = ("retired", "rolled_back", "adopted")
PROMOTED = ("warm", "retiring", "retired")


def may_follow(now: str, then: str) -> bool:
    return now in PHASES[then].follows


def can_turn_back(phase: str) -> bool:
    return phase in PHASES["rolling_back"].follows


def as_mermaid() -> str:
    """The table as a state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> opened"]
    lines += [f"    {before} --> {phase.name}" for phase in PHASES.values() for before in phase.follows]
    return "\n".join([*lines, *(f"    {name} --> [*]" for name in CLOSED)]) + "\n"

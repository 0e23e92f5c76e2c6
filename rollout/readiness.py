"""May traffic go back to the original? One rule for the engine and the emergency path. Pure; standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Side:
    """Targets of one side as the balancer judges them. `unknown` ones have not been judged yet."""

    healthy: int
    unhealthy: int = 0
    unknown: int = 0


def may_serve(original: Side, replacement: Side, capacity: int, *, was_healthy: bool) -> tuple[bool, str]:
    """Whether to go, and why in words.

    All that is needed are healthy → go. Some are not judged yet and none is sick → go if it was healthy when the card
    was written. Otherwise it has to be at least as well as the side that would be left, and not dead.
    """
    seen = f"{original.healthy} of {capacity} healthy"
    if original.healthy >= capacity:
        return True, seen
    if original.unknown and not original.unhealthy:
        told = "it was healthy when the card was written" if was_healthy else "it was never seen healthy"
        return was_healthy, f"{seen}, {original.unknown} not judged yet; {told}"
    better = original.healthy > 0 and original.healthy >= replacement.healthy
    return better, f"{seen}, {replacement.healthy} on the other side"

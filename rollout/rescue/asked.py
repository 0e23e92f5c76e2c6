"""What is asked of one rollback, as plain data. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """`actor` empty: whoever runs this process. `cut`: end what is still open on the side that traffic leaves.
    `beside`: how many services are put back at the same time, this one included."""

    reason: str = ""
    ref: str = ""
    actor: str = ""
    drill: bool = False
    force: bool = False
    cut: bool = False
    beside: int = 1

"""Exit codes: a contract that scripts depend on. Standard library only."""

from __future__ import annotations

DONE = 0
INTERNAL = 1
USAGE = 2
APPROVAL_NEEDED = 3
ROLLED_BACK = 4  # a gate failed or a person aborted; traffic is cleanly back
PERSON_NEEDED = 5
LOCKED = 6
TIMED_OUT = 7
STALE_PLAN = 8
CHANGES_PENDING = 10
INTERRUPTED = 130

_BY_OUTCOME = {
    "promoted": DONE,
    "rolled_back": ROLLED_BACK,
    "aborted": ROLLED_BACK,
    "halted": PERSON_NEEDED,
    "waiting_approval": APPROVAL_NEEDED,
    "running": TIMED_OUT,
}


def code_for(outcome: str) -> int:
    return _BY_OUTCOME[outcome]

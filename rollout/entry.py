"""Where the command begins: `rollback` goes to the emergency path before anything heavy is imported."""

from __future__ import annotations

import os
import sys

_TAKES_VALUE = ("--config",)


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    if command_of(arguments) == "rollback" and "--help" not in arguments:
        from rollout.emergency import main as emergency

        code, unfinished = emergency(arguments)
        if not unfinished:
            return code
        arguments = unfinished  # traffic is back; the rest of the story is told by the ordinary path
    os.environ.setdefault("TYPER_USE_RICH", "0")  # rich help costs as much again as all of the start-up
    from rollout.cli import main as ordinary

    return ordinary(arguments)


def command_of(arguments: list[str]) -> str | None:
    """The first word that is neither an option nor an option's value."""
    words = iter(arguments)
    for word in words:
        if word in _TAKES_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None

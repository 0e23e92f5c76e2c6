"""Where the command begins: `rollback` goes to the emergency path before anything heavy is imported."""

from __future__ import annotations

import gc
import os
import sys

_TAKES_VALUE = ("--config", "--server")
_HELP = ("--help", "-h")


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    if command_of(arguments) == "rollback":
        if any(word in _HELP for word in arguments):
            return _ordinary(["rollback", "--help"])
        gc.disable()  # a process of a moment, of which looking for garbage would be a twentieth
        from rollout import emergency

        code, unfinished = emergency.main(arguments)
        if not unfinished:
            return code
        try:
            return _ordinary(unfinished)  # the rest of the story is told by the ordinary path
        except ImportError as error:
            return emergency.left_over(code, unfinished, error)
    return _ordinary(arguments)


def _ordinary(arguments: list[str]) -> int:
    gc.enable()
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

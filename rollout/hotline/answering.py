"""What the hotline does with a request: the very code of `rollout rollback`, in this process, for whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rollout import emergency
from rollout.hotline.converse import Say
from rollout.hotline.request import Request
from rollout.rescue.told import Told


class Spoken(Told):
    """What is said goes to the one who asked, each time with all that is known by then."""

    def __init__(self, say: Say) -> None:
        super().__init__()
        self._say = say

    def write(self, line: str, facts: dict[str, Any]) -> None:
        self._say(line, **{name: value for name, value in self.facts.items() if name != "line"})


class Answering:
    """For one fleet file; it may be asked from many threads."""

    def __init__(self, fleet_file: Path, note: Callable[..., None] = lambda **said: None) -> None:
        self._fleet_file, self._note = fleet_file.absolute(), note

    def __call__(self, request: Request, who: str, say: Say) -> int:
        told, actor = Spoken(say), request.actor(who)
        arguments = [*request.arguments, f"--config={self._fleet_file}"]
        self._note(what="asked", actor=actor, arguments=list(request.arguments))
        try:
            code = emergency.run(arguments, told, actor=actor)
        except SystemExit as refused:  # argparse, over a command line that it cannot read
            told.say("rollback: this command line cannot be read; see rollout rollback --help", error="usage")
            code = refused.code if isinstance(refused.code, int) else 2
        self._note(
            what="answered", actor=actor, code=code, **{k: told.facts[k] for k in ("id", "seconds") if k in told.facts}
        )
        return code

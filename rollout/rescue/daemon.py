"""Ask the running `rollout serve` first: its connections are open. No answer costs about a second, and no more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rollout import exits
from rollout.rescue.told import Told
from rollout.state_dir import state_dir_of

SOCKET = "hotline.sock"
PATIENCE_S = 1.0


def place(server: str | None, environ: Mapping[str, str], fleet_file: Path | None) -> str:
    """Where to ask: what is named, else the socket in the state folder if there is one; empty for nowhere."""
    if named := server or environ.get("ROLLOUT_SERVER"):
        return named
    try:
        socket = state_dir_of(fleet_file) / SOCKET if fleet_file else None
        return str(socket) if socket and socket.exists() else ""
    except (OSError, ValueError):
        return ""


def ask(where: str, arguments: list[str], told: Told) -> int | None:
    """The exit code that it was answered with; None: nobody answered to the end, so it has to be done directly."""
    try:
        from rollout.actor import ci_subject
        from rollout.hotline import client

        code = client.ask(where, arguments, told.say, PATIENCE_S, ci_subject(os.environ))
    except Exception as error:  # a server is a short cut, never an obstacle
        told.say(f"  {where} cannot be asked: {error}")
        return None
    if code == exits.USAGE and told.facts.get("error") == "usage":  # of another release; this one could read it
        told.say(f"  {where} does not understand this command line")
        told.facts.pop("error")
        code = None
    each = told.facts.get("services", {}).values()
    if told.facts.pop("unmarked", False) or any(one.get("unmarked") for one in each):  # its disk may be full: not ours
        for name in ("error", "services", "failed"):
            told.facts.pop(name, None)
        told.say(f"  {where} could not leave the hold mark: doing it again here, which is harmless")
        return None
    if code is None:
        told.say(f"  no answer from {where}: going on directly")
    return code

"""Ask the running `rollout serve` to put traffic back: it has everything loaded, and its connections open.

Standard library only, and little of it. Whoever gets no answer here does the same by himself: nothing is lost but a
moment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence

from rollout.hotline.place import SOCKET, connected

CONNECT_S = 0.3
FIRST_LINE_S = 1.0
SILENCE_S = 5.0
"""A server that lives says so every second, whatever its platform does."""
NEWS_S = 20.0
"""So long it may live and have nothing to tell, until it has put traffic back: then its platform hangs, or it does."""
WATCH_S = 180.0
"""The same once it has: it only watches."""
MOST_LINE = 1024 * 1024
VERSION = 1
SERVER = "ROLLOUT_SERVER"

Say = Callable[..., None]
"""`say(line, **facts)`: a line for people, and what it says as data."""


def place_of(named: str | None, environ: Mapping[str, str], state_dir: os.PathLike[str] | str) -> str:
    """What `--server`, else ROLLOUT_SERVER, names; else the socket of the fleet's own state folder."""
    return named or environ.get(SERVER) or f"{os.fspath(state_dir)}/{SOCKET}"


def ask(
    where: os.PathLike[str] | str, arguments: Sequence[str], say: Say, patience_s: float = FIRST_LINE_S, claim: str = ""
) -> int | None:
    """The exit code of these arguments there; None where nobody answers, or not to the end: then do it directly.

    `where`: a socket's path, unix:///path, https://host:port, or http://host:port on this machine. A name that is
    none of these raises ValueError. `claim` is what a CI job says of itself: it is noted beside the user, who is known.
    """
    place = os.fspath(where)
    request = (json.dumps({"v": VERSION, "arguments": list(arguments), "claim": claim}) + "\n").encode()
    if place.startswith(("http://", "https://")):
        from rollout.hotline.web_client import asked  # http.client and ssl: only for those who are elsewhere

        return asked(place, request, say, patience_s)
    path = place.removeprefix("unix://")
    if not path.startswith("/"):
        raise ValueError(f"{place}: unix:///path, https://host:port, or http://host:port on this machine")
    try:
        with connected(path, CONNECT_S) as channel:
            channel.settimeout(patience_s)
            channel.sendall(request)
            with channel.makefile("rb") as answer:
                return heard(lambda: answer.readline(MOST_LINE), say, lambda: channel.settimeout(SILENCE_S))
    except OSError:
        return None


def heard(
    next_line: Callable[[], bytes],
    say: Say,
    answered: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.monotonic,
) -> int | None:
    """Tell what comes, up to the exit code; None where it ends before, or tells nothing for long though it lives.

    `answered` is called at the first line; `now` is in seconds.
    """
    said, until = False, now() + NEWS_S
    try:
        while raw := next_line():
            answered()
            if now() >= until:
                say("  the server lives, but gets nowhere; going on directly, which is harmless")
                return None
            told: dict[str, object] = json.loads(raw)
            if "exit" in told:
                return told["exit"] if isinstance(told["exit"], int) else None
            if "say" in told:
                facts, said = told.get("facts"), True
                known = facts if isinstance(facts, dict) else {}
                until = now() + (WATCH_S if known.get("accepted") else NEWS_S)
                say(str(told["say"]), **{name: known[name] for name in known if name != "line"})
    except (OSError, ValueError, TypeError, KeyError):
        pass
    if said:
        say("  the server's answer broke off; going on directly, which is harmless")
    return None

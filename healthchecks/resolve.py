"""All addresses of a name, as this host's resolver knows them, in bounded time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

from healthchecks.addresses import Refused, Resolve
from healthchecks.deadline import Deadline


def resolve_all(name: str) -> Sequence[str]:
    """All A and AAAA records, in the order in which this host prefers them; Refused when there are none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except (OSError, UnicodeError) as error:
        raise Refused("its name cannot be resolved") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def within(deadline: Deadline) -> Resolve:
    """A resolver that gives up at the deadline: the system's own may take half a minute for one name."""

    def resolve(name: str) -> Sequence[str]:
        answers: list[Sequence[str]] = []

        def look_up() -> None:
            try:
                answers.append(resolve_all(name))
            except Refused:
                answers.append([])

        looking = threading.Thread(target=look_up, daemon=True)
        looking.start()
        looking.join(deadline.left)
        if not answers:
            raise Refused("its name was not resolved in time")
        if not answers[0]:
            raise Refused("its name cannot be resolved")
        return answers[0]

    return resolve

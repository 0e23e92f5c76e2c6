"""Who asked: the user of this operating system on this host. Standard library only."""

from __future__ import annotations

import getpass
import socket


def this_person() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return f"unknown@{socket.gethostname()}"

"""Who asked: the user of this operating system on this host, not who the environment says. Standard library only."""

from __future__ import annotations

import os
import pwd
import socket


def this_person() -> str:
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    except KeyError:
        return f"uid {os.getuid()}@{socket.gethostname()}"
